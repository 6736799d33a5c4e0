import shutil

import pytest
import ultralytics.data.utils
from PIL import Image

from yolo26_attention.data import splits
from yolo26_attention.data.datasets import (
    DatasetError,
    DatasetInvalidError,
    DatasetMissingError,
    resolve_dataset,
)
from yolo26_attention.data.digits import build_digits

HEAD = "path: {folder}\ntrain: images/train\nval: images/val\n"
GOOD = HEAD + "names: [cat, dog]\n"


@pytest.fixture
def folder(tmp_path):
    """A small set in YOLO's format, without its YAML."""
    folder = tmp_path / "pets"
    for split in ("train", "val"):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(folder / "images" / split / "a.png")
        (folder / "labels" / split / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    return folder


@pytest.fixture
def write(folder):
    def write(text=GOOD):
        file = folder / "pets.yaml"
        file.write_bytes(text.replace("{folder}", str(folder)).encode())
        return file

    return write


@pytest.fixture
def empty_datasets_dir(tmp_path, monkeypatch):
    place = tmp_path / "datasets"
    monkeypatch.setattr(ultralytics.data.utils, "DATASETS_DIR", place)
    monkeypatch.setattr(splits, "DATASETS_DIR", place)
    return place


def identity(file):
    return resolve_dataset(str(file)).identity


def test_a_set_of_ones_own(write, folder):
    dataset = resolve_dataset(str(write()))
    assert dataset.yaml == folder / "pets.yaml"
    assert dataset.names == {0: "cat", 1: "dog"}
    assert dataset.channels == 3
    assert len(dataset.identity) == 64


def test_a_relative_path_is_made_absolute(write, folder, monkeypatch):
    write()
    monkeypatch.chdir(folder)
    assert resolve_dataset("pets.yaml").yaml == folder / "pets.yaml"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD.replace("[cat, dog]", "{1: dog, 0: cat}"), id="names-as-mapping"),
        pytest.param(GOOD.replace("[cat, dog]", '{"0": cat, "1": dog}'), id="numbers-as-text"),
        pytest.param(GOOD + "nc: 2\n", id="nc-given"),
        pytest.param(GOOD + "channels: 3\n", id="channels-given"),
        pytest.param(GOOD.replace("path: {folder}\n", ""), id="path-left-out"),
        pytest.param(GOOD.replace("images/train", "[images/train]"), id="list-of-folders"),
        pytest.param(GOOD.replace("val:", "test: nowhere\nval:"), id="test-split"),
        pytest.param("\ufeff" + GOOD, id="byte-order-mark"),
    ],
)
def test_what_says_the_same_is_the_same_set(write, text):
    assert identity(write(text)) == identity(write(GOOD))


def test_a_moved_set_is_the_same_set(write, folder, tmp_path):
    before = identity(write())
    moved = tmp_path / "moved"
    folder.rename(moved)
    (moved / "pets.yaml").write_text(GOOD.replace("{folder}", str(moved)))
    assert identity(moved / "pets.yaml") == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda folder: (folder / "labels/train/a.txt").write_text("1 0.5 0.5 0.25 0.2\n"),
            id="label",
        ),
        pytest.param(
            lambda folder: Image.new("RGB", (64, 64)).save(folder / "images/train/a.png"),
            id="image",
        ),
        pytest.param(
            lambda folder: Image.new("RGB", (32, 32)).save(folder / "images/val/b.png"),
            id="one-more-image",
        ),
        pytest.param(
            lambda folder: (folder / "images/train/a.png").rename(folder / "images/train/b.png"),
            id="image-without-label",
        ),
        pytest.param(
            lambda folder: [
                (folder / f"{kind}/train/a{suffix}").rename(folder / f"{kind}/train/b{suffix}")
                for kind, suffix in (("images", ".png"), ("labels", ".txt"))
            ],
            id="name",
        ),
    ],
)
def test_other_content_is_another_set(write, folder, change):
    before = identity(write())
    shutil.copy(folder / "images/train/a.png", folder / "images/train/c.png")
    shutil.copy(folder / "labels/train/a.txt", folder / "labels/train/c.txt")
    with_c = identity(write())
    change(folder)
    assert len({before, with_c, identity(write())}) == 3


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD.replace("dog", "cow"), id="names"),
        pytest.param(GOOD + "channels: 1\n", id="channels"),
    ],
)
def test_another_yaml_is_another_set(write, text):
    assert identity(write(text)) != identity(write(GOOD))


def test_lists_of_images(write, folder):
    (folder / "train.txt").write_text("\ufeff./images/train/a.png\n\n", encoding="utf-8")
    file = write(GOOD.replace("images/train", "train.txt"))
    assert resolve_dataset(str(file)).names == {0: "cat", 1: "dog"}
    (folder / "train.txt").write_text("./images/train/z.png\n")
    with pytest.raises(DatasetMissingError, match=r"train\.txt, line 1: train lists .*z.png, which does not exist"):
        resolve_dataset(str(file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "holds NoneType.*needs train:, val: and names:", id="empty"),
        pytest.param("- a\n- b\n", "holds list.*needs train:", id="no-mapping"),
        pytest.param("train: [\n", "line 2, column 1: .*", id="syntax"),
        pytest.param("names:\n\t- cat\n", "line 2 has a tab; indent with spaces", id="tab"),
        pytest.param("names: \x00\n", "not valid YAML: ", id="control-character"),
        pytest.param(GOOD.replace("train:", "trian:"), "has no train; it needs", id="no-train"),
        pytest.param(GOOD.replace("val: images/val", "val:"), "has no val;", id="empty-val"),
        pytest.param(HEAD, "has no names; it needs", id="no-names"),
        pytest.param(HEAD + "names: cat\n", "names='cat' must be a list", id="names-as-text"),
        pytest.param(
            HEAD + "names: {1: cat, 2: dog}\n",
            "numbered 1, 2; number the 2 classes from 0 to 1",
            id="names-from-1",
        ),
        pytest.param(HEAD + "names: {x: cat}\n", "numbered x; number the 1", id="no-numbers"),
        pytest.param(GOOD + "nc: 3\n", "nc=3 but there are 2 names; correct nc", id="nc"),
        pytest.param(GOOD + "channels: 0\n", "channels=0 must be", id="channels"),
        pytest.param(GOOD.replace("images/train", "5"), "'train' must be str or list", id="type"),
    ],
)
def test_a_yaml_that_does_not_say_what_it_must(write, text, said):
    file = write(text)
    with pytest.raises(DatasetInvalidError, match=said) as raised:
        resolve_dataset(str(file))
    assert str(file) in str(raised.value)
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, DatasetError)


def test_a_yaml_in_another_encoding(folder):
    file = folder / "pets.yaml"
    file.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(DatasetInvalidError, match=r"pets.yaml is not text in UTF-8; save it"):
        resolve_dataset(str(file))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("coco9", "Did you mean coco", id="misspelt"),
        pytest.param("zebra", "data=zebra is not known[.] The.*visdrone.*data.yaml=PATH", id="unknown"),
        pytest.param("digits", "build_digits", id="digits-not-built"),
        pytest.param("nowhere.yaml", "there is no file /.*/nowhere.yaml; give", id="no-file"),
        pytest.param(".", "is a folder; give the YAML file in it", id="folder"),
    ],
)
def test_a_yaml_that_is_not_there(name, said):
    with pytest.raises(DatasetMissingError, match=said) as raised:
        resolve_dataset(name)
    assert f"={name}" in str(raised.value)
    assert isinstance(raised.value, FileNotFoundError)
    assert isinstance(raised.value, DatasetError)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda f, split: shutil.rmtree(f / "images" / split), "not", id="no-folder"),
        pytest.param(
            lambda f, split: (f / "images" / split / "a.png").unlink(),
            "has no images; put some there.*png",
            id="no-images",
        ),
        pytest.param(
            lambda f, split: (f / "labels" / split / "a.txt").unlink(),
            "has a label; that of .*a.png should be .*a.txt",
            id="no-labels",
        ),
    ],
)
def test_a_yaml_that_names_what_is_not_there(write, folder, split, damage, said):
    damage(folder, split)
    with pytest.raises(DatasetMissingError, match=said) as raised:
        resolve_dataset(str(write()))
    assert str(folder / "images" / split) in str(raised.value)
    assert str(folder / "pets.yaml") in str(raised.value)


def test_a_missing_folder_of_ones_own_set_says_what_to_correct(write, folder):
    shutil.rmtree(folder / "images")
    with pytest.raises(DatasetMissingError, match=r"Correct path:, train: and val: in .*pets.yaml"):
        resolve_dataset(str(write()), download=True)


@pytest.mark.parametrize("name", ["coco8", "coco128", "coco", "voc", "visdrone", "VOC.yaml"])
def test_official_sets_that_are_not_there_say_how_to_fetch_them(empty_datasets_dir, name):
    with pytest.raises(DatasetMissingError, match=r"data\.download=true") as raised:
        resolve_dataset(name)
    assert str(empty_datasets_dir) in str(raised.value)
    assert not empty_datasets_dir.exists()


def test_a_set_that_is_fetched_has_the_identity_that_it_has_once_it_is_there(write, folder, tmp_path):
    place = tmp_path / "fetched"
    script = f"download: import shutil; shutil.copytree({str(folder)!r}, {str(place)!r})\n"
    file = write(GOOD.replace("{folder}", str(place)) + script)
    with pytest.raises(DatasetMissingError, match=r"data\.download=true"):
        resolve_dataset(file)
    first = resolve_dataset(file, download=True)
    assert (place / "images/train/a.png").is_file()
    assert resolve_dataset(file, download=True) == resolve_dataset(file) == first
    (place / "labels/train/a.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    assert identity(file) != first.identity


def test_a_download_that_fails_is_refused_with_its_reason(write, tmp_path):
    text = GOOD.replace("{folder}", str(tmp_path / "nowhere")) + "download: raise ConnectionError('no route')\n"
    with pytest.raises(DatasetMissingError, match=r"cannot be downloaded \(ConnectionError: no route\); try again"):
        resolve_dataset(write(text), download=True)


def test_half_an_official_set_is_not_downloaded(empty_datasets_dir):
    (empty_datasets_dir / "coco8/images/val").mkdir(parents=True)
    with pytest.raises(DatasetMissingError, match="Complete the set") as raised:
        resolve_dataset("coco8", download=True)
    assert str(empty_datasets_dir / "coco8/images/train") in str(raised.value)


def test_digits_are_known_by_their_fingerprint(tmp_path):
    options = {"train_images": 2, "val_images": 1, "imgsz": 64}
    here = resolve_dataset(build_digits(tmp_path / "here", **options))
    there = resolve_dataset(build_digits(tmp_path / "there", **options))
    other = resolve_dataset(build_digits(tmp_path / "here", **options, seed=1))
    assert here.names == {digit: str(digit) for digit in range(10)}
    assert here.identity == there.identity
    assert here.identity != other.identity


@pytest.mark.parametrize(
    ("path", "way_out"),
    [
        pytest.param(".", "Leave path: out, and it is that folder, {here}/set", id="its-own-folder"),
        pytest.param("../set", "Leave path: out, and it is that folder, {here}/set", id="its-own-folder-by-name"),
        pytest.param("../other", "Write path: {here}/other", id="beside-it"),
        pytest.param(
            "nowhere", "Write the absolute path of the folder that has images/val, or leave path: out", id="no"
        ),
    ],
)
def test_a_relative_path_of_a_yaml_is_answered_with_what_to_write(path, way_out, tmp_path, monkeypatch):
    (tmp_path / "set" / "images" / "val").mkdir(parents=True)
    (tmp_path / "other" / "images" / "val").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    file = tmp_path / "set" / "data.yaml"
    file.write_text(f"path: {path}\ntrain: images/train\nval: images/val\nnames: [a]\n")
    with pytest.raises(DatasetMissingError) as error:
        resolve_dataset(file)
    text = str(error.value)
    assert text.startswith(f"data.yaml={file}: ")
    assert "Note" not in text
    assert f"path: {path} in {file} is relative" in text
    assert text.splitlines()[-1].startswith(way_out.format(here=tmp_path))
