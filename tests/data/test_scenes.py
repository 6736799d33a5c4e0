import itertools

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from yolo26_attention.data.scenes import GAP, SPLITS, draw_scene, split_scans

SCENES = 60


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("train", 64, 22), id="64px"),
        pytest.param(("train", 160, 56), id="160px"),
        pytest.param(("val", 160, 56), id="160px-val"),
        pytest.param(("train", 320, 56), id="320px"),
    ],
)
def drawn(request):
    split, imgsz, largest = request.param
    return split, imgsz, largest, [draw_scene(split, i, imgsz=imgsz) for i in range(SCENES)]


@pytest.fixture(scope="module")
def scans():
    return load_digits()


def boxes_of(scenes):
    return np.concatenate([scene.boxes for scene in scenes])


def test_images_are_rgb_bytes(drawn):
    _, imgsz, _, scenes = drawn
    assert {(s.image.shape, s.image.dtype.name) for s in scenes} == {((imgsz, imgsz, 3), "uint8")}


def test_one_to_six_digits(drawn):
    counts = {len(scene.boxes) for scene in drawn[3]}
    assert counts == {1, 2, 3, 4, 5, 6}


def test_sizes_span_their_range(drawn):
    _, _, largest, scenes = drawn
    boxes = boxes_of(scenes)
    longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
    assert 16 <= longer.min() <= 17
    assert largest - 2 <= longer.max() <= largest


def test_boxes_lie_inside_the_image(drawn):
    _, imgsz, _, scenes = drawn
    boxes = boxes_of(scenes)
    assert boxes.min() >= 0
    assert boxes.max() <= imgsz


def test_boxes_do_not_touch(drawn):
    pairs = [pair for scene in drawn[3] for pair in itertools.combinations(scene.boxes, 2)]
    first, second = np.array(pairs).transpose(1, 0, 2)
    apart_PC = np.maximum(first[:, :2] - second[:, 2:], second[:, :2] - first[:, 2:])
    assert apart_PC.max(1).min() >= GAP


def changed_pixels(scene):
    return (scene.image != scene.background).any(-1)


def ink_bounds(scene, box):
    x1, y1, x2, y2 = box
    rows, columns = np.nonzero(changed_pixels(scene)[y1:y2, x1:x2])
    low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
    return np.array([x1 + low[0], y1 + low[1], x1 + high[0], y1 + high[1]])


def test_boxes_are_the_bounds_of_what_the_digits_changed(drawn):
    scenes = drawn[3]
    bounds = np.array([ink_bounds(scene, box) for scene in scenes for box in scene.boxes])
    # A pixel can change by less than one step where colour and texture happen to agree.
    assert (bounds == boxes_of(scenes)).all(1).mean() > 0.98
    assert np.abs(bounds - boxes_of(scenes)).max() <= 1


def test_nothing_changes_outside_the_boxes(drawn):
    def outside(scene):
        mask_HW = changed_pixels(scene)
        for x1, y1, x2, y2 in scene.boxes:
            mask_HW[y1:y2, x1:x2] = False
        return mask_HW.any()

    assert not any(outside(scene) for scene in drawn[3])


def test_digits_stand_out(drawn):
    def contrast(scene, box):
        x1, y1, x2, y2 = box
        region = slice(y1, y2), slice(x1, x2)
        weights = [0.299, 0.587, 0.114]
        ink, ground = (part[region] @ weights for part in (scene.image, scene.background))
        changed_HW = changed_pixels(scene)[region]
        return abs(ink[changed_HW].mean() - ground[changed_HW].mean())

    contrasts = [contrast(scene, box) for scene in drawn[3] for box in scene.boxes]
    assert min(contrasts) > 35


def test_backgrounds_are_textured_and_noisy(drawn):
    spread = [scene.background.std((0, 1)).max() for scene in drawn[3]]
    neighbours = [np.abs(np.diff(s.background.astype(int), axis=1)).mean() for s in drawn[3]]
    assert min(spread) > 1
    assert np.median(spread) > 8
    assert min(neighbours) > 0.2


def test_classes_are_those_of_the_scans(drawn, scans):
    classes = np.concatenate([scene.classes for scene in drawn[3]])
    used = np.concatenate([scene.scans for scene in drawn[3]])
    assert np.array_equal(classes, scans.target[used])
    assert set(classes.tolist()) == set(range(10))


def test_the_scan_itself_is_drawn(drawn, scans):
    def likeness(scene, box, scan):
        x1, y1, x2, y2 = box
        ink_HW = scans.images[scan]
        rows, columns = np.nonzero(ink_HW >= 6)
        cut_HW = ink_HW[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        wanted = Image.fromarray(cut_HW.astype(np.float32)).resize((x2 - x1, y2 - y1))
        return np.corrcoef(np.ravel(wanted), changed_pixels(scene)[y1:y2, x1:x2].ravel())[0, 1]

    likenesses = [
        likeness(scene, box, scan)
        for scene in drawn[3]
        for box, scan in zip(scene.boxes, scene.scans, strict=True)
        if np.ptp(box[[0, 2]]) > 8  # a thin 1 fills its whole box
    ]
    assert np.median(likenesses) > 0.75


def test_scenes_use_the_scans_of_their_split(drawn):
    split, _, _, scenes = drawn
    used = np.concatenate([scene.scans for scene in scenes])
    assert np.isin(used, split_scans(0)[split]).all()


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1], ids=lambda seed: f"seed{seed}")
def test_every_scan_is_in_exactly_one_split(seed, scans):
    pools = split_scans(seed)
    assert np.array_equal(np.sort(np.concatenate([*pools.values()])), np.arange(1797))
    share = np.bincount(scans.target[pools["val"]]) / np.bincount(scans.target)
    assert np.abs(share - 0.2).max() < 0.01


def test_the_seed_decides_the_split():
    assert not np.array_equal(np.sort(split_scans(0)["val"]), np.sort(split_scans(1)["val"]))


def test_a_scene_is_the_same_twice():
    first, second = draw_scene("train", 3), draw_scene("train", 3)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.boxes, second.boxes)


@pytest.mark.parametrize(
    ("split", "index", "seed"),
    [
        pytest.param("val", 3, 0, id="split"),
        pytest.param("train", 4, 0, id="index"),
        pytest.param("train", 3, 1, id="seed"),
    ],
)
def test_every_argument_changes_the_scene(split, index, seed):
    other = draw_scene(split, index, seed=seed)
    assert not np.array_equal(draw_scene("train", 3).background, other.background)


def test_the_test_split_has_scans_of_its_own_and_training_images_stay():
    assert SPLITS == ("train", "val", "test")
    without, shared = split_scans(0), split_scans(0, held_out=True)
    assert np.array_equal(shared["train"], without["train"])
    assert sorted([*shared["val"], *shared["test"]]) == sorted(without["val"])
    assert abs(len(shared["val"]) - len(shared["test"])) <= 1
    assert set(draw_scene("test", 0, held_out=True).scans) <= set(shared["test"])
    assert np.array_equal(draw_scene("train", 0).image, draw_scene("train", 0, held_out=True).image)
