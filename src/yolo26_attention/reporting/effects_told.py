"""Effects of components in two sentences and as a table."""

from yolo26_attention.reporting.cells import Cell, p_cell, signed_cell
from yolo26_attention.reporting.effects import ComponentEffects
from yolo26_attention.reporting.signs import interval, listed, signed
from yolo26_attention.statistics import Effect


def effect_header(effects: ComponentEffects) -> tuple[str, ...]:
    """The header of the table of effects."""
    return ("component", f"effect on {effects.metric}", "p", "verdict", "shown by")


def explained(effects: ComponentEffects) -> str:
    """What the table of effects shows."""
    level = "" if effects.main is None else f" with simultaneous {effects.main.level:.0%} interval"
    return (
        f"A component's effect{level}: the mean difference of {effects.metric} between combinations that differ in it "
        "alone, from one model of all runs. The interaction of two (×): how much larger the effect of one is where the "
        "other is present, shown by squares of four combinations."
    )


def effect_rows(effects: ComponentEffects) -> list[list[Cell]]:
    """The table of effects, cells in the order of the header: components first, then interactions."""
    return [
        [
            Cell(each.name),
            signed_cell(each.effect, (each.low, each.high)),
            p_cell(each.p_adjusted),
            Cell(effects.words(each)),
            Cell(_shown_by(each), each.pairs),
        ]
        for each in effects.estimates
    ]


def _shown_by(effect: Effect) -> str:
    plural = "s" * (effect.pairs > 1)
    return f"{effect.pairs} pair{plural}" if len(effect.components) == 1 else f"{effect.pairs} square{plural}"


def effect_sentence(effects: ComponentEffects, where: str) -> str:
    """Which component did what.

    Args:
        effects: of the study.
        where: network and data set, in words.
    """
    if effects.main is None:
        return f"What each component does to {where} cannot be said: {effects.reason}."
    if not effects.main.estimates:
        return f"What each component does to {where} cannot be said: no two combinations differ in one alone."
    verbs = {
        "better": "helps",
        "worse": "hurts",
        "equivalent": f"makes no difference larger than {effects.margin:g}",
        "undecided": "is undecided",
    }
    told = listed([f"{each.name} {verbs[effects.verdict(each)]} {_sure(each)}" for each in effects.main.estimates])
    many = len(effects.main.estimates)
    together = f"{effects.main.level:.0%} interval{'' if many == 1 else f's that hold for all {many} together'}"
    return f"For {where}, {told}; {together}."


def interaction_sentence(effects: ComponentEffects) -> str:
    """Whether components help each other."""
    if effects.together is None or len(effects.components) < 2:
        return ""
    found = effects.together.estimates
    if not found:
        return "Whether they help each other cannot be said: no four combinations show it."
    decided = [each for each in found if effects.verdict(each) in ("better", "worse")]
    if decided:
        told = [f"{' and '.join(each.components)} {effects.words(each)} {_sure(each)}" for each in decided]
        rest = "" if len(decided) == len(found) else "; no other pair can be told apart from one without interaction"
        return f"{listed(told)}{rest}."
    if all(effects.verdict(each) == "equivalent" for each in found):
        return f"No two of them have an interaction larger than {effects.margin:g}."
    largest = max(found, key=lambda each: abs(each.effect))
    most = "" if len(found) == 1 else "; the largest interaction is that of " + " and ".join(largest.components)
    who = " and ".join(largest.components) if len(found) == 1 else "any two of them"
    return f"Whether {who} help each other is undecided{most} {_sure(largest)}."


def _sure(effect: Effect) -> str:
    return f"({signed(effect.effect)}, {interval((effect.low, effect.high))})"
