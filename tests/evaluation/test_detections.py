"""matches.npz, written and read."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from yolo26_attention.evaluation.detections import Detections, read_matches

ROOT = Path(__file__).parents[2]


def detections(count=300, images=5):
    generator = np.random.default_rng(0)
    return Detections(
        images=np.array([f"images/val/{number}.png" for number in range(images)]),
        shapes=generator.integers(100, 70_000, (images, 2)),
        image=generator.integers(images, size=count),
        cls=generator.integers(300, size=count),
        conf=np.sort(generator.random(count).astype(np.float32))[::-1],
        boxes=generator.random((count, 4)).astype(np.float32),
        tp=generator.random((count, 10)) < 0.5,
        object_image=generator.integers(images, size=7),
        object_cls=generator.integers(300, size=7),
        object_boxes=generator.random((7, 4)).astype(np.float32),
    )


@pytest.mark.parametrize("count", [pytest.param(300, id="many"), pytest.param(0, id="no-detection")])
def test_read_what_was_written(count, tmp_path):
    written = detections(count)
    written.write(tmp_path / "matches.npz")
    read = read_matches(tmp_path / "matches.npz")
    for field in fields(Detections):
        assert np.array_equal(getattr(read, field.name), getattr(written, field.name)), field.name
    assert (read.conf.dtype, read.boxes.dtype) == (np.float32, np.float32)
    assert [path.name for path in tmp_path.iterdir()] == ["matches.npz"]


def test_no_object_anywhere(tmp_path):
    written = detections()
    empty = replace(
        written,
        object_image=written.object_image[:0],
        object_cls=written.object_cls[:0],
        object_boxes=written.object_boxes[:0],
    )
    empty.write(tmp_path / "matches.npz")
    assert read_matches(tmp_path / "matches.npz").ap_by_class({}) == {}


def test_run_without_matches(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"matches\.npz"):
        read_matches(tmp_path / "matches.npz")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04 cut short", id="cut-short"),
        pytest.param(b"a letter", id="another-file"),
    ],
)
def test_file_that_is_none(content, tmp_path):
    (tmp_path / "matches.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"matches\.npz does not hold a run's matches .* force=true"):
        read_matches(tmp_path / "matches.npz")


def test_archive_of_something_else(tmp_path):
    np.savez(tmp_path / "matches.npz", images=np.zeros(3))
    with pytest.raises(ValueError, match="does not hold a run's matches"):
        read_matches(tmp_path / "matches.npz")


def test_reading_needs_neither_torch_nor_ultralytics():
    heavy = {"torch", "ultralytics", "yolo26_attention.training.trainer"}
    program = f"import sys, yolo26_attention.evaluation.detections; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("images", [pytest.param(256, id="as-8-bits-hold"), pytest.param(65_536, id="as-16-bits-hold")])
def test_number_behind_the_last_image_is_not_the_first(images, tmp_path):
    """As the COCO evaluator counts from 1."""
    written = replace(detections(images=images), image=np.full(300, images - 1))
    written.write(tmp_path / "matches.npz")
    assert (read_matches(tmp_path / "matches.npz").image + 1 == images).all()
