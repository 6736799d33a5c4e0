"""A training that runs out of memory: what Ultralytics mends is an event, and the rest is explained."""

import subprocess
import sys

import pytest
import torch
from ultralytics.nn.tasks import DetectionModel

from tests.conftest import CONF, TINY
from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run
from yolo26_attention.training.out_of_memory import MemoryFullError

ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def plan(tiny, tmp_path):
    return check(tiny("attention=simam", "placement=p3", "trainer.epochs=2", f"output_dir={tmp_path}"))


def full_at(monkeypatch, *calls):
    """Let the loss run out of memory the n-th times that it is computed in training."""
    loss, count = DetectionModel.loss, iter(range(10_000))

    def too_large(self, *args, **kwargs):
        if self.training and next(count) in calls:
            raise ERROR
        return loss(self, *args, **kwargs)

    monkeypatch.setattr(DetectionModel, "loss", too_large)


def test_a_halved_batch_of_the_first_epoch_is_an_event_of_the_record(plan, monkeypatch):
    full_at(monkeypatch, 1)
    record, _ = run(plan, "")
    assert record.status == "finished"
    (event,) = [entry for entry in record.events if entry.event == "batch_halved"]
    assert event.details["batch"] == 2
    assert (record.config["trainer"]["batch"], record.training["batch"]) == (4, 2)


def test_the_fourth_time_is_an_error(plan, monkeypatch):
    full_at(monkeypatch, *range(9))
    with pytest.raises(MemoryFullError, match=r"in epoch 1 with trainer\.batch=1 .* choose a smaller trainer\.imgsz"):
        run(plan, "")


def test_in_a_later_epoch_the_batch_stays_and_the_same_command_resumes(plan, monkeypatch):
    full_at(monkeypatch, 5)  # an epoch has four batches
    said = (
        r"out of memory in epoch 2 with trainer\.batch=4 and images of up to 64 px on cpu: choose trainer\.batch=2 or "
        r"a smaller trainer\.imgsz, for all variants alike"
    )
    with pytest.raises(MemoryFullError, match=said):
        run(plan, "")
    record = Record.read(plan.folder)
    assert (record.status, "MemoryFullError" in record.error) == ("failed", True)
    record, _ = run(plan, "")
    assert (record.status, [entry.event for entry in record.events]) == ("finished", ["resume"])
    epochs = [entry.details["epoch"] for entry in read_journal(plan.folder / "journal.jsonl") if entry.event == "epoch"]
    assert epochs == [1, 2]


def test_the_largest_size_and_the_option_that_makes_it_are_named(tiny, tmp_path, monkeypatch):
    full_at(monkeypatch, *range(9))
    overrides = (
        "attention=simam",
        "placement=p3",
        "trainer.multi_scale=0.5",
        "trainer.imgsz=128",
        f"output_dir={tmp_path}",
    )
    with pytest.raises(MemoryFullError, match=r"up to 192 px .* or trainer\.multi_scale=0"):
        run(check(tiny(*overrides)), "")


def test_another_error_stays_what_it_is(plan, monkeypatch):
    def broken(self, *args, **kwargs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(DetectionModel, "loss", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(plan, "")


def test_the_command_ends_with_one_line(tmp_path):
    program = (
        "import runpy, torch\n"
        "from ultralytics.nn.tasks import DetectionModel\n"
        "def full(self, *args, **kwargs): raise torch.OutOfMemoryError('CUDA out of memory')\n"
        "DetectionModel.loss = full\n"
        "runpy.run_module('src.train', run_name='__main__')\n"
    )
    command = [sys.executable, "-c", program, "attention=simam", *TINY, f"output_dir={tmp_path}"]
    result = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("error: out of memory in epoch 1 with trainer.batch=1")
    assert "Traceback" not in result.stderr
