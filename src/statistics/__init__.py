"""Estimates with intervals: NumPy and SciPy only, arrays in, dataclasses out, nothing of ours imported.

Two sources of chance are kept apart: the seeds of the training (`paired`, `seeds`, `groups`, `blocks`) and the
validation images (`ap`, `images`).
"""

from src.statistics.ap import Matches, average_precision, mean_average_precision
from src.statistics.blocks import Contrast, StudyModel, compare
from src.statistics.groups import indistinguishable
from src.statistics.images import ImageDifference, Interval, compare_images, resampled_map
from src.statistics.paired import Estimate, holm, mean_interval, seeds_to_decide, sign_flip
from src.statistics.seeds import UNTRAINED, Comparison, at_floor, compare_seeds

__all__ = [
    "UNTRAINED",
    "Comparison",
    "Contrast",
    "Estimate",
    "ImageDifference",
    "Interval",
    "Matches",
    "StudyModel",
    "at_floor",
    "average_precision",
    "compare",
    "compare_images",
    "compare_seeds",
    "holm",
    "indistinguishable",
    "mean_average_precision",
    "mean_interval",
    "resampled_map",
    "seeds_to_decide",
    "sign_flip",
]
