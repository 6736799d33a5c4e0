"""Data sets in the form of Pascal VOC: what is read, how it is converted, and what is refused."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.voc import voc_object, write_annotation, write_voc
from yolo26_attention.data import voc_conversion
from yolo26_attention.data.datasets import DatasetError, DatasetInvalidError, resolve_dataset
from yolo26_attention.data.voc import read_voc
from yolo26_attention.data.voc_conversion import convert_voc
from yolo26_attention.plan.data_options import find_dataset


@pytest.fixture
def voc(tmp_path):
    return write_voc(tmp_path / "zoo")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "out" / "data"


def rows(converted, image="train/a"):
    return (converted.yaml.parent / "labels" / f"{image}.txt").read_text().splitlines()


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_boxes_count_pixels_from_one_and_include_both_ends(voc, cache):
    write_annotation(
        voc,
        "a",
        [voc_object("zebra", 1, 1, 48, 32), voc_object("ant", 13, 9, 24, 16), voc_object("ant", 1.5, 1, 24.5, 16)],
    )
    assert rows(convert_voc("zoo", voc, cache)) == [
        "1 0.500000 0.500000 1.000000 1.000000",  # the whole image
        "0 0.375000 0.375000 0.250000 0.250000",  # 12 to 24 of 48, 8 to 16 of 32
        "0 0.260417 0.250000 0.500000 0.500000",
    ]


def test_the_converted_set_is_one_that_a_run_reads(voc, cache):
    converted = convert_voc("zoo", voc, cache)
    dataset = resolve_dataset(converted.yaml)
    assert dataset.names == {0: "ant", 1: "zebra"}
    assert {name: split.images for name, split in dataset.splits.items()} == {"train": 2, "val": 2}
    assert dataset.held_out.split.images == 1
    assert converted.remarks == ()
    assert converted.yaml.parent.parent == cache


def test_a_set_without_test_has_no_test(voc, cache):
    (voc / "ImageSets/Main/test.txt").unlink()
    converted = convert_voc("zoo", voc, cache)
    assert not resolve_dataset(converted.yaml).held_out.declared
    assert converted.remarks == ("1 of 5 annotations are in no list and are not used; the first is e.xml",)


def test_boxes_that_are_not_used_as_they_are_are_named(voc, cache):
    write_annotation(voc, "b", [voc_object("ant", 5, 5, 5, 5), voc_object("ant", 4, 4, 40, 4)])
    write_annotation(
        voc,
        "c",
        [
            voc_object("ant", 60, 1, 70, 8),  # outside
            voc_object("ant", 0, 1, 24, 40),
            voc_object("bear", 1, 1, 9, 9, difficult=1),
        ],
    )
    converted = convert_voc("zoo", voc, cache)
    assert converted.remarks == (
        "1 of 11 boxes are marked difficult and left out; a detection of one counts as wrong; the first is in c.xml",
        "3 of 11 boxes have no area inside their image and are left out; the first is in b.xml",
        "1 of 11 boxes extend beyond their image and are clipped; the first is in c.xml",
    )
    assert rows(converted, "train/b") == []
    assert rows(converted, "val/c") == ["0 0.250000 0.500000 0.500000 1.000000"]
    assert resolve_dataset(converted.yaml).names == {0: "ant", 1: "zebra"}  # bear only where it is left out


def test_a_part_of_an_object_is_no_object(voc, cache):
    part = voc_object("zebra", 1, 1, 24, 16).replace(
        "</bndbox>", "</bndbox><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    )
    write_annotation(voc, "a", [part])
    assert rows(convert_voc("zoo", voc, cache)) == ["1 0.250000 0.250000 0.500000 0.500000"]


def test_the_identity_is_that_of_the_content_wherever_it_lies(voc, cache, tmp_path):
    first = convert_voc("zoo", voc, cache)
    (voc / "Annotations/unlisted.xml").write_text("<annotation/>")
    moved = voc.rename(tmp_path / "moved to é")
    second = convert_voc("other", moved, tmp_path / "elsewhere")
    assert resolve_dataset(first.yaml).identity == resolve_dataset(second.yaml).identity
    write_annotation(moved, "a", [voc_object("zebra", 1, 1, 24, 17), voc_object("ant", 25, 17, 48, 32)])
    third = convert_voc("zoo", moved, cache)
    assert third.yaml != first.yaml
    assert resolve_dataset(third.yaml).identity != resolve_dataset(first.yaml).identity


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda voc: write_annotation(voc, "d", [voc_object("ant", 1, 1, 9, 9)]), id="box"),
        pytest.param(lambda voc: shutil.copy(voc / "JPEGImages/a.png", voc / "JPEGImages/b.png"), id="image"),
        pytest.param(lambda voc: (voc / "JPEGImages/a.png").rename(voc / "JPEGImages/a.PNG"), id="name"),
        pytest.param(lambda voc: write_lists(voc, train="a", val="b c d"), id="split"),
    ],
)
def test_the_digest_changes_with_what_is_used(voc, cache, change):
    before = read_voc(voc, cache).digest
    (voc / "Annotations/a.xml").write_text(
        (voc / "Annotations/a.xml").read_text().replace("<filename>", "<path/><filename>")
    )
    assert read_voc(voc, cache).digest == before
    change(voc)
    after = read_voc(voc, cache).digest
    assert after != before
    with pytest.raises(DatasetInvalidError, match=rf"data.digest={before}.*data=pascal_voc") as caught:
        convert_voc("zoo", voc, cache, before)
    assert after in str(caught.value)
    convert_voc("zoo", voc, cache, after)


def write_lists(voc, **lists):
    for split, names in lists.items():
        (voc / f"ImageSets/Main/{split}.txt").write_text("\n".join(names.split()))


def test_an_intact_set_is_not_converted_again(voc, cache, monkeypatch):
    yaml = convert_voc("zoo", voc, cache).yaml
    inode = yaml.stat().st_ino
    (yaml.parent / "labels/train.cache").touch()  # as Ultralytics leaves it
    monkeypatch.setattr(voc_conversion, "_build", None)
    assert convert_voc("zoo", voc, cache).yaml.stat().st_ino == inode


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        pytest.param("images/val/c.png", Path.unlink, "c.png is missing", id="no-image"),
        pytest.param("labels/val/c.txt", Path.unlink, "c.txt is missing", id="no-label"),
        pytest.param("labels/val/c.txt", lambda p: p.write_text(""), "c.txt has changed", id="label"),
        pytest.param("images/val/z.png", Path.touch, "z.png is not part of it", id="one-too-many"),
        pytest.param("images/val/c.png", lambda p: p.unlink() or p.write_bytes(b"?"), "c.png has changed", id="image"),
    ],
)
def test_a_damaged_set_is_converted_again(voc, cache, caplog, monkeypatch, linked, name, damage, said):
    if not linked:
        monkeypatch.setattr(os, "link", another_disk)
    yaml = convert_voc("zoo", voc, cache).yaml
    assert yaml.parent.joinpath("images/val/c.png").samefile(voc / "JPEGImages/c.png") == linked
    before = content(yaml.parent)
    damage(yaml.parent / name)
    with caplog.at_level(logging.WARNING, logger=voc_conversion.__name__):
        assert convert_voc("zoo", voc, cache).yaml == yaml
    assert content(yaml.parent) == before
    assert said in caplog.text
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [yaml.parent.name]


def another_disk(*_):
    raise OSError(18, "Invalid cross-device link")


def test_a_conversion_that_fails_leaves_nothing(voc, cache, monkeypatch):
    monkeypatch.setattr(voc_conversion, "_link", None)
    with pytest.raises(TypeError):
        convert_voc("zoo", voc, cache)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []


def test_an_image_that_is_turned_when_it_is_read_has_the_size_of_the_turned_one(voc, cache):
    file = voc / "JPEGImages/a.png"
    with Image.open(file) as image:
        exif = image.getexif()
        exif[0x0112] = 6  # a quarter turn
        image.save(voc / "JPEGImages/a.jpg", exif=exif)
    file.unlink()
    with pytest.raises(DatasetInvalidError, match=r"a\.xml says 48 x 32 pixels, but .*a\.jpg has 32 x 48"):
        convert_voc("zoo", voc, cache)
    write_annotation(voc, "a", [voc_object("ant", 1, 1, 16, 24)], size=(32, 48))
    assert rows(convert_voc("zoo", voc, cache)) == ["0 0.250000 0.250000 0.500000 0.500000"]


def test_a_run_has_the_remarks_in_its_notes_and_its_record(voc, composed, tmp_path):
    write_annotation(voc, "b", [voc_object("ant", 5, 5, 5, 5)])
    data = composed("data=pascal_voc", f"data.source={voc}").data
    dataset = find_dataset(data, tmp_path, False, 1.0)
    said = "1 of 9 boxes have no area inside their image and are left out; the first is in b.xml"
    assert dataset.notes == [f"data: {said}"]
    assert json.loads(json.dumps(dataset.counts))["remarks"] == [said]
    assert dataset.yaml.parent.name.startswith("zoo-")
    assert "remarks" not in resolve_dataset(dataset.yaml).counts


def test_nothing_of_the_user_s_folder_changes(voc, cache):
    before = content(voc)
    convert_voc("zoo", voc, cache)
    assert content(voc) == before
    with pytest.raises(DatasetError):
        convert_voc("zoo", voc / "Annotations", cache)
