"""The columns of the comparison, by name."""

from collections.abc import Callable

from yolo26_attention.reporting.cells import (
    Cell,
    difference_cell,
    difference_of,
    mean_cell,
    mean_of,
    over_both,
    over_images,
    p_value,
    paired,
    plain_number,
    verdict_of,
)
from yolo26_attention.reporting.column_type import Column
from yolo26_attention.reporting.comparison import Results
from yolo26_attention.reporting.cost_columns import cost_columns
from yolo26_attention.reporting.scored import flattered
from yolo26_attention.reporting.variant import Variant

CHECK_MARK = "✓"
SPREAD = ", ± standard deviation over seeds"
# What a published ablation table shows, in its usual order.
PAPER = (
    "variant", "precision_percent", "recall_percent", "map50_percent", "map50_95_percent", "difference_percent",
    "parameters_m", "gflops", "latency_times", "fps",
)  # fmt: skip
TERMINAL = (
    "variant", "seeds", "precision", "recall", "map50", "map50_95", "flattered", "difference", "p", "latency_ratio",
    "images_per_second", "verdict",
)  # fmt: skip
# What the page and the Markdown leave out: the same numbers in other units, and tests that `difference` replaces.
ON_REQUEST = (
    "precision_percent", "recall_percent", "map50_percent", "map50_95_percent", "difference_percent", "parameters_m",
    "p50_ms", "latency_times", "paired", "p_sign_flip",
)  # fmt: skip


def every_column(results: Results) -> dict[str, Column]:
    """All columns of a study by name."""
    found = [*component_columns(results), *_scores(results), *_differences(results), *cost_columns(results)]
    return {column.name: column for column in found}


def component_columns(results: Results) -> list[Column]:
    """A column of check marks for each component of the study."""
    return [
        Column(f"with_{name}", name, f"whether component {name} is there", _check_mark(name), mark=True)
        for name in results.study.components
    ]


def _check_mark(component: str) -> Callable[[Variant], Cell]:
    def fill(variant: Variant) -> Cell:
        there = component in (variant.components or ())
        return Cell(CHECK_MARK if there else "", int(there))

    return fill


def _scores(results: Results) -> list[Column]:
    """Who it is, and what it scores."""
    found = [
        Column("variant", "variant", "what differs", lambda v: Cell(v.label), words=True),
        Column("seeds", "seeds", "finished of all", lambda v: Cell(f"{len(v.scores)}/{len(v.runs)}", len(v.scores))),
    ]
    for name, header, short, latex, what in (
        ("precision", "precision", "P (%)", "P", "precision"),
        ("recall", "recall", "R (%)", "R", "recall"),
        ("map50", "mAP50", "mAP50 (%)", r"mAP\textsubscript{50}", "mean average precision at IoU 0.5"),
        (
            "map50_95", "mAP50-95", "mAP50-95 (%)", r"mAP\textsubscript{50--95}",
            "mean average precision over IoU 0.5 to 0.95",
        ),
    ):  # fmt: skip
        number = f"metrics.{name}"
        headline = number == results.study.score_number
        what += SPREAD if headline else ""
        found += [
            Column(name, header, what, mean_of(results, number, 1, headline), best="highest", number=number),
            Column(
                f"{name}_percent", short, f"in %, {what}", mean_of(results, number, 100, headline),
                latex=latex, best="highest", number=number,
            ),
        ]  # fmt: skip
    return found + _chosen_on(results) + [
        _size_column(results, size, meaning)
        for size, meaning in (
            ("small", "objects below 32 x 32 pixels (COCO)"),
            ("medium", "objects in between (COCO)"),
            ("large", "objects above 96 x 96 pixels (COCO)"),
        )
    ]  # fmt: skip


def _size_column(results: Results, size: str, meaning: str) -> Column:
    number = f"ap_by_size.{size}"
    fill = plain_number(number, ".3f")
    if number == results.study.score_number:
        fill, meaning = mean_of(results, number, 1, True), meaning + SPREAD
    return Column(f"ap_{size}", f"AP {size}", meaning, fill, best="highest", number=number)


def _chosen_on(results: Results) -> list[Column]:
    """The scores where epochs were chosen, beside those on the test images."""
    metric = results.study.score_name
    chosen = ", where each run's best epoch was chosen" if any(map(flattered, results.variants)) else ""
    return [
        Column(
            "validation", "validation", f"{metric} on the validation images{chosen}",
            lambda v: mean_cell([run.validation for run in v.counted if run.validation is not None], results.level),
        ),
        Column(
            "flattered", "flattered by",
            f"{metric} on the validation images minus that on the test images: what the choice of the epoch and easier "
            "images add, ± standard deviation over seeds; the images are the same for all variants",
            lambda v: mean_cell(flattered(v), results.level),
        ),
    ]  # fmt: skip


def _differences(results: Results) -> list[Column]:
    """How each variant compares with its baseline."""
    level, metric = f"{results.level:.0%}", results.study.score_name
    unadjusted = results.unadjusted and f", {results.unadjusted}"
    model = f"simultaneous {level} interval from one model of all runs"
    return [
        Column(
            "difference", "difference", f"of {metric} from the baseline, with its {model}",
            lambda v: difference_cell(difference_of(v)),
        ),
        Column(
            "difference_percent", f"Δ {metric}",
            f"difference of {metric} from the baseline in points, with its {model}",
            lambda v: difference_cell(difference_of(v), 100), latex=r"$\Delta$ [95\,\%]".replace("95", level[:-1]),
        ),
        Column("p", "p", "adjusted for all comparisons, from the same model", lambda v: p_value(v, "p")),
        Column(
            "verdict", "verdict",
            f"better, worse, no difference larger than {results.margin:g}, undecided, or none: scores up to "
            f"{results.floor:g} cannot be told from an untrained network's",
            lambda v: Cell(verdict_of(v)), words=True,
        ),
        Column(
            "over_images", "over images",
            f"{level} interval of the difference for other images and these networks{unadjusted}",
            lambda v: over_images(results, v),
        ),
        Column(
            "seeds_and_images", "seeds and images",
            f"{level} interval of the difference for other seeds and other images{unadjusted}",
            lambda v: over_both(results, v),
        ),
        Column(
            "paired", "paired by seed", f"difference over common seeds, with its own {level} t interval", paired,
        ),
        Column("p_sign_flip", "sign-flip p", "exact, not adjusted", lambda v: p_value(v, "p_sign_flip")),
    ]  # fmt: skip
