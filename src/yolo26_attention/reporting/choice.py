"""The columns that a table shows, and the cell of each that is the best."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.reporting.caveats import TIMED_IN
from yolo26_attention.reporting.cells import Cell
from yolo26_attention.reporting.column_type import Column
from yolo26_attention.reporting.columns import ON_REQUEST, PAPER, component_columns, every_column
from yolo26_attention.reporting.comparison import MOST_GROUPED, Results, plain_numbers
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import indistinguishable

RATIO = "latency.ratio_to_stock"
FIRST_TARGET = ("latency_ratio", "latency_times")
SETS = ("default", "paper", "all")
BOLD = "the best of a column, if it can be told apart from all others"


def chosen_columns(results: Results, choice: str, default: Sequence[str] = ()) -> list[Column]:
    """The columns of a table.

    Args:
        results: of the study.
        choice: `default`, `paper`, `all`, or names as in `[map50,recall,fps]`.
        default: the names that `default` stands for; none given, all but those of `ON_REQUEST`.

    Returns:
        The columns in order, those of components first. Columns of a set that have nothing to show in this study are
        left out; columns that were chosen by name are not.

    Raises:
        ConfigError: if there is no column of a name.
    """
    every = every_column(results)
    components = [column.name for column in component_columns(results)]
    named = _named(choice, every)
    if named is not None:
        return [every[name] for name in dict.fromkeys([*components, "variant", *named])]
    left_out = {*ON_REQUEST, *_further("latency_times", every)}
    usual: Sequence[str] = default or [name for name in every if name not in left_out]
    wanted: Sequence[str] = {"default": usual, "paper": PAPER, "all": tuple(every)}[choice]
    metric = results.study.metric
    if metric not in wanted and f"{metric}_percent" not in wanted:
        before = next(index for index, name in enumerate(wanted) if name.startswith("difference"))
        wanted = (*wanted[:before], metric, *wanted[before:])
    if components:
        said = ("variant",) if wanted is PAPER else ()  # by check marks, and a paper has no room to say it twice
        wanted = list(dict.fromkeys([*components, *(name for name in wanted if name not in said)]))
    wanted = list(dict.fromkeys(each for name in wanted for each in (name, *_further(name, every))))
    return [every[name] for name in wanted if any(every[name].fill(variant).text for variant in results.variants)]


def _further(name: str, every: Mapping[str, Column]) -> list[str]:
    """The columns of further targets beside that of the first."""
    return [other for other in every if re.fullmatch(rf"{name}_\d+", other)] if name in FIRST_TARGET else []


def named_list(text: str) -> list[str]:
    """The names in a list as on a command line: `[map50,recall]` or `map50,recall`."""
    return [name.strip() for name in text.strip("[]").split(",") if name.strip()]


def _named(choice: str, every: Mapping[str, Column]) -> list[str] | None:
    """Names of columns; None for one of the sets."""
    if choice in SETS:
        return None
    names = named_list(choice)
    unknown = [name for name in names if name not in every]
    if unknown or not names:
        close = get_close_matches(unknown[0], [*SETS, *every], n=1) if unknown else []
        hint = f"did you mean {close[0]}? " if close else ""
        what = f"there is no column {unknown[0]}; {hint}" if unknown else "it names no column; "
        raise ConfigError(
            f"columns={choice}: {what}choose {', '.join(SETS)}, or a list such as [map50,recall,fps] of "
            f"{', '.join(every)}"
        )
    return names


def cells(results: Results, column: Column) -> list[Cell]:
    """The cells of a column, one for each variant; the best one is marked if it can be told apart from all others."""
    best = _best(results, column)
    return [replace(column.fill(variant), best=variant.label == best) for variant in results.variants]


def rows_of(results: Results, chosen: Sequence[Column]) -> list[list[Cell]]:
    """The cells of a table, a row for each variant."""
    return [list(row) for row in zip(*(cells(results, column) for column in chosen), strict=True)]


def _best(results: Results, column: Column) -> str | None:
    """Label of the best variant of a column; None if it cannot be told apart from another one."""
    if column.best is None:
        return None
    if column.number.startswith(("latency.", "model.")) and not _measured_alike(results, column):
        return None
    if results.study.targets and column.number.startswith("latency."):
        return _fastest(results, column)
    sign = 1 if column.best == "highest" else -1
    scores = {
        variant.label: {record.seed: sign * plain_numbers(record)[column.number] for record in variant.records}
        for variant in results.variants
        if variant.learned and column.number in variant.numbers
    }
    if len(scores) < 2:
        return None
    if all(len({*own.values()}) == 1 for own in scores.values()) and column.number.startswith("model."):
        exact = {label: next(iter(own.values())) for label, own in scores.items()}
        best = max(exact, key=lambda label: exact[label])
        return best if list(exact.values()).count(exact[best]) == 1 else None
    ranked = sorted(scores, key=lambda label: -sum(scores[label].values()) / len(scores[label]))
    groups = indistinguishable({label: scores[label] for label in ranked[:MOST_GROUPED]}, level=results.level)
    if len(groups[0]) > 1 or (column.number == results.study.score_number and not _confirmed(results, groups[0][0])):
        return None
    return groups[0][0]


def _with(results: Results, column: Column) -> list[Variant]:
    """The variants that take part in the choice of a column's best."""
    return [variant for variant in results.variants if variant.learned and column.number in variant.numbers]


def _measured_alike(results: Results, column: Column) -> bool:
    """Whether a cost was taken in one way, and at one image size where the number depends on it."""
    ways = set()
    for record in (record for variant in _with(results, column) for record in variant.records):
        if column.number.startswith("latency.") and record.timed is not None:
            ways.add(tuple(getattr(record.timed, key) for key in TIMED_IN))
        elif column.number == "model.gflops" and record.model is not None:
            ways.add((record.model.flops_imgsz,))
    return len(ways) < 2


def _fastest(results: Results, column: Column) -> str | None:
    """Label of the fastest variant of a study that was timed together; None if its interval meets another's.

    The ratio to the stock model decides for images per second as well, as they were timed in the same rounds, if all
    have the same stock model.
    """
    if column.number != RATIO and len({v.config["model"]["name"] for v in _with(results, column)}) > 1:
        return None
    found = {v.label: v.ratio for v in results.variants if v.learned and column.number in v.numbers}
    known = {label: (r.low, r.high) for label, r in found.items() if r.low is not None and r.high is not None}
    if len(found) < 2 or len(known) < len(found) or column.number.startswith("latency.throughput"):
        return None
    best = min(known, key=lambda label: known[label][1])
    return best if all(known[best][1] < low for label, (low, _) in known.items() if label != best) else None


def _confirmed(results: Results, label: str) -> bool:
    """Whether the verdicts, which may be held to declared looks, agree that this variant is the best."""
    verdicts = [(each.variant.label, each.reference.label, each.comparison.verdict) for each in results.judged]
    return all(
        verdict == ("better" if label == own else "worse")
        for own, reference, verdict in verdicts
        if label in (own, reference)
    )
