"""The answer of a search as Markdown: its front, the confirmation, what each value is worth, what was not tried."""

from collections.abc import Mapping, Sequence
from statistics import mean

from yolo26_attention.attention.options import BASELINE
from yolo26_attention.config.plain_yaml import as_override
from yolo26_attention.search.candidates import Candidate, predicted_ratio
from yolo26_attention.search.driver import Search
from yolo26_attention.statistics.additive import worth
from yolo26_attention.statistics.blocks import compare
from yolo26_attention.study.progress import duration


def answer(search: Search, confirmed: Mapping[str, Mapping[int, float]], study: str) -> str:
    """Write the answer.

    Args:
        search: a search whose candidates have been trained as far as the budget allows.
        confirmed: scores of the confirmation, by variant and seed; empty before it has begun.
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
        label = search.space.label(one)
        measured = search.state.costs.get(label)
        against = "" if one == reference or reference not in scores else f"{scores[one] - scores[reference]:+.4f}"
        rows.append([label, f"{scores[one]:.4f}", against, f"{_predicted(search, one):.3f}", _number(measured)])
    apart = [
        abs(search.state.costs[search.space.label(one)] - _predicted(search, one))
        for one in scores
        if len(one.changed) > 1 and search.space.label(one) in search.state.costs
    ]
    adds_up = (
        f"Costs add up to within {max(apart):.3f} of stock's latency in {len(apart)} combinations." if apart else ""
    )
    return "\n\n".join(
        filter(
            None,
            [
                f"## The front of {len(scores)} candidates with the full schedule",
                "No other candidate scored higher at the same latency. One seed chose these scores: they flatter.",
                table(rows),
                adds_up + f" Measured on {search.state.machine}."
                if adds_up
                else f"Measured on {search.state.machine}.",
            ],
        )
    )


def _predicted(search: Search, candidate: Candidate) -> float:
    return predicted_ratio(search.space, candidate, search.state.costs)


def _confirmation(search: Search, confirmed: Mapping[str, Mapping[int, float]], study: str) -> str:
    scored = {variant: scores for variant, scores in confirmed.items() if scores}
    if not scored:
        return ""
    found = {}
    note = ""
    try:
        found = {each.variant: each for each in compare(scored, BASELINE).comparisons}
    except ValueError as error:
        note = f"No comparison yet: {error}."
    searched = {search.space.label(one): score for one, score in search.finals().items()}
    rows = [["variant", "seeds", "mean mAP50-95", "difference to the reference", "interval", "of the search"]]
    for variant, scores in scored.items():
        one = found.get(variant)
        flattered = f"{searched[variant] - mean(scores.values()):+.4f}" if variant in searched else ""
        rows.append(
            [
                variant,
                str(len(scores)),
                f"{mean(scores.values()):.4f}",
                "" if one is None else f"{one.difference:+.4f}",
                "" if one is None else f"{one.low:+.4f} to {one.high:+.4f}",
                flattered,
            ]
        )
    return "\n\n".join(
        filter(
            None,
            [
                "## Confirmed with new seeds",
                "Intervals hold simultaneously at 95 %. The last column is how much higher the search scored: what "
                "choosing the best of many adds (the winner's curse).",
                table(rows),
                note,
                f"The whole comparison: `python -m src.report {study}`",
            ],
        )
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
            table(rows),
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


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table of Markdown that is also readable as text; the first row is the header."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
