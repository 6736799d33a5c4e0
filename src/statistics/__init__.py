"""Estimates with intervals: NumPy and SciPy only, arrays in, dataclasses out, nothing of ours imported.

Two sources of chance are kept apart: the seeds of the training (`paired`, `seeds`, `groups`) and the validation images
(`ap`, `images`, `image_groups`). `both` joins them.
"""

from yolo26_attention.statistics.ap import Matches, average_precision, mean_average_precision
from yolo26_attention.statistics.both import BothDifference, BothInterval, compare_both
from yolo26_attention.statistics.groups import indistinguishable
from yolo26_attention.statistics.images import ImageDifference, Interval, compare_images, resampled_map
from yolo26_attention.statistics.paired import Estimate, holm, mean_interval, seeds_to_decide, sign_flip
from yolo26_attention.statistics.seeds import UNTRAINED, Comparison, at_floor, compare_seeds

__all__ = [
    "UNTRAINED",
    "BothDifference",
    "BothInterval",
    "Comparison",
    "Estimate",
    "ImageDifference",
    "Interval",
    "Matches",
    "at_floor",
    "average_precision",
    "compare_both",
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
