"""What earlier versions of this program wrote stays readable, for good: nothing below tests/old ever changes."""

import json
import lzma
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from src.export import find_run as find_finished
from yolo26_attention.detector.trust import Trust, known_classes_only
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.record import FORMAT, Record
from yolo26_attention.latency.trained import load_best
from yolo26_attention.reporting.study import read_study
from yolo26_attention.study.runs import find_run

OLD = Path(__file__).parent / "old" / "run"
NAME = "acmix-p3-yolo26n-digits-s0-bb20805feabf"


@pytest.fixture
def outputs(tmp_path):
    """The old run where it would lie; the values of its checkpoint are zero but for those of the graft."""
    folder = tmp_path / "runs" / NAME
    shutil.copytree(OLD, folder)
    packed = folder / "train" / "weights" / "best.pt.xz"
    packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    return tmp_path


def test_a_record_without_a_format_is_read(outputs):
    record = Record.read(outputs / "runs" / NAME)
    assert (record.format, record.identity_version, record.given) == (0, 0, {})
    assert (record.status, record.run_id, record.seed, record.name) == ("finished", "bb20805feabf", 0, NAME)
    assert record.config["attention"]["name"] == "acmix"
    assert record.objective("parameters") == 2_394_608
    assert math.isfinite(record.objective("latency_ratio"))
    assert record.objective("map50_95") == record.metrics["map50_95"]


def test_an_old_record_that_is_written_again_has_the_format_of_today_and_keeps_its_identity(outputs):
    record = Record.read(outputs / "runs" / NAME)
    record.write(outputs)
    content = json.loads((outputs / "record.json").read_text())
    assert (content["format"], content["identity_version"]) == (FORMAT, 0)


def test_an_old_run_is_found_finished_by_all_who_read_runs(outputs):
    assert find_run(outputs, NAME).state == "finished"
    assert find_finished(NAME, str(outputs)) == outputs / "runs" / NAME
    (run,) = read_study("default", outputs).runs
    assert (run.status, run.variant, run.counts) == ("finished", "acmix", True)


def test_an_old_journal_and_old_arrays_are_read(outputs):
    folder = outputs / "runs" / NAME
    entries = read_journal(folder / "journal.jsonl")
    assert [entry.details["epoch"] for entry in entries if entry.event == "epoch"] == [1, 2]
    assert {"weights", "graft", "optimizer"} <= {entry.event for entry in entries}
    assert len(read_matches(folder / "matches.npz").images) == 8
    with np.load(folder / "latency.npz") as arrays:
        assert all(np.isfinite(arrays[name]).all() for name in arrays.files)


def test_an_old_checkpoint_is_loaded_without_being_trusted_and_computes(outputs):
    best = outputs / "runs" / NAME / "train" / "weights" / "best.pt"
    with known_classes_only("best.pt", best, Trust(False, ())):
        model = load_best(best, torch.device("cpu"))
    graft = {name: value for name, value in model.state_dict().items() if ".attention." in name}
    assert {"model.16.attention.rate1", "model.16.attention.conv1.weight"} <= set(graft)
    assert graft["model.16.attention.rate1"].item() == pytest.approx(0.5, abs=0.05)
    assert graft["model.16.attention.conv1.weight"].abs().sum() > 0
    with torch.no_grad():
        out = model(torch.zeros(1, 3, 64, 64))
    assert torch.isfinite(out[0] if isinstance(out, tuple) else out).all()


def test_the_stored_files_are_those_of_then():
    record = json.loads((OLD / "record.json").read_text(encoding="utf-8"))
    assert "format" not in record
    assert record["config"]["attention"]["_target_"] == "src.attention.acmix.ACmix"
