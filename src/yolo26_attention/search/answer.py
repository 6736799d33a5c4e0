"""The answer of a search as Markdown: its front, the confirmation, what each value is worth, what was not tried."""

from statistics import mean

from yolo26_attention.attention.options import BASELINE
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.counts import number_of
from yolo26_attention.durations import duration
from yolo26_attention.search.candidates import Candidate, predicted_ratio
from yolo26_attention.search.confirmation import PLACEBO_OF, Confirmed, unconfirmed
from yolo26_attention.search.driver import Search
from yolo26_attention.statistics.additive import worth
from yolo26_attention.study.declared_looks import look_model, scores_at
from yolo26_attention.text_tables import markdown_table


def answer(search: Search, confirmed: Confirmed | None, study: str) -> str:
    """Write the answer.

    Args:
        search: a search whose candidates have been trained as far as the budget allows.
        confirmed: what the confirmation has found; None before it has begun.
        study: name of the study that confirms.
    """
    parts = [
        f"# {search.search.question}",
        _front(search),
        _confirmation(search, confirmed, study),
        _worth(search),
        _spent(search),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _front(search: Search) -> str:
    scores, reference = search.finals(), search.space.reference
    if not scores:
        return "No candidate has finished the full schedule yet."
    rows = [["candidate", "mAP50-95, one seed", "against the reference", "latency / stock, predicted", "measured"]]
    for one in search.front():
        measured = search.state.costs.get(search.space.label(one))
        against = "" if one == reference or reference not in scores else f"{scores[one] - scores[reference]:+.4f}"
        predicted = f"{_predicted(search, one):.3f}"
        rows.append([search.space.label(one), f"{scores[one]:.4f}", against, predicted, _number(measured)])
    parts = [
        f"## The front of {len(scores)} candidates with the full schedule",
        "No other candidate scored higher at the same latency. One seed chose these scores: they flatter.",
        "\n".join(markdown_table(rows)),
    ]
    if search.front() == [reference]:
        parts.append("Nothing within the budget scored higher than the reference, so there is nothing to confirm.")
    return "\n\n".join([*parts, _adds_up(search)])


def _adds_up(search: Search) -> str:
    """How well the costs of single changes predicted the latency of combinations."""
    costs = search.state.costs
    combined = [one for one in search.finals() if len(one.changed) > 1 and search.space.label(one) in costs]
    if not combined:
        return f"Measured on {search.state.machine}." if search.state.machine else ""
    apart = max(abs(costs[search.space.label(one)] - _predicted(search, one)) for one in combined)
    return (
        f"Costs add up to within {apart:.3f} of stock's latency in "
        f"{number_of(len(combined), 'measured combination')}. Measured on {search.state.machine}."
    )


def _predicted(search: Search, candidate: Candidate) -> float:
    return predicted_ratio(search.space, candidate, search.state.costs)


def _confirmation(search: Search, confirmed: Confirmed | None, study: str) -> str:
    if confirmed is None or not confirmed.standing.complete:
        return ""
    standing = confirmed.standing
    found, notes = _intervals(confirmed)
    kept, validation = (
        scores_at(scores, standing.arms, standing.complete, BASELINE, confirmed.declared)
        for scores in (confirmed.scores, confirmed.validation)
    )
    searched = {search.space.label(one): score for one, score in search.finals().items()}
    rows = [["variant", "seeds", "mean mAP50-95", "against the reference", "interval", "verdict", "flattered"]]
    for variant, scores in kept.items():
        arm, flattered = standing.arms.get(variant), ""
        if variant in searched and validation[variant]:
            flattered = f"{searched[variant] - mean(validation[variant].values()):+.4f}"
        average = f"{mean(scores.values()):.4f}" if scores else ""
        against = found.get(variant, ("", ""))
        rows.append([variant, str(len(scores)), average, *against, "" if arm is None else arm.words, flattered])
    parts = [
        "## Confirmed with new seeds",
        f"Look {standing.complete} of {len(standing.looks)}. Each variant has the seeds of the look that decided it, "
        "or of this one. Intervals hold for all variants and all looks at 95 %. "
        "Flattered is how much higher the search scored: what choosing the best of many adds (the winner's curse).",
        "\n".join(markdown_table(rows)),
        *notes,
        _late(search),
        _without_placebo(confirmed),
        f"The whole comparison: `python -m src.report {study}`",
    ]
    return "\n\n".join(filter(None, parts))


def _intervals(confirmed: Confirmed) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The difference and the interval of each variant at its own look, by the model that decided there; and notes."""
    standing, declared = confirmed.standing, confirmed.declared
    found, notes = {}, []
    for number in sorted({arm.look for arm in standing.arms.values()}):
        kept = scores_at(confirmed.scores, standing.arms, number, BASELINE, declared)
        try:
            model = look_model(kept, BASELINE, declared.margin_or_default)
        except ValueError as error:
            notes.append(f"No comparison at look {number}: {error}.")
            continue
        critical = model.critical_at(1 - standing.levels[number - 1])
        for each in model.comparisons:
            if standing.arms[each.variant].look == number:
                low, high = each.difference - critical * each.se, each.difference + critical * each.se
                found[each.variant] = f"{each.difference:+.4f}", f"{low:+.4f} to {high:+.4f}"
    return found, notes


def _late(search: Search) -> str:
    """Which candidates are on the front and not in the confirmation, which had begun."""
    if not (late := unconfirmed(search)):
        return ""
    return (
        f"Not confirmed, because the search found them after the confirmation had begun: {', '.join(late)}. "
        "search=NAME starts a search of another name, which uses the runs there are and confirms its own front."
    )


def _without_placebo(confirmed: Confirmed) -> str:
    """Which candidates were confirmed without a placebo beside them."""
    own = [label for label in confirmed.scores if label != BASELINE and not label.startswith(PLACEBO_OF)]
    alone = [label for label in own if f"{PLACEBO_OF}{label}" not in confirmed.scores]
    if not alone:
        return ""
    return (
        f"Without a placebo, because none as large can be built or it has no result yet: {', '.join(alone)}. Whether "
        "attention helps there, or its parameters, is open."
    )


def _worth(search: Search) -> str:
    first = search.rungs[0]
    scores = {one: score for one in search.runs if (score := search.score(one, first)) is not None}
    if len(scores) < 2:
        return ""
    found = worth({one: one.indices for one in scores}, scores, search.space.keys)
    rows = [["key", "value", "candidates", f"effect on mAP50-95 after epoch {first}", "interval"]]
    for each in found:
        value = search.space.values[search.space.keys.index(each.factor)][each.value]
        effect = "not determined" if each.effect is None else f"{each.effect:+.4f}"
        interval = "" if each.low is None or each.high is None else f"{each.low:+.4f} to {each.high:+.4f}"
        rows.append([each.factor, as_override(value), str(each.runs), effect, interval])
    return "\n\n".join(
        [
            f"## What each value is worth, from all {len(scores)} candidates",
            "Against the first value of its key, if effects add up; each interval is a 95 % interval on its own.",
            "\n".join(markdown_table(rows)),
        ]
    )


def _spent(search: Search) -> str:
    total, within = sum(1 for _ in search.space), len(search.costs)
    untried = len(search.possible) - len(search.runs)
    lines = [
        f"- {total} candidates: {len(search.runs)} started, {untried} within the budget "
        f"but never tried, {total - within} too slow, {len(search.state.impossible)} impossible.",
        f"- {duration(search.state.seconds)} of training. All {within} candidates within the budget would have taken "
        f"about {duration(_grid_seconds(search))} with one seed.",
    ]
    lines += [f"- failed: {label}: {reason}" for label, reason in search.failures().items()]
    return "\n".join(["## What was spent", "", *lines])


def _grid_seconds(search: Search) -> float:
    """The time of the full grid, at this search's time for an epoch."""
    trained = 0
    for candidate in search.runs:
        trained += max((epoch for epoch in search.rungs if search.score(candidate, epoch) is not None), default=0)
    return search.state.seconds / max(trained, 1) * search.rungs[-1] * len(search.costs)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
