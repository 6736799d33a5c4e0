"""mAP against Ultralytics' own, on the whole set and on images drawn several times."""

import numpy as np
import pytest
from ultralytics.utils.metrics import ap_per_class

from tests.statistics.fabricate import THRESHOLDS, fabricate, matches
from yolo26_attention.statistics import Matches, average_precision, mean_average_precision

CASES = [
    pytest.param({}, id="plain"),
    pytest.param({"ties": 3}, id="ties"),
    pytest.param({"ties": 1}, id="all-tied"),
    pytest.param({"skill": 0}, id="nothing-right"),
    pytest.param({"skill": 10}, id="everything-right"),
    pytest.param({"detections": 0}, id="no-detection"),
    pytest.param({"detections": 1, "objects": 1, "skill": 10}, id="one-of-each"),
    pytest.param({"objects": 0}, id="no-object"),
    pytest.param({"objects": 3, "classes": 30}, id="most-classes-without-object"),
    pytest.param({"images": 1}, id="one-image"),
    pytest.param({"detections": 5000, "objects": 400, "ties": 50}, id="many"),
    # Recalls that are exactly hundredths, where the curve falls on a point of the interpolation.
    pytest.param({"objects": 100, "classes": 1, "detections": 400, "skill": 10}, id="recalls-in-hundredths"),
    pytest.param({"objects": 70, "classes": 1, "detections": 400, "skill": 10}, id="recalls-in-seventieths"),
]


def ultralytics(drawn, counts=None):
    """`ap_per_class` of the images as they are, or of each as often as counted, in the ranking of the whole set."""
    if counts is None:
        ranked, conf = np.arange(len(drawn["conf"])), drawn["conf"]
        objects = drawn["object_cls"]
    else:
        order = np.argsort(-drawn["conf"])
        ranked = np.repeat(order, counts[drawn["image"][order]])
        conf = -np.arange(len(ranked), dtype=np.float64)
        objects = np.repeat(drawn["object_cls"], counts[drawn["object_image"]])
    return ap_per_class(drawn["tp"][ranked], conf, drawn["cls"][ranked], objects)[5]


@pytest.mark.parametrize("case", CASES)
def test_equals_ultralytics(case):
    drawn = fabricate(np.random.default_rng(0), **case)
    expected = ultralytics(drawn)
    assert average_precision(matches(drawn)) == pytest.approx(expected, abs=1e-12)
    maps = (expected.mean(), expected[:, 0].mean()) if len(expected) else (0, 0)
    assert mean_average_precision(matches(drawn)) == pytest.approx(maps, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [pytest.param(seed, id=f"draw-{seed}") for seed in range(3)])
def test_images_drawn_equal_images_repeated(case, seed):
    generator = np.random.default_rng(seed)
    drawn = fabricate(generator, **case)
    counts = np.bincount(generator.integers(drawn["images"], size=drawn["images"]), minlength=drawn["images"])
    own = average_precision(matches(drawn), counts)
    there = np.isin(matches(drawn).classes, np.repeat(drawn["object_cls"], counts[drawn["object_image"]]))
    assert own[there] == pytest.approx(ultralytics(drawn, counts), abs=1e-12)
    assert np.isnan(own[~there]).all()


def test_blocks_of_classes_change_nothing(monkeypatch):
    drawn = fabricate(np.random.default_rng(0), detections=2000, classes=12, objects=300)
    whole = average_precision(matches(drawn))
    monkeypatch.setattr("yolo26_attention.statistics.ap.BLOCK", 200)
    split = matches(drawn)
    assert len(split._blocks) > 5
    assert average_precision(split) == pytest.approx(whole, abs=1e-12)


def single_class(*found, objects):
    """One image, one class; whether each detection is right, in descending confidence, at every threshold."""
    tp = np.repeat(np.array(found, dtype=bool)[:, None], THRESHOLDS, axis=1)
    zeros = np.zeros(len(found), dtype=int)
    return Matches(np.array(["a.jpg"]), zeros, zeros, tp, np.zeros(objects, dtype=int), np.zeros(objects, dtype=int))


@pytest.mark.parametrize(
    ("found", "objects", "ap"),
    [
        # 50 points at 1, one at recall 0.5 and 49 behind it at 2/3, and 0 at recall 1; trapezoids between them.
        pytest.param([1, 0, 1], 2, (0.5 + 49 + 50 * 2 / 3) / 100, id="right-wrong-right"),
        pytest.param([1], 1, 0.995, id="perfect"),
        pytest.param([0, 1], 1, (0.25 + 99 * 0.5) / 100, id="wrong-right"),
        pytest.param([0, 0], 1, 0, id="all-wrong"),
    ],
)
def test_counted_by_hand(found, objects, ap):
    assert average_precision(single_class(*found, objects=objects)) == pytest.approx(np.full((1, THRESHOLDS), ap))


def test_class_that_no_drawn_image_has_does_not_count():
    drawn = fabricate(np.random.default_rng(1), images=6, classes=2)
    drawn["object_cls"] = (drawn["object_image"] == 0).astype(int)  # class 1 is in the first image only
    counts = np.array([0, 1, 1, 1, 1, 2])
    own = average_precision(matches(drawn), counts)
    assert np.isnan(own[1]).all()
    assert mean_average_precision(matches(drawn), counts) == pytest.approx((own[0].mean(), own[0, 0]))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"cls": np.zeros(2, dtype=int)}, r"\(N,\), \(N,\) and \(N, T\) are needed", id="lengths"),
        pytest.param({"object_cls": np.zeros(3, dtype=int)}, r"1 images and 3 classes of objects", id="objects"),
        pytest.param({"image": np.array([5])}, r"image 5 to 5 of 1 images", id="image-out-of-range"),
    ],
)
def test_parts_that_do_not_fit(change, message):
    values = vars(single_class(1, objects=1)) | change
    with pytest.raises(ValueError, match=message):
        Matches(**values)
