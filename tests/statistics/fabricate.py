"""Detections and objects drawn at random, as a validator would have matched them."""

import numpy as np

from yolo26_attention.statistics import Matches

THRESHOLDS = 10


def fabricate(generator, images=20, detections=150, objects=60, classes=4, ties=None, skill=1.0):
    """What `matches` and Ultralytics' `ap_per_class` take, in the order of the images.

    Args:
        generator: draws everything.
        images: how many.
        detections: in all images.
        objects: in all images.
        classes: of both; which of them occur is chance.
        ties: so many different confidences; None for all different.
        skill: 0 finds nothing.
    """
    object_image, object_cls = generator.integers(images, size=objects), generator.integers(classes, size=objects)
    image, cls = np.sort(generator.integers(images, size=detections)), generator.integers(classes, size=detections)
    conf = generator.random(detections)
    if ties:
        conf = np.ceil(conf * ties) / ties
    conf = conf.astype(np.float32)
    tp = np.zeros((detections, THRESHOLDS), dtype=bool)
    iou = skill * generator.random((detections, THRESHOLDS)).max(axis=1) * conf**0.3
    left = {}
    for pair in zip(object_image, object_cls, strict=True):
        left[pair] = left.get(pair, 0) + 1
    for threshold in range(THRESHOLDS):
        free = dict(left)
        for detection in np.argsort(-conf, kind="stable"):
            pair = image[detection], cls[detection]
            if iou[detection] > 0.5 + 0.05 * threshold and free.get(pair, 0):
                free[pair] -= 1
                tp[detection, threshold] = True
    return {
        "image": image,
        "conf": conf,
        "cls": cls,
        "tp": tp,
        "object_image": object_image,
        "object_cls": object_cls,
        "images": images,
    }


def matches(drawn):
    """`Matches` in the order in which Ultralytics ranks the detections."""
    order = np.argsort(-drawn["conf"])
    return Matches(
        np.array([f"{number:04d}.jpg" for number in range(drawn["images"])]),
        drawn["image"][order],
        drawn["cls"][order],
        drawn["tp"][order],
        drawn["object_image"],
        drawn["object_cls"],
    )
