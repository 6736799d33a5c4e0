"""Estimates with intervals: NumPy and SciPy only, arrays in, dataclasses out, nothing of ours imported.

Two sources of chance are kept apart: the seeds of the training (`paired`, `seeds`, `groups`, `blocks`, `factors`) and
the validation images (`ap`, `images`).
"""

from yolo26_attention.statistics.anytime import anytime_interval
from yolo26_attention.statistics.ap import Matches, average_precision, mean_average_precision
from yolo26_attention.statistics.blocks import StudyModel, compare
from yolo26_attention.statistics.both import BothDifference, BothInterval, compare_both
from yolo26_attention.statistics.factors import Effect, Effects, interactions, main_effects
from yolo26_attention.statistics.groups import indistinguishable
from yolo26_attention.statistics.image_groups import half_counts, interval_of_halves, number_groups
from yolo26_attention.statistics.images import (
    ImageDifference,
    Interval,
    compare_images,
    resample,
    resampled_map,
)
from yolo26_attention.statistics.paired import Estimate, mean_interval
from yolo26_attention.statistics.power import (
    detectable_at_looks,
    smallest_detectable,
    worthwhile_baseline_seeds,
)
from yolo26_attention.statistics.precision_recall import RECALL_POINTS, precision_over_recall
from yolo26_attention.statistics.seeds import UNTRAINED, Comparison, at_floor, compare_seeds, pair_seeds
from yolo26_attention.statistics.sequential import FUTILE, boundaries, decide, predictive_power, spent_share
from yolo26_attention.statistics.shrinkage import shrunken

__all__ = [
    "FUTILE",
    "RECALL_POINTS",
    "UNTRAINED",
    "BothDifference",
    "BothInterval",
    "Comparison",
    "Effect",
    "Effects",
    "Estimate",
    "ImageDifference",
    "Interval",
    "Matches",
    "StudyModel",
    "anytime_interval",
    "at_floor",
    "average_precision",
    "boundaries",
    "compare",
    "compare_both",
    "compare_images",
    "compare_seeds",
    "decide",
    "detectable_at_looks",
    "half_counts",
    "indistinguishable",
    "interactions",
    "interval_of_halves",
    "main_effects",
    "mean_average_precision",
    "mean_interval",
    "number_groups",
    "pair_seeds",
    "precision_over_recall",
    "predictive_power",
    "resample",
    "resampled_map",
    "shrunken",
    "smallest_detectable",
    "spent_share",
    "worthwhile_baseline_seeds",
]
