"""The answer: does it help, by how much, how sure, more than its placebo, at what cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from yolo26_attention.counts import number_of
from yolo26_attention.reporting.caveats import DISTURBED, remarks_on
from yolo26_attention.reporting.comparison import Compared, Results
from yolo26_attention.reporting.cost_columns import timed_on
from yolo26_attention.reporting.effects import ComponentEffects
from yolo26_attention.reporting.effects_told import effect_sentence, interaction_sentence
from yolo26_attention.reporting.placebos import beside_placebo, placebo_sentence
from yolo26_attention.reporting.scored import flattered
from yolo26_attention.reporting.signs import interval, listed, minus, signed
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import Comparison, shrunken
from yolo26_attention.study.targets import short_names

SEEN = 5e-4  # smaller differences are not seen in three digits


@dataclass(frozen=True)
class Drawn:
    """A difference or an effect that the first two sentences name, to be drawn with its interval.

    Attributes:
        name: what it is an effect of, or against what.
        mean: in units of the score.
        bounds: of its interval; both `mean` without one.
    """

    name: str
    mean: float
    bounds: tuple[float, float]


@dataclass(frozen=True)
class Answer:
    """What the first screen says.

    Attributes:
        about: the variant spoken of; None where nothing can be compared.
        effect: whether it helps, with number and interval.
        beside: how it does beside its placebo, and which others are decided if it is not; "" for neither.
        cost: what it costs.
        remarks: what keeps these from being misread, most important first.
        drawn: what `effect` and `beside` name, in this order.
    """

    about: Compared | None
    effect: str
    cost: str
    remarks: tuple[str, ...]
    beside: str = ""
    drawn: tuple[Drawn, ...] = ()


def answer(results: Results) -> Answer:
    """Speak of the variant with the largest difference to the baseline; of why there is none, otherwise.

    In a study of attention that is an attention. In a study of components, what each of them does comes first. A single
    pair of seeds is spoken of only where nothing has two.
    """
    if results.effects is not None:
        return _of_components(results, results.effects)
    return _of_variants(results)


def _of_components(results: Results, effects: ComponentEffects) -> Answer:
    """Which component did what, and then the best combination."""
    found = _of_variants(results)
    if found.about is None:
        return found
    network = _network(found.about.reference)
    sentences = (effect_sentence(effects, network), interaction_sentence(effects))
    remarks = (*filter(None, (found.effect, found.beside)), *found.remarks)
    main = () if effects.main is None else effects.main.estimates
    drawn = tuple(Drawn(each.name, each.effect, (each.low, each.high)) for each in main)
    return replace(found, effect=" ".join(filter(None, sentences)), remarks=remarks, beside="", drawn=drawn)


def _of_variants(results: Results) -> Answer:
    attention = [c for c in results.compared if not c.variant.is_placebo]
    if results.effects is None and not all(variant.is_stock for variant in results.variants):
        attention = [c for c in attention if not c.variant.is_stock]  # a larger stock model, say, answers nothing
    if not attention:
        return _nothing_to_compare(results)
    learned = [c for c in attention if c.comparison.unlearned is None]
    if not learned:
        return _no_verdict(results, attention[0])
    attention = [c for c in learned if c.comparison.form is not None] or learned
    about = attention[0]
    variant, reference, comparison = about.variant, about.reference, about.comparison
    who = variant.label if len(attention) == 1 else f"{variant.label}, the highest of {len(attention)} variants,"
    verdict = {
        "better": f"{who} makes {_network(reference)} better",
        "worse": f"{who} makes {_network(reference)} worse",
        "equivalent": f"{who} makes no difference larger than {results.margin:g} to {_network(reference)}",
        "identical": f"{who} has the very scores of {reference.label} for {_network(reference)}",
        "undecided": f"It is undecided whether {who} helps {_network(reference)}",
    }[comparison.verdict]
    own, base = _means(variant, reference, comparison)
    # A model of unequal seeds compares at equal seeds, which is not the difference of the two means.
    equal_seeds = "" if abs(own - base - about.mean) < SEEN else " at equal seeds"
    where = " on the test images" if results.study.scored_on == "test" else ""
    effect = (
        f"{verdict}: {results.study.score_name}{where} is {_fraction(own)} instead of {_fraction(base)}, "
        f"{signed(about.mean)}{equal_seeds} ({_sure(results, reference, comparison)})."
    )
    placebos = _beside_placebos(results, about, attention)
    sentences = [placebo_sentence(each) for each in placebos]
    beside = " ".join(filter(None, [*sentences[:1], _decided_others(about, attention)]))
    subject = variant.label if beside or results.effects is not None else "It"
    cost = _cost(results, variant, reference, subject)
    remarks = (*_remarks(results, about, attention), *sentences[1:])
    drawn = tuple(_drawn(each) for each in (about, *placebos[:1]) if each.variant is variant)
    return Answer(about, effect, cost, remarks, beside, drawn)


def _beside_placebos(results: Results, about: Compared, attention: Sequence[Compared]) -> list[Compared]:
    """Variants beside their placebos, the one spoken of first."""
    found = [beside_placebo(results, each.variant) for each in sorted(attention, key=lambda each: each is not about)]
    return [each for each in found if each is not None]


def _drawn(compared: Compared) -> Drawn:
    bounds = compared.comparison.difference.bounds or (compared.mean, compared.mean)
    return Drawn(f"against {compared.reference.label}", compared.mean, bounds)


def _decided_others(about: Compared, attention: Sequence[Compared]) -> str:
    """Which other variants are decided, where the one spoken of is not."""
    if about.comparison.verdict != "undecided":
        return ""
    words = {"better": "is better", "worse": "is worse"}
    told = [
        f"{each.variant.label} {words.get(verdict) or f'makes no difference larger than {each.comparison.margin:g}'} "
        f"({signed(each.mean)})"
        for each in attention
        if (verdict := each.comparison.verdict) in {"better", "worse", "equivalent"}
    ]
    return f"Of the other variants, {listed(told)}." if told else ""


def _no_verdict(results: Results, about: Compared) -> Answer:
    """That a network learned nothing is all that is said of it."""
    variant, reference = about.variant, about.reference
    scored = [v for v in results.variants if v.scores]
    if len(scored) > 2 and not any(v.learned for v in scored):
        effect = (
            f"No verdict: none of the {len(scored)} variants has learned anything. The highest "
            f"{results.study.score_name} is {max(v.score for v in scored):.2g}; up to {results.floor:g} it cannot be "
            "told from an untrained network's."
        )
        return Answer(None, effect, _cost(results, variant, reference, variant.label), ())
    who = {
        "both": f"neither {variant.label} nor {reference.label} has",
        "variant": f"{variant.label} has not",
        "baseline": f"{reference.label} has not",
    }[about.comparison.unlearned or "both"]
    own, base = variant.score, reference.score
    effect = (
        f"No verdict: {who} learned anything. {results.study.score_name} is {own:.2g} instead of {base:.2g}; up to "
        f"{results.floor:g} it cannot be told from an untrained network's."
    )
    return Answer(None, effect, _cost(results, variant, reference), ())


def _nothing_to_compare(results: Results) -> Answer:
    finished = [v for v in results.variants if v.scores]
    if not finished:
        states: dict[str, int] = {}
        for run in results.study.runs:
            states[run.status] = states.get(run.status, 0) + 1
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        return Answer(None, f"Nothing can be said yet: no run has a result ({told}).", "", ())
    best = max(finished, key=lambda v: v.score)
    if not any(v.scores for v in results.variants if v.is_baseline):
        why = "no baseline has finished"
    else:
        why = f"no {'combination' if results.effects is not None else 'attention'} has finished"
    metric = results.study.score_name
    told = "" if best.learned else f", which up to {results.floor:g} cannot be told from an untrained network's"
    return Answer(
        None,
        f"Whether {'any component' if results.effects is not None else 'attention'} helps cannot be said: {why}.",
        f"The highest {metric} is {_fraction(best.score)}, by {best.label} over {number_of(best.mean.n, 'seed')}"
        f"{told}.",
        (),
    )


def _network(variant: Variant) -> str:
    config = variant.records[0].config
    return f"{config['model']['name']} on {config['data']['name']}"


def _means(variant: Variant, reference: Variant, comparison: Comparison) -> tuple[float, float]:
    """The means of variant and reference over the seeds behind the comparison: common ones where only these count."""
    own, base = comparison.behind
    if comparison.form is None and comparison.paired.n:
        own = base = tuple(seed for seed in own if seed in base)
    return float(np.mean([variant.scores[s] for s in own])), float(np.mean([reference.scores[s] for s in base]))


def _sure(results: Results, reference: Variant, comparison: Comparison) -> str:
    difference, (own, base) = comparison.difference, comparison.seeds
    seeds = number_of(own, "seed") if own == base else f"{number_of(own, 'seed')}, {base} of the baseline"
    if difference.bounds is None:
        common = comparison.paired.n
        if comparison.form is None and 0 < common < max(own, base):
            seeds = f"over the {'one seed' if common == 1 else f'{common} seeds'} that both have"
        return f"{seeds}, no interval over seeds"
    compared = sum(
        each.reference.label == reference.label and each.comparison.form is not None for each in results.judged
    )
    which = "both" if compared == 2 else f"all {compared}"
    together = "" if compared == 1 else f" for {which} comparisons together"
    return f"{difference.level:.0%} interval {interval(difference.bounds)}{together}, {seeds}"


def _cost(results: Results, variant: Variant, reference: Variant, subject: str = "It") -> str:
    parts = []
    if variant.ratio.mean is not None:
        targets = results.study.targets
        where = [short_names(targets)[0]] if len(targets) > 1 else []
        sure = ", ".join(filter(None, [*where, latency_sure(variant)]))
        parts.append(f"{variant.ratio.mean:.2f} times the latency of the stock model" + (f" ({sure})" if sure else ""))
        parts += _elsewhere(results, variant)
    for key, unit, scale in (("model.parameters", "M\u00a0parameters", 1e6), ("model.gflops", "GFLOPs", 1)):
        if key in variant.numbers:
            text = f"{variant.numbers[key] / scale:.3g}\u00a0{unit}"
            size = _flops_size(variant)
            text += f" at {size:.0f}\u00a0px" if unit == "GFLOPs" and size is not None else ""
            alike = unit != "GFLOPs" or size == _flops_size(reference)
            if alike and reference.numbers.get(key):
                text += f" ({_against_baseline(variant.numbers[key], reference.numbers[key])})"
            parts.append(text)
    if not parts:
        return "Its cost was not measured."
    return f"{subject} takes {listed(parts)}."


def _against_baseline(own: float, base: float) -> str:
    return "as the baseline" if own == base else f"{minus(f'{own / base - 1:+.1%}')} against the baseline"


def _elsewhere(results: Results, variant: Variant) -> list[str]:
    """The latency on further targets of a study that was timed together."""
    names = short_names(results.study.targets)
    ratios = [(name, timed_on(variant, number)) for number, name in enumerate(names)][1:]
    return [f"{ratio.ratio:.2f} times ({name})" for name, ratio in ratios if ratio is not None]


def _flops_size(variant: Variant) -> float | None:
    return variant.numbers.get("model.flops_imgsz")


def latency_sure(variant: Variant) -> str:
    """Interval of the latency ratio, and what disturbed the machine while it was timed; empty for neither."""
    timings = [timed for record in variant.records if (timed := record.timed) is not None]
    states = [state for state in DISTURBED if any(getattr(timing, state) for timing in timings)]
    bounds = [] if variant.ratio.low is None else [f"{variant.ratio.low:.2f} to {variant.ratio.high:.2f}"]
    return ", ".join(bounds + ([f"machine {' and '.join(states)}"] if states else []))


def _remarks(results: Results, about: Compared, chosen_of: Sequence[Compared]) -> list[str]:
    variant, reference, comparison = about.variant, about.reference, about.comparison
    remarks = list(remarks_on(variant, reference, results.margin, results.study.score_name))
    own, base = flattered(variant), flattered(reference)
    if own and base:
        remarks.append(
            f"On the validation images, where each run's best epoch was chosen, {variant.label} scores "
            f"{signed(float(np.mean(own)))} against the test images, {reference.label} {signed(float(np.mean(base)))}."
        )
    if comparison.look:
        remarks.append(f"Declared looks: {comparison.look}.")
    if results.unlearned:
        remarks.append(f"No verdict on what learned nothing: {', '.join(results.unlearned)}.")
    if (needed := comparison.needed) is not None and needed.seeds is not None:
        remarks.append(f"With this difference and spread, {needed} would decide.")
    if (corrected := _corrected(chosen_of)) is not None:
        remarks.append(corrected)
    if (found := results.over_images(variant.label)) is not None:
        bounds = f" ({interval(found.bounds)})" if found.bounds is not None else ""
        remarks.append(
            f"Over {results.study.images} the difference is {signed(found.difference)}{bounds}; "
            f"this {results.images[variant.label].covers}."
        )
    if (both := results.over_both(variant.label)) is not None:
        covers = results.both[variant.label].covers
        unadjusted = results.unadjusted and f" and is {results.unadjusted}"
        remarks.append(
            f"For other seeds and other images together it is {interval((both.low, both.high))}; this {covers}"
            f"{unadjusted}."
        )
    return remarks + [f"{note[0].upper()}{note[1:]}." for note in comparison.notes]


def _corrected(chosen_of: Sequence[Compared]) -> str | None:
    """The difference of the highest of several variants, without the luck of having been chosen.

    Args:
        chosen_of: the variants among which the answer chose, highest first.
    """
    errors = [each.comparison.error for each in chosen_of if each.comparison.error is not None]
    if len(chosen_of) < 2 or len(errors) < len(chosen_of):
        return None
    # Two differences from one baseline share its part of their variances.
    parts = [own / (own + base) for own, base in (each.comparison.seeds for each in chosen_of)]
    shared = np.sqrt(np.outer(parts, parts))
    references = [each.reference.label for each in chosen_of]
    shared *= [[one == other for other in references] for one in references]
    np.fill_diagonal(shared, 1)
    found = shrunken([each.mean for each in chosen_of], errors, shared)
    return (
        f"As the highest of {len(chosen_of)} variants it was probably lucky, too; corrected for that choice, the "
        f"difference is {signed(found)}."
    )


def _fraction(value: float) -> str:
    return f"{value:.3f}"
