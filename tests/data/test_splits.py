"""What is looked at is what is trained: the images of a split beside those of Ultralytics' own training set."""

import os
import random

import cv2
import numpy as np
import pytest
from ultralytics.cfg import get_cfg
from ultralytics.data.build import build_yolo_dataset
from ultralytics.data.utils import check_det_dataset
from ultralytics.utils import LOGGER

from tests.data.conftest import add_image
from yolo26_attention.data.datasets import DatasetInvalidError, DatasetMissingError, resolve_dataset
from yolo26_attention.data.splits import has_polygons, read_image, split_images


def trained(yaml, split="train", **settings):
    """The images of Ultralytics' own dataset, in its order."""
    data = check_det_dataset(yaml, autodownload=False)
    made = build_yolo_dataset(get_cfg(overrides={"task": "detect", **settings}), data[split], 2, data, mode=split)
    return [str(file) for file in made.im_files]


def listed(yaml, split="train", fraction=1.0):
    return [str(path) for path in split_images(yaml, split, fraction)]


def linked_folder(pets):
    elsewhere = pets.parent / "elsewhere" / "images" / "more"
    add_image(pets.parent / "elsewhere", "more/c.png")
    (pets / "images/train/linked").symlink_to(elsewhere)
    (pets / "labels/train/linked").symlink_to(pets.parent / "elsewhere/labels/more")


def subfolders(pets):
    add_image(pets, "train/deep/er/c.jpg")


def capital_suffix(pets):
    (pets / "images/train/b.png").rename(pets / "images/train/b.PNG")


def hidden(pets):
    (pets / "images/train/._a.png").write_bytes(b"Mac OS X")
    add_image(pets, "train/.ipynb_checkpoints/a-checkpoint.png")


def video(pets):
    (pets / "images/train/clip.mp4").write_bytes(b"no video")


@pytest.mark.parametrize("change", [linked_folder, subfolders, capital_suffix, hidden, video])
def test_a_folder_is_walked_as_ultralytics_walks_it(pets, yaml_of, change):
    change(pets)
    yaml = yaml_of()
    assert listed(yaml) == trained(yaml)
    assert resolve_dataset(yaml).splits["train"].images == len(trained(yaml))


def test_images_behind_a_link_are_part_of_the_identity(pets, yaml_of):
    linked_folder(pets)
    before = resolve_dataset(yaml_of()).identity
    (pets.parent / "elsewhere/labels/more/c.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    assert resolve_dataset(yaml_of()).identity != before


def test_a_damaged_image_behind_a_link_is_refused(pets, yaml_of):
    linked_folder(pets)
    (pets.parent / "elsewhere/images/more/c.png").write_bytes(b"x")
    with pytest.raises(DatasetInvalidError, match=r"linked/c\.png is not an intact image"):
        resolve_dataset(yaml_of())


def test_hidden_files_change_nothing(pets, yaml_of):
    before = resolve_dataset(yaml_of())
    hidden(pets)
    after = resolve_dataset(yaml_of())
    assert (after.identity, after.splits) == (before.identity, before.splits)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("./images/train/a.png\n./images/train/b.png\n", id="plain"),
        pytest.param("./images/train/a.png\n./images/train/b.png", id="no-newline-at-the-end"),
        pytest.param("./images/train/a.png\r\n./images/train/b.png\r\n", id="windows"),
        pytest.param("\ufeff./images/train/a.png\n\n\n./images/train/b.png\n", id="mark-and-blank-lines"),
        pytest.param("\n ./images/train/a.png\n./images/train/b.png \n", id="blanks-around-the-whole"),
        pytest.param("# two pets\n./images/train/a.png\n./images/train/b.png\n", id="comment"),
        pytest.param("{pets}/images/train/b.png\n{pets}/images/train/a.png\n", id="absolute"),
    ],
)
def test_a_list_is_read_as_ultralytics_reads_it(pets, yaml_of, text):
    (pets / "list.txt").write_bytes(text.replace("{pets}", str(pets)).encode())
    yaml = yaml_of(train="list.txt")
    assert listed(yaml) == trained(yaml) == [f"{pets}/images/train/{name}.png" for name in "ab"]
    assert resolve_dataset(yaml).splits["train"].images == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("./images/train/b.png \n./images/train/a.png", "line 2 .*ends with spaces", id="trailing-blank"),
        pytest.param("./images/train/b.png 0 0.5 0.5 1 1", "line 2 .*has more than an image path", id="darknet"),
        pytest.param("other.txt", "line 2 .*is a list in a list", id="list-of-lists"),
        pytest.param("./images/train", "line 2 .*has no image extension", id="folder"),
        pytest.param("./images/train/b.gif", "line 2 .*has no image extension", id="unknown-suffix"),
        pytest.param("#./images/train/b.png", "line 2: .*a comment must not end with an image extension", id="comment"),
        pytest.param("images/train/b.png", r"line 2: .*only paths that begin with \./ are relative", id="relative"),
        pytest.param("../pets/images/train/b.png", r"line 2: .*only paths that begin with \./", id="parent"),
    ],
)
def test_a_line_that_ultralytics_would_drop_is_refused_with_its_number(
    pets, yaml_of, line, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (pets / "list.txt").write_text(f"./images/train/a.png\n{line}\n")
    with pytest.raises((DatasetInvalidError, DatasetMissingError), match=rf"list\.txt, {said}"):
        resolve_dataset(yaml_of(train="list.txt"))


def test_lines_are_counted_from_the_first_one_that_is_blank(pets, yaml_of):
    (pets / "list.txt").write_text("\n\n./images/train/a.png\nother.txt\n")
    with pytest.raises(DatasetInvalidError, match=r"list\.txt, line 4 would be skipped"):
        resolve_dataset(yaml_of(train="list.txt"))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_list_in_another_encoding_is_refused_with_its_line(pets, yaml_of, encoding):
    (pets / "list.txt").write_bytes("# été\n./images/train/a.png\n".encode(encoding))
    with pytest.raises(DatasetInvalidError, match=r"list\.txt, which is not UTF-8 text \(line 1"):
        resolve_dataset(yaml_of(train="list.txt"))


def test_a_fraction_counts_the_images_that_ultralytics_takes(pets, yaml_of):
    for number in range(5):
        add_image(pets, f"train/c{number}.png", seed=10 + number)
    yaml = yaml_of()
    assert listed(yaml, fraction=0.4) == trained(yaml, fraction=0.4)
    assert resolve_dataset(yaml, fraction=0.4).splits["train"].images == 3
    assert resolve_dataset(yaml, fraction=4).splits["train"].images == len(trained(yaml, fraction=4)) == 4
    assert resolve_dataset(yaml, fraction=0.4).splits["val"].images == 2


def test_a_hard_link_is_an_image_of_its_own(pets, yaml_of):
    os.link(pets / "images/train/a.png", pets / "images/train/c.png")
    os.link(pets / "labels/train/a.txt", pets / "labels/train/c.txt")
    assert resolve_dataset(yaml_of()).splits["train"].repeated == 0
    (pets / "images/train/d.png").symlink_to(pets / "images/train/a.png")
    (pets / "labels/train/d.txt").symlink_to(pets / "labels/train/a.txt")
    assert resolve_dataset(yaml_of()).splits["train"].repeated == 1


def test_a_fraction_of_1_keeps_all_images_whatever_its_type(pets, yaml_of):
    yaml = yaml_of()
    label = max(path for path in (pets / "labels/train").iterdir())
    label.write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    assert listed(yaml, fraction=1) == trained(yaml, fraction=1) == listed(yaml)
    assert has_polygons(yaml, 1)
    assert not has_polygons(yaml, 0.01)


def test_the_first_images_of_a_fraction_must_have_an_object(pets, yaml_of):
    (pets / "labels/train/a.txt").write_text("")
    assert resolve_dataset(yaml_of()).splits["train"].backgrounds == 1
    with pytest.raises(DatasetInvalidError, match="no label of train has an object"):
        resolve_dataset(yaml_of(), fraction=0.5)


def test_looking_moves_no_global_stream_and_leaves_the_log_on(yaml_of):
    random.seed(1)
    before = random.getstate()
    resolve_dataset(yaml_of())
    assert random.getstate() == before
    assert not LOGGER.disabled


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_an_image_is_read_as_the_training_reads_it(pets, yaml_of, channels):
    for split in ("train", "val"):
        for name in "ab":
            (pets / f"images/{split}/{name}.png").unlink()
            pages = np.random.default_rng(ord(name)).integers(0, 255, (channels, 32, 48), dtype=np.uint8)
            cv2.imwritemulti(str(pets / f"images/{split}/{name}.tif"), list(pages if channels == 5 else pages[:1]))
    yaml = yaml_of(channels=str(channels))
    data = check_det_dataset(yaml, autodownload=False)
    made = build_yolo_dataset(get_cfg(overrides={"task": "detect", "imgsz": 48}), data["val"], 2, data, mode="val")
    (path, *_) = split_images(yaml, "val")
    assert np.array_equal(read_image(path, channels), made.load_image(0)[0])
    assert read_image(path, channels).shape == (32, 48, channels)
    assert resolve_dataset(yaml).channels == channels


def test_an_image_that_is_gone_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.png does not exist"):
        read_image(tmp_path / "no.png", 3)


def test_a_label_folder_may_be_a_link(pets, yaml_of):
    before = resolve_dataset(yaml_of()).identity
    os.rename(pets / "labels", pets.parent / "kept")
    (pets / "labels").symlink_to(pets.parent / "kept")
    assert resolve_dataset(yaml_of()).identity == before
