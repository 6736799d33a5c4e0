"""timings.json: read as written, one entry for each target, and what is refused."""

import json
from dataclasses import replace

import pytest

from tests.fabricate import target_of
from yolo26_attention.files.timings import FORMAT, Timings
from yolo26_attention.files.typed import NewerFormatError

RUNS = {"baseline": "baseline-s0", "acmix": "acmix-s0"}


def target(ratio=1.2, **options):
    return target_of({"baseline": 1.0, "acmix": ratio}, RUNS, **options)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "timings.json"
    assert Timings.read(path) == Timings()
    written = Timings([replace(target(), failed={"cbam": "ParityError: differs"}), target(device="A Card")])
    written.write(path)
    assert Timings.read(path) == written
    assert json.loads(path.read_text())["format"] == FORMAT


def test_a_target_is_replaced_in_its_place_and_others_are_appended():
    one, other = target(), target(backend="onnxruntime")
    both = Timings().with_target(one).with_target(other)
    assert both.targets == [one, other]
    longer = target(1.3, seconds=60.0, width=0.005)
    assert both.with_target(longer).targets == [longer, other]
    assert both.find(longer.options) == one
    for elsewhere in ({"cpu": "Another"}, {"device": "A Card"}, {"batch": 2}, {"imgsz": 320}, {"threads": 2}):
        assert both.find(target(**elsewhere).options) is None


def test_runs_that_were_timed():
    assert target().runs == RUNS


def test_later_format_and_damage_are_refused(tmp_path):
    path = tmp_path / "timings.json"
    path.write_text(json.dumps({"format": FORMAT + 1, "targets": []}))
    with pytest.raises(NewerFormatError, match="upgrade the program"):
        Timings.read(path)
    path.write_text('{"format": 1, "targets": [{"options": {}}]}')
    with pytest.raises(ValueError, match="environment is missing"):
        Timings.read(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="Expecting property name"):
        Timings.read(path)
