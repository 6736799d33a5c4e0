"""Precision over recall, as Ultralytics draws it."""

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from yolo26_attention.statistics.ap import Matches

# Ultralytics' points of recall (ultralytics/utils/metrics.py, `ap_per_class`).
RECALL_POINTS = np.linspace(0, 1, 1000)


def precision_over_recall(matches: Matches) -> Float64[NDArray[np.float64], " 1000"]:
    """The mean over classes of the precision at IoU 0.5 at each of `RECALL_POINTS`, as in Ultralytics' PR curve.

    The precision of a class is interpolated linearly between its detections; it is 0 beyond the recall it reaches.

    Args:
        matches: of one run; its first threshold is an IoU of 0.50.

    Returns:
        (1000,) fractions of 1; zeros if there is no object.
    """
    curves = []
    for cls in matches.classes:
        own = matches.cls == cls
        hits = matches.tp[own, 0].cumsum()
        if not len(hits):
            curves.append(np.zeros(len(RECALL_POINTS)))
            continue
        recall = hits / ((matches.object_cls == cls).sum() + 1e-16)
        precision = hits / np.arange(1, len(hits) + 1)
        recall = np.concatenate(([0.0], recall, [recall[-1], 1.0]))
        envelope = np.maximum.accumulate(np.concatenate(([1.0], precision, [0.0, 0.0]))[::-1])[::-1]
        curves.append(np.interp(RECALL_POINTS, recall, envelope))
    return np.mean(curves, axis=0) if curves else np.zeros(len(RECALL_POINTS))
