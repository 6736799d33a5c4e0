"""AP by size on cases made by hand."""

import numpy as np
import pytest

from yolo26_attention.evaluation.coco import ap_by_size
from yolo26_attention.evaluation.detections import Detections

FOUND = 1.0
MISSED = None


def box(width, height):
    return [5.0, 5.0, 5.0 + width, 5.0 + height]


def scene(*objects, wrong=(), classes=None):
    """Each object in an image of its own.

    Args:
        objects: side in pixels, and the IoU of what was found of it; MISSED for nothing.
        wrong: sides of detections in a further image, where nothing is.
        classes: of the objects; None for the same.
    """
    sides = [side for side, _ in objects]
    classes = classes or [0] * len(objects)
    boxes, image, cls = [], [], []
    for number, (side, iou) in enumerate(objects):
        if iou is not MISSED:
            boxes.append(box(side * iou, side))
            image.append(number)
            cls.append(classes[number])
    for side in wrong:
        boxes.append(box(side, side))
        image.append(len(objects))
        cls.append(0)
    return Detections(
        images=np.array([f"{number}.png" for number in range(len(objects) + 1)]),
        shapes=np.full((len(objects) + 1, 2), 640),
        image=np.array(image, dtype=int),
        cls=np.array(cls, dtype=int),
        # What is wrong is the most confident.
        conf=np.linspace(0.1, 0.9, len(boxes), dtype=np.float32),
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        tp=np.zeros((len(boxes), 10), dtype=bool),
        object_image=np.arange(len(objects)),
        object_cls=np.array(classes),
        object_boxes=np.array([box(side, side) for side in sides], dtype=np.float32).reshape(-1, 4),
    )


@pytest.mark.parametrize(
    ("detections", "small", "medium", "large"),
    [
        pytest.param(scene((20, FOUND), (50, MISSED), (120, FOUND)), 1, 0, 1, id="each-by-itself"),
        pytest.param(scene((20, FOUND)), 1, None, None, id="one-size-only"),
        # At 6 of 10 thresholds (0.50 to 0.75) what overlaps by 0.77 counts as found.
        pytest.param(scene((20, 0.77)), 0.6, None, None, id="by-overlap"),
        pytest.param(scene((20, FOUND), (50, FOUND), wrong=[20]), 0.5, 1, None, id="wrong-counts-in-its-own-size"),
        pytest.param(scene((31.9, FOUND), (32.1, MISSED)), 1, 0, None, id="beside-the-line-of-32"),
        pytest.param(scene((95.9, FOUND), (96.1, MISSED)), None, 1, 0, id="beside-the-line-of-96"),
        pytest.param(scene((32, FOUND)), 1, 1, None, id="on-the-line"),
        pytest.param(scene((32.0004, FOUND)), 1, 1, None, id="on-the-line-but-for-rounding"),
        pytest.param(scene((20, FOUND), (20, FOUND), classes=[0, 7]), 1, None, None, id="several-classes"),
        pytest.param(scene((20, FOUND), (20, MISSED), classes=[0, 7]), 0.5, None, None, id="mean-over-classes"),
        pytest.param(scene((20, MISSED), (50, MISSED)), 0, 0, None, id="no-detection"),
        pytest.param(scene(), None, None, None, id="no-object"),
        pytest.param(scene(wrong=[20]), None, None, None, id="no-object-but-detections"),
    ],
)
def test_ap_by_size(detections, small, medium, large):
    assert ap_by_size(detections) == pytest.approx({"small": small, "medium": medium, "large": large})
