"""The cells of the comparison: numbers of a variant as text, with what they are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from yolo26_attention.files.latency import Ratio
from yolo26_attention.reporting.comparison import Results, plain_numbers
from yolo26_attention.reporting.signs import minus, signed
from yolo26_attention.reporting.variant import Variant
from yolo26_attention.statistics import Estimate, mean_interval


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        main: the text.
        value: the number behind it, unrounded, in the column's unit; None if there is none.
        detail: how sure the number is, as text.
        spread: more numbers by suffix (`sd`, `low`, `high`), for CSV.
        best: whether it is the best of its column and can be told apart from all others.
    """

    main: str
    value: float | None = None
    detail: str = ""
    spread: Mapping[str, float | None] | None = None
    best: bool = False

    @property
    def text(self) -> str:
        return f"{self.main} {self.detail}".strip()


def mean_of(results: Results, number: str, scale: float, with_sd: bool) -> Callable[[Variant], Cell]:
    """The mean over seeds of a number that every run has."""
    digits = 4 if scale == 1 else 1

    def fill(variant: Variant) -> Cell:
        found = [plain_numbers(record).get(number) for record in variant.records]
        known = [scale * value for value in found if value is not None]
        if not known or len(known) < len(found):
            return Cell("")
        return mean_cell(known, results.level, digits, with_sd)

    return fill


def mean_cell(values: Sequence[float], level: float, digits: int = 4, with_sd: bool = True) -> Cell:
    """The mean over seeds, with its standard deviation; empty without a value."""
    estimate = mean_interval(values, level)
    if estimate.mean is None:
        return Cell("")
    detail = f"± {estimate.sd:.{digits}f}" if with_sd and estimate.sd is not None else ""
    return Cell(minus(f"{estimate.mean:.{digits}f}"), estimate.mean, detail, spread_of(estimate))


def plain_number(name: str, form: str, scale: float = 1) -> Callable[[Variant], Cell]:
    def fill(variant: Variant) -> Cell:
        value = variant.numbers.get(name)
        return Cell("") if value is None else Cell(format(scale * value, form).rstrip("."), scale * value)

    return fill


def difference_cell(found: Estimate | None, scale: float = 1) -> Cell:
    if found is None or found.mean is None:
        return Cell("")
    bounds = None if found.bounds is None else (scale * found.bounds[0], scale * found.bounds[1])
    return signed_cell(scale * found.mean, bounds, 4 if scale == 1 else 1)


def signed_cell(value: float, bounds: tuple[float, float] | None, digits: int = 4) -> Cell:
    """A difference with its interval."""
    interval = "" if bounds is None else f"[{signed(bounds[0], digits)}, {signed(bounds[1], digits)}]"
    low, high = bounds or (None, None)
    return Cell(signed(value, digits), value, interval, {"low": low, "high": high})


def spread_of(estimate: Estimate) -> dict[str, float | None]:
    """Deviation and bounds of an estimate, by suffix."""
    return {"sd": estimate.sd, "low": estimate.low, "high": estimate.high}


def difference_of(variant: Variant) -> Estimate | None:
    """The difference from the baseline; None if nothing can be said of it, because one of the two learned nothing."""
    comparison = variant.comparison
    return None if comparison is None or comparison.unlearned is not None else comparison.difference


def paired(variant: Variant) -> Cell:
    comparison = variant.comparison
    return Cell("") if comparison is None or comparison.unlearned is not None else difference_cell(comparison.paired)


def p_value(variant: Variant, name: str) -> Cell:
    value = None if variant.comparison is None else getattr(variant.comparison, name)
    return Cell("") if value is None else p_cell(value)


def p_cell(value: float) -> Cell:
    """A p value."""
    return Cell("<0.001" if value < 0.001 else f"{value:.3f}", value)


def verdict_of(variant: Variant) -> str:
    if not variant.scores:
        return "no result"
    if variant.comparison is None:
        kind = "baseline" if variant.is_baseline else "nothing to compare with"
        return kind if variant.learned else f"{kind}: learned nothing"
    return variant.comparison.words


def over_images(results: Results, variant: Variant) -> Cell:
    found = results.over_images(variant.label)
    return Cell("") if found is None or found.low is None else signed_cell(found.difference, found.bounds)


def over_both(results: Results, variant: Variant) -> Cell:
    found = results.over_both(variant.label)
    return Cell("") if found is None else signed_cell(found.estimate, (found.low, found.high))


def timed_ratio(ratio: Ratio | None, short: bool = False) -> Cell:
    """A ratio of latencies with its interval, or `short` as a multiple; empty for None."""
    if ratio is None:
        return Cell("")
    spread = {"low": ratio.low, "high": ratio.high}
    if short:
        return Cell(f"{ratio.ratio:.2f}", ratio.ratio, "", spread)
    known = ratio.low is not None and ratio.high is not None
    return Cell(f"{ratio.ratio:.3f}", ratio.ratio, f"[{ratio.low:.2f}, {ratio.high:.2f}]" if known else "", spread)


def ratio_of(estimate: Estimate) -> Cell:
    if estimate.mean is None:
        return Cell("")
    bounds = "" if estimate.low is None else f"[{estimate.low:.2f}, {estimate.high:.2f}]"
    return Cell(f"{estimate.mean:.3f}", estimate.mean, bounds, spread_of(estimate))
