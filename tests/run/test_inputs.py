"""A data set that is edited while a run trains on it: the result is not recorded as that of the set before."""

import os
import shutil

import pytest

from tests.run.test_runner import at_epoch
from yolo26_attention.data.digits import build_digits
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.run.inputs import DataChangedError, DataUnreadableError
from yolo26_attention.run.runner import run
from yolo26_attention.training.trainer import GraftTrainer


@pytest.fixture
def data(tmp_path):
    """A user's own data set, with lists of its images."""
    folder = build_digits(tmp_path / "made", train_images=8, val_images=4, imgsz=64).parent.rename(tmp_path / "mine")
    (folder / "fingerprint.json").unlink()
    for split in ("train", "val"):
        images = sorted((folder / "images" / split).iterdir())
        (folder / f"{split}.txt").write_text("".join(f"{image}\n" for image in images))
    names = "names: [a, b, c, d, e, f, g, h, i, j]"
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: train.txt\nval: val.txt\n{names}\n")
    return folder


@pytest.fixture
def planned(data, composed, tmp_path):
    small = ("trainer=debug", "trainer.plots=false", "tracking=disabled", "latency=disabled", "attention=baseline")
    options = [*small, "trainer.epochs=2", "trainer.imgsz=64", f"data.yaml={data / 'data.yaml'}"]
    return lambda: check(composed(*options, f"output_dir={tmp_path / 'out'}"))


def edit_label(data):
    (data / "labels" / "train" / "00000.txt").write_text("3 0.5 0.5 0.4 0.4\n")


def edit_image(data):
    shutil.copy(data / "images" / "val" / "00001.bmp", data / "images" / "val" / "00000.bmp")


def add_to_a_list(data):
    (data / "train.txt").write_text((data / "train.txt").read_text() + f"{data}/images/val/00000.bmp\n")


def damage_label(data):
    (data / "labels" / "train" / "00000.txt").write_text("99 0.5 0.5 0.4 0.4\n")


@pytest.mark.parametrize("edit", [edit_label, edit_image, add_to_a_list, damage_label], ids=lambda edit: edit.__name__)
def test_data_that_is_edited_during_the_training_leaves_no_finished_run(edit, planned, data, monkeypatch):
    plan = planned()
    at_epoch(monkeypatch, 1, lambda _: edit(data))
    with pytest.raises(DataChangedError, match=r"data=.*data.yaml changed.* while this run trained on it.*retry=true"):
        run(plan, "")
    record = Record.read(plan.folder)
    assert (record.status, record.metrics) == ("failed", {})
    assert "DataChangedError" in record.error
    assert not list(plan.folder.glob("state*")), "the run would go on from what saw other data"


def test_a_run_whose_data_is_put_back_trains_from_its_start(planned, data, monkeypatch):
    plan, label = planned(), data / "labels" / "train" / "00000.txt"
    before = label.read_text()
    at_epoch(monkeypatch, 1, lambda _: edit_label(data))
    with pytest.raises(DataChangedError):
        run(plan, "")
    assert planned().folder != plan.folder, "the edited set makes another run"
    label.write_text(before)
    again = planned()
    assert again.folder == plan.folder
    record, trained = run(again, "")
    assert trained
    assert (record.status, record.attempts, record.events) == ("finished", 2, [])


def test_files_that_are_written_again_with_the_same_content_are_an_event(planned, data, monkeypatch):
    later = (data / "train.txt").stat().st_mtime + 100
    at_epoch(monkeypatch, 1, lambda _: os.utime(data / "labels" / "val" / "00000.txt", (later, later)))
    record, _ = run(planned(), "")
    assert record.status == "finished"
    assert [event.event for event in record.events] == ["data_rewritten"]


def test_an_edit_that_is_undone_between_two_starts_is_an_event(planned, data, monkeypatch):
    """The first process trained on the edited set, and its last one on the set as it was."""
    label = data / "labels" / "train" / "00000.txt"
    before, later = label.read_text(), label.stat().st_mtime + 100

    def edit_and_fail(trainer):
        edit_label(data)
        raise RuntimeError("broken")

    at_epoch(monkeypatch, 1, edit_and_fail)
    with pytest.raises(RuntimeError, match="broken"):
        run(planned(), "")
    label.write_text(before)
    os.utime(label, (later, later))
    record, _ = run(planned(), "")
    assert [event.event for event in record.events] == ["resume", "data_rewritten"]


def test_data_that_is_gone_at_the_end_is_compared_once_it_is_back(planned, data, monkeypatch):
    plan, away = planned(), data.with_name("away")
    final_eval = GraftTrainer.final_eval

    def validated(trainer):
        final_eval(trainer)
        data.rename(away)

    monkeypatch.setattr(GraftTrainer, "final_eval", validated)
    with pytest.raises(DataUnreadableError, match=r"data=.*data.yaml cannot be compared .* retry=true"):
        run(plan, "")
    assert Record.read(plan.folder).status == "failed"
    away.rename(data)
    monkeypatch.undo()
    record, _ = run(planned(), "")
    assert record.status == "finished"
    assert [event.event for event in record.events] == ["resume"]
