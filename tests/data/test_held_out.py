"""Which test splits are used, and that none changes the identity of a run."""

import shutil

import pytest

from yolo26_attention.data.datasets import resolve_dataset
from yolo26_attention.data.digits import build_digits, fingerprint, is_digits

SIZES = {"train_images": 4, "val_images": 3, "imgsz": 64}


@pytest.fixture
def made(tmp_path):
    """A data set of one's own with a test split."""
    source = build_digits(tmp_path / "digits", test_images=5, **SIZES)
    folder = tmp_path / "own"
    shutil.copytree(source.parent, folder)
    (folder / "fingerprint.json").unlink()
    yaml = folder / "data.yaml"
    yaml.write_text(yaml.read_text().replace(str(source.parent), str(folder)))
    return yaml


def test_a_test_split_is_counted_and_no_part_of_the_identity(made):
    found = resolve_dataset(made)
    assert (found.held_out.problem, found.held_out.split.images) == ("", 5)
    assert found.counts["test"]["identity"] == found.held_out.identity
    label = next((made.parent / "labels" / "test").glob("*.txt"))
    label.write_text("0 0.5 0.5 0.2 0.2\n")
    changed = resolve_dataset(made)
    assert changed.identity == found.identity
    assert changed.held_out.identity != found.held_out.identity
    made.write_text(made.read_text().replace("test: images/test\n", ""))
    without = resolve_dataset(made)
    assert without.identity == found.identity
    assert without.held_out.problem == "the data set has no test: split"
    assert without.notes == []


def _unlabelled(folder):
    shutil.rmtree(folder / "labels" / "test")


def _gone(folder):
    shutil.rmtree(folder / "images" / "test")


def _empty(folder):
    _gone(folder)
    (folder / "images" / "test").mkdir()


def _of_val(folder):
    (folder / "data.yaml").write_text(
        (folder / "data.yaml").read_text().replace("test: images/test", "test: images/val")
    )


def _one_of_train(folder):
    shutil.copyfile(folder / "images/train/00000.bmp", folder / "images/test/00000.bmp")


def _damaged(folder):
    next((folder / "labels" / "test").glob("*.txt")).write_text("0 0.5 0.5 2.0 0.2\n")


def _without_objects(folder):
    for label in (folder / "labels" / "test").glob("*.txt"):
        label.write_text("")


def _listed_badly(folder):
    (folder / "test.txt").write_text("no image\n")
    (folder / "data.yaml").write_text((folder / "data.yaml").read_text().replace("test: images/test", "test: test.txt"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(_damaged, "test has unusable files", id="damaged"),
        pytest.param(_without_objects, "no label of test has an object", id="without-objects"),
        pytest.param(_listed_badly, "test.txt, line 1 would be skipped", id="list"),
        pytest.param(_unlabelled, "no image of test: has a label", id="unlabelled"),
        pytest.param(_gone, "which does not exist", id="gone"),
        pytest.param(_empty, "has no images", id="empty"),
        pytest.param(_of_val, "3 of 3 images of test: are also in val", id="val"),
        pytest.param(_one_of_train, "1 of 5 images of test: are also in train", id="train"),
    ],
)
def test_a_test_split_that_shows_nothing_is_named_and_not_used(change, problem, made):
    change(made.parent)
    found = resolve_dataset(made)
    assert problem in found.held_out.problem
    assert found.held_out.split is None
    assert any(note.startswith("data: the test split is not scored: ") and problem in note for note in found.notes)


def test_digits_with_test_images_train_on_the_same_images(tmp_path):
    without = build_digits(tmp_path, **SIZES)
    few, many = (build_digits(tmp_path, test_images=count, **SIZES) for count in (2, 5))
    assert fingerprint(few) == fingerprint(many) != fingerprint(without)
    for file in ("images/train/00003.bmp", "labels/train/00003.txt"):
        assert (few.parent / file).read_bytes() == (without.parent / file).read_bytes()
    assert "test:" not in without.read_text()
    assert is_digits(many.parent)
    (many.parent / "images" / "test" / "00000.bmp").write_bytes(b"")
    assert not is_digits(many.parent)


def test_a_yaml_beside_the_digits_that_names_other_images_is_another_data_set(tmp_path):
    yaml = build_digits(tmp_path, **SIZES)
    digits = resolve_dataset(yaml)
    same, other = (yaml.with_name(f"{name}.yaml") for name in ("same", "other"))
    same.write_text(yaml.read_text())
    other.write_text(yaml.read_text().replace("train: images/train", "train: images/val"))
    assert resolve_dataset(same).identity == digits.identity
    assert resolve_dataset(other).identity != digits.identity
    assert resolve_dataset(other).sizes_identity != digits.sizes_identity


def test_the_folder_of_digits_without_test_images_is_as_ever(tmp_path):
    assert (
        build_digits(tmp_path, train_images=4, val_images=2, imgsz=64).parent.name == "digits-4-2-64px-seed0-eab1a8fb"
    )
