"""The identity of a data set follows content, and what is counted and refused before training."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image
from ultralytics.cfg import get_cfg
from ultralytics.data.build import build_yolo_dataset
from ultralytics.data.utils import check_det_dataset

from tests.data.conftest import add_image
from yolo26_attention.data import contents, files
from yolo26_attention.data.datasets import DatasetInvalidError, resolve_dataset
from yolo26_attention.data.digits import build_digits
from yolo26_attention.data.label_cache import restrict_label_caches

# What version 0.1 computed.
DIGITS = "473bfb29d5e05275389d48b1926a31ca81371427b998ceef8708751acbcfc6b2"
FOLDER = "251897fcb539a5b8d0fece5780918a94a9c5858eac75c8e2e8c163bb0287c6fb"
LIST = "5b85f50cee57c681b02b52eeae9b430a86750afe543522f2d0151c9ca63dc23d"

NESTED = "5379f38a7eb37acb38d625a87f9a3e4a9e80922bd9002beb1a3be8d7e78c4c32"


def keep_times(path, content):
    """Replace a file's content so that size and time of change stay."""
    stat = path.stat()
    assert len(content) == stat.st_size
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def decoded(monkeypatch):
    """The images that were decoded."""
    seen = []

    def image_fault(path, channels):
        seen.append(path.name)
        return files.image_fault(path, channels)

    monkeypatch.setattr(contents, "image_fault", image_fault)
    return seen


def test_an_edited_label_of_the_same_size_and_time_is_another_set(pets, yaml_of, tmp_path, settled):
    before = resolve_dataset(yaml_of(), cache=tmp_path)
    keep_times(pets / "labels/train/a.txt", b"1 0.5 0.5 0.2 0.2\n")
    after = resolve_dataset(yaml_of(), cache=tmp_path)
    assert after.identity != before.identity
    assert after.sizes_identity == before.sizes_identity


def test_an_edited_image_of_the_same_size_and_time_is_another_set(pets, yaml_of, tmp_path, settled):
    image = pets / "images/train/a.bmp"
    Image.new("RGB", (32, 32)).save(image)
    (pets / "images/train/a.png").unlink()
    before = resolve_dataset(yaml_of(), cache=tmp_path)
    keep_times(image, image.read_bytes()[:-3] + b"abc")
    after = resolve_dataset(yaml_of(), cache=tmp_path)
    assert after.identity != before.identity
    assert after.sizes_identity == before.sizes_identity


def test_ultralytics_reads_an_edited_label_of_the_same_size_and_time_anew(pets, yaml_of):
    restrict_label_caches()
    data = check_det_dataset(yaml_of(), autodownload=False)

    def classes():
        made = build_yolo_dataset(get_cfg(overrides={"task": "detect"}), data["train"], 2, data, mode="val")
        return [int(label["cls"][0, 0]) for label in made.labels]

    assert classes() == [0, 0]
    assert (pets / "labels/train.cache").is_file()
    keep_times(pets / "labels/train/b.txt", b"1 0.5 0.5 0.2 0.2\n")
    assert classes() == [0, 1]


def test_the_second_start_decodes_only_what_changed(pets, yaml_of, tmp_path, settled, decoded):
    first = resolve_dataset(yaml_of(), cache=tmp_path / "cache")
    assert len(decoded) == 4
    decoded.clear()
    assert resolve_dataset(yaml_of(), cache=tmp_path / "cache") == first
    assert decoded == []
    add_image(pets, "train/b.png", seed=9)
    assert resolve_dataset(yaml_of(), cache=tmp_path / "cache").identity != first.identity
    assert decoded == ["b.png"]


def test_a_file_that_has_just_changed_is_not_taken_from_the_cache(yaml_of, tmp_path, decoded):
    for _ in range(2):
        resolve_dataset(yaml_of(), cache=tmp_path / "cache")
    assert len(decoded) == 8


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"rules": 1}', b"\xff"])
def test_a_damaged_cache_is_made_anew(yaml_of, tmp_path, settled, decoded, damage):
    first = resolve_dataset(yaml_of(), cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage)
    assert resolve_dataset(yaml_of(), cache=tmp_path / "cache") == first
    assert file.read_bytes() == whole
    assert len(decoded) == 8


def test_a_cache_that_cannot_be_written_is_done_without(yaml_of, tmp_path, caplog):
    (tmp_path / "file").touch()
    resolve_dataset(yaml_of(), cache=tmp_path / "file")
    assert "the next start reads every image again" in caplog.text


def test_images_seen_with_other_channels_are_decoded_again(yaml_of, tmp_path, settled, decoded):
    resolve_dataset(yaml_of(), cache=tmp_path / "cache")
    resolve_dataset(yaml_of(channels="1"), cache=tmp_path / "cache")
    assert len(decoded) == 8


def test_labels_seen_with_more_classes_are_checked_again(pets, yaml_of, tmp_path, settled):
    (pets / "labels/train/a.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    resolve_dataset(yaml_of(), cache=tmp_path / "cache")
    with pytest.raises(DatasetInvalidError, match="has class 1, and names: has 0 to 0"):
        resolve_dataset(yaml_of(names="[cat]"), cache=tmp_path / "cache")


def test_a_label_that_was_seen_whole_and_is_damaged_since_is_refused(pets, yaml_of, tmp_path, settled):
    resolve_dataset(yaml_of(), cache=tmp_path / "cache")
    keep_times(pets / "labels/train/a.txt", b"0 0.5 0.5 nan 0.2\n")
    with pytest.raises(DatasetInvalidError, match=r"a\.txt, line 1 has a value that is not finite"):
        resolve_dataset(yaml_of(), cache=tmp_path / "cache")


def test_runs_of_before_are_found_by_the_identity_of_sizes(tmp_path):
    """Values that version 0.1 computed for these very sets."""
    digits = build_digits(tmp_path, train_images=4, val_images=2, imgsz=64)
    assert resolve_dataset(digits).sizes_identity == DIGITS
    own = tmp_path / "own"
    shutil.copytree(digits.parent, own)
    (own / "fingerprint.json").unlink()
    names = "names: [a, b, c, d, e, f, g, h, i, j]\n"
    (own / "data.yaml").write_text(f"path: {own}\ntrain: images/train\nval: images/val\n{names}")
    (own / "list.yaml").write_text(f"path: {own}\ntrain: [list.txt, images/train]\nval: images/val\n{names}")
    (own / "list.txt").write_text("./images/train/00001.bmp\n./images/train/00000.bmp\n")
    (own / "nested.yaml").write_text(f"path: {own}\ntrain: images\nval: images/val\n{names}")
    assert resolve_dataset(own / "nested.yaml").sizes_identity == NESTED
    assert resolve_dataset(own / "data.yaml").sizes_identity == FOLDER
    assert resolve_dataset(own / "list.yaml").sizes_identity == LIST


def test_edited_digits_are_a_set_of_ones_own(tmp_path):
    yaml = build_digits(tmp_path, train_images=4, val_images=2, imgsz=64)
    before = resolve_dataset(yaml).identity
    assert resolve_dataset(yaml).sizes_identity == before
    label = yaml.parent / "labels/train/00000.txt"
    keep_times(label, (b"1" if label.read_bytes()[:1] == b"0" else b"0") + label.read_bytes()[1:])
    assert resolve_dataset(yaml).identity != before


def test_changed_at_is_the_newest_time_of_any_file(pets, yaml_of):
    for path in pets.rglob("*.*"):
        os.utime(path, (1000, 1000))
    for newest, file in enumerate(("images/train/a.png", "labels/val/b.txt", "list.txt"), 2000):
        (pets / "list.txt").write_text("./images/train/a.png\n")
        os.utime(pets / "list.txt", (1000, 1000))
        os.utime(pets / file, (newest, newest))
        assert resolve_dataset(yaml_of(train="list.txt")).changed_at == newest


def cut(path):
    os.truncate(path, path.stat().st_size - 40)


def four_channels(path):
    Image.new("RGBA", (32, 32)).save(path)


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        pytest.param("c.bmp", cut, "not an intact image .OpenCV", id="bmp-cut"),
        pytest.param("c.tif", cut, "not an intact image", id="tiff-cut"),
        pytest.param("c.webp", cut, "not an intact image", id="webp-cut"),
        pytest.param("c.jp2", cut, "not an intact image", id="jpeg2000-cut"),
        pytest.param("c.jpg", cut, "is a truncated JPEG", id="jpeg-cut"),
        pytest.param("c.png", cut, "not an intact image", id="png-cut"),
        pytest.param("c.png", lambda path: Image.new("RGB", (9, 40)).save(path), "<10 pixels", id="small"),
        pytest.param("c.png", lambda path: Image.new("RGB", (32, 32)).save(path, "GIF"), "image format GIF", id="gif"),
        pytest.param(
            "c.png",
            lambda path: Image.new("1", (1_100_000, 12)).save(path),
            "not an intact image .OpenCV",
            id="too-wide",
        ),
        pytest.param(
            "c.png", lambda path: np.save(path.with_suffix(".npy"), np.ones((2, 2, 3))), "npy beside", id="npy"
        ),
    ],
)
def test_an_image_that_the_training_cannot_read_is_refused(pets, yaml_of, name, damage, said):
    damage(add_image(pets, f"train/{name}"))
    with pytest.raises(DatasetInvalidError, match=rf"train has unusable files: .*{name} .*{said}"):
        resolve_dataset(yaml_of())


def test_an_image_of_more_pixels_than_pillow_opens_is_refused(pets, yaml_of, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 48 // 2 - 1)
    with pytest.raises(DatasetInvalidError, match="exceeds limit of 1534 pixels"):
        resolve_dataset(yaml_of())


def test_images_of_mixed_channels_are_refused_where_ultralytics_takes_them_as_they_are(pets, yaml_of):
    for path in (pets / "images").rglob("*.png"):
        four_channels(path)
    assert resolve_dataset(yaml_of(channels="4")).channels == 4
    add_image(pets, "val/c.png")
    with pytest.raises(DatasetInvalidError, match=r"val/c\.png has 3 channels as the training reads it, but .* is 4"):
        resolve_dataset(yaml_of(channels="4"))


def test_the_array_of_a_disk_cache_is_accepted_and_a_stale_one_refused(pets, yaml_of, tmp_path, settled):
    image = pets / "images/train/a.png"
    array = image.with_suffix(".npy")
    np.save(array, np.asarray(Image.open(image))[..., ::-1])
    first = resolve_dataset(yaml_of(), cache=tmp_path)
    stat = image.stat()
    add_image(pets, "train/a.png", seed=9)
    os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(DatasetInvalidError, match=r"a\.png is not used: Ultralytics would train on a\.npy"):
        resolve_dataset(yaml_of(), cache=tmp_path)
    array.unlink()
    assert resolve_dataset(yaml_of(), cache=tmp_path).identity != first.identity


def test_images_without_a_label_are_counted_and_said(pets, yaml_of):
    add_image(pets, "val/c.png", label=None, seed=7)
    add_image(pets, "val/d.png", label="", seed=8)
    dataset = resolve_dataset(yaml_of())
    assert dataset.splits["val"].unlabelled == 1
    assert dataset.splits["val"].backgrounds == 1
    assert dataset.notes == [
        "data: 1 of 4 images of val have no label file and count as background; the first missing one is "
        f"{pets}/labels/val/c.txt"
    ]
    assert dataset.counts["val"]["looked_for"] == f"{pets}/labels/val/c.txt"


def test_a_folder_named_twice_is_said(yaml_of):
    dataset = resolve_dataset(yaml_of(train="[images/train, images/train]"))
    assert dataset.splits["train"].images == 4
    assert dataset.notes == ["data: 2 of 4 images of train are listed more than once"]


def test_validation_images_that_are_trained_on_are_said(pets, yaml_of):
    shutil.copy(pets / "images/train/a.png", pets / "images/val/b.png")
    dataset = resolve_dataset(yaml_of())
    assert dataset.shared == dataset.counts["shared"] == 1
    assert dataset.notes == ["data: 1 of 2 images of val are also in train"]


def test_rows_that_ultralytics_takes_once_are_said_with_file_and_line(pets, yaml_of):
    (pets / "labels/train/b.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n\n0 0.50 0.5 0.2 0.2\n")
    assert resolve_dataset(yaml_of()).notes == [
        "data: 1 label files of train repeat a row, which Ultralytics uses once; the first is "
        f"{pets}/labels/train/b.txt, line 4"
    ]


def test_nothing_is_said_of_a_set_as_it_should_be(yaml_of):
    assert resolve_dataset(yaml_of()).notes == []


def test_two_classes_of_one_name_are_refused(yaml_of):
    with pytest.raises(DatasetInvalidError, match="classes 0 and 2 of names: are both called cat; give each"):
        resolve_dataset(yaml_of(names="[cat, dog, cat]"))


def test_a_single_class_has_ultralytics_neutral_name(yaml_of):
    dataset = resolve_dataset(yaml_of(names="[cat, cat]"), single_cls=True)
    assert dataset.names == {0: "item"}


def test_the_names_and_their_order_are_part_of_the_identity(yaml_of):
    found = {resolve_dataset(yaml_of(names=names)).identity for names in ("[cat, dog]", "[dog, cat]", "[cat, cow]")}
    assert len(found) == 3
