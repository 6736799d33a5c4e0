"""The life of one run inside a process: interrupted, out of room, damaged, forgotten."""

import dataclasses
import gc
import os
import resource
import shutil
import signal
import time
import weakref

import pytest
import torch

from tests.fabricate import model_of
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import read_journal, training_seconds
from yolo26_attention.files.record import Record, RunSkippedError
from yolo26_attention.plan.checks import check
from yolo26_attention.run.attempt import DiskFullError
from yolo26_attention.run.runner import run
from yolo26_attention.training.resuming import Resuming
from yolo26_attention.training.state import previous


@pytest.fixture
def plan(tiny, tmp_path):
    return check(tiny("attention=baseline", "trainer.fraction=8", "trainer.epochs=3", f"output_dir={tmp_path}"))


def at_epoch(monkeypatch, epoch, action):
    """Let something happen once, when an epoch begins."""
    begin = Resuming._begin_epoch

    def begun(self):
        begin(self)
        if self.epoch == epoch:
            monkeypatch.setattr(Resuming, "_begin_epoch", begin)
            action(self)

    monkeypatch.setattr(Resuming, "_begin_epoch", begun)


def epochs(plan):
    return [
        (entry.details["epoch"], entry.details["values"])
        for entry in read_journal(plan.folder / "journal.jsonl")
        if entry.event == "epoch"
    ]


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    """The metrics and epochs of the run when nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    plan = check(tiny("attention=baseline", "trainer.fraction=8", "trainer.epochs=3", f"output_dir={folder}"))
    record, trained = run(plan, "")
    assert trained
    return record.metrics, epochs(plan)


def assert_ends_as(undisturbed, plan):
    record, _ = run(plan, "")
    assert record.status == "finished"
    assert (record.metrics, epochs(plan)) == undisturbed
    names = {path.name for path in plan.folder.iterdir()}
    assert names == {"config.yaml", "journal.jsonl", "matches.npz", "record.json", "resolved.yaml", "train"}
    assert not list(plan.folder.rglob("*.partial"))
    return record


def test_a_signal_interrupts_the_run_and_it_goes_on(plan, undisturbed, monkeypatch):
    at_epoch(monkeypatch, 2, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        run(plan, "")
    record = Record.read(plan.folder)
    earlier = training_seconds(read_journal(RunFolder(plan.folder).journal))
    assert 0 < earlier < record.seconds
    assert record.status == "interrupted"
    assert "KeyboardInterrupt" in record.error
    start = time.monotonic()
    record = assert_ends_as(undisturbed, plan)
    assert earlier < record.seconds < earlier + time.monotonic() - start  # of both processes
    assert record.attempts == 2
    assert [(event.event, event.details["epoch"]) for event in record.events] == [("resume", 3)]


def test_results_do_not_come_from_the_journal(plan, monkeypatch):
    at_epoch(monkeypatch, 2, lambda trainer: trainer.journal.unlink())
    record, _ = run(plan, "")
    assert record.status == "finished"
    assert (record.model.stock_tensors_loaded, record.model.stock_tensors_total) == (0, 708)
    assert record.training["epochs"] == 3
    assert sum(group.parameters for group in record.optimizer) > 0
    assert epochs(plan)[0][0] == 3


def test_a_run_begun_by_a_version_without_training_json_goes_on(plan, undisturbed, monkeypatch):
    at_epoch(monkeypatch, 2, fail)
    with pytest.raises(RuntimeError, match="broken"):
        run(plan, "")
    (plan.folder / "training.json").unlink()
    record = assert_ends_as(undisturbed, plan)
    assert record.model.stock_tensors_total == 708
    noted = [entry.event for entry in read_journal(plan.folder / "journal.jsonl")]
    assert noted.count("training") == 1, "what was decided has not changed"


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(plan, undisturbed, monkeypatch):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    at_epoch(monkeypatch, 1, lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, limits[1])))
    try:
        with pytest.raises(DiskFullError, match=f"{plan.folder} has no space left .* free some space and run the same"):
            run(plan, "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert Record.read(plan.folder).status == "interrupted"
    assert not list(plan.folder.rglob("*.partial"))
    record = assert_ends_as(undisturbed, plan)
    assert [(event.event, event.details["epoch"]) for event in record.events] == [("resume", 2)]


def fail(trainer):
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("damaged", "expected"),
    [
        pytest.param(["state.pt"], ["checkpoint_damaged", "resume"], id="newest"),
        pytest.param(["state.pt", "state.previous.pt"], ["checkpoint_damaged"] * 2, id="both", marks=pytest.mark.slow),
        pytest.param(["train/weights/last.pt"], ["resume"], id="last", marks=pytest.mark.slow),
    ],
)
def test_damaged_checkpoints_are_noted_and_not_used(damaged, expected, plan, undisturbed, monkeypatch):
    at_epoch(monkeypatch, 2, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        run(plan, "")
    assert Record.read(plan.folder).status == "interrupted"
    for name in damaged:
        os.truncate(plan.folder / name, 1000)
    record = assert_ends_as(undisturbed, plan)
    assert [event.event for event in record.events] == expected


def test_a_failed_run_keeps_one_state_to_resume_from(plan, undisturbed, monkeypatch):
    at_epoch(monkeypatch, 2, fail)
    with pytest.raises(RuntimeError, match="broken"):
        run(plan, "")
    assert Record.read(plan.folder).status == "failed"
    assert [path.name for path in plan.folder.glob("state*")] == ["state.pt"]
    record = assert_ends_as(undisturbed, plan)
    assert [(event.event, event.details["epoch"]) for event in record.events] == [("resume", 3)]


def test_a_failed_run_keeps_the_previous_state_where_the_newest_is_damaged(plan, monkeypatch):
    def damage_and_fail(trainer):
        os.truncate(plan.folder / "state.pt", 1000)
        fail(trainer)

    at_epoch(monkeypatch, 2, damage_and_fail)
    with pytest.raises(RuntimeError, match="broken"):
        run(plan, "")
    assert {path.name for path in plan.folder.glob("state*")} == {"state.pt", "state.previous.pt"}


def test_a_finished_run_loses_a_state_left_by_its_last_moment(plan):
    run(plan, "")
    for path in (plan.folder / "state.pt", previous(plan.folder / "state.pt")):
        path.write_bytes(b"left")
    _, trained = run(plan, "")
    assert not trained
    assert not list(plan.folder.glob("state*"))


def test_a_run_whose_record_has_no_tracking_id_gets_one(plan, monkeypatch):
    plan.folder.mkdir(parents=True)
    config = plan.config.plain()
    Record(plan.run_id, plan.folder.name, config["study"], config["seed"], config, "interrupted").write(plan.folder)
    monkeypatch.setattr("yolo26_attention.run.runner.attempt", lambda *_: None)
    record, _ = run(plan, "")
    assert record.tracking_id.startswith(f"{plan.run_id}-")
    assert record.attempts == 2


def test_nothing_of_a_run_stays_in_memory(plan, monkeypatch):
    alive = []
    at_epoch(monkeypatch, 1, lambda trainer: alive.extend(map(weakref.ref, (trainer, trainer.model, trainer.ema.ema))))
    run(plan, "")
    gc.collect()
    assert [reference() for reference in alive] == [None] * 3


def test_garbage_is_collected_once_it_trains(plan, monkeypatch):
    """Before, `src.train` has it wait."""
    seen = []
    at_epoch(monkeypatch, 0, lambda trainer: seen.append(gc.isenabled()))
    gc.disable()
    try:
        run(plan, "")
    finally:
        gc.enable()
    assert seen == [True]


@pytest.fixture
def other(tiny, tmp_path):
    """The same experiment with another seed."""
    return check(
        tiny("attention=baseline", "trainer.fraction=8", "trainer.epochs=3", "seed=1", f"output_dir={tmp_path}")
    )


@pytest.mark.parametrize("status", ["finished", "interrupted", "failed"])
def test_a_folder_that_was_copied_under_the_name_of_another_run_is_refused(status, plan, other):
    config = plan.config.plain()
    plan.folder.mkdir(parents=True)
    Record(plan.run_id, plan.folder.name, "s", 0, config, status, metrics={"map50_95": 0.5}).write(plan.folder)
    shutil.copytree(plan.folder, other.folder)
    said = (
        rf"record.json is the record of run {plan.folder.name} \(identity {plan.run_id}, seed 0\), not of this one "
        rf"\(identity {other.run_id}, seed 1\).*; move {other.folder} away to train this run"
    )
    with pytest.raises(RunSkippedError, match=said):
        run(other, "")
    assert Record.read(other.folder).seed == 0, "nothing is overwritten"


def test_the_state_of_another_run_is_refused_and_kept(plan, other, monkeypatch):
    at_epoch(monkeypatch, 2, fail)
    with pytest.raises(RuntimeError, match="broken"):
        run(plan, "")
    other.folder.mkdir()
    for name in ("state.pt", "journal.jsonl"):
        shutil.copy(plan.folder / name, other.folder / name)
    shutil.copytree(plan.folder / "train", other.folder / "train")
    with pytest.raises(RunSkippedError, match=rf"is the state of run {plan.folder.name}, not of {other.folder.name}"):
        run(other, "")
    assert (other.folder / "state.pt").exists()
    assert Record.read(other.folder) is None


@pytest.mark.parametrize(("field", "empty"), [("metrics", {}), ("model", None)])
def test_a_finished_record_without_results_is_refused_as_damaged(field, empty, plan):
    whole = {"metrics": dict.fromkeys(("map50_95", "map50", "precision", "recall"), 0.5), "model": model_of()}
    damaged = Record(plan.run_id, plan.folder.name, "s", 0, plan.config.plain(), "finished", **{**whole, field: empty})
    plan.folder.mkdir(parents=True)
    damaged.write(plan.folder)
    said = rf"says finished, but is damaged: it has no {field}.*; move {plan.folder} away to run it anew, or use force"
    with pytest.raises(RunSkippedError, match=said):
        run(plan, "")
    forced = dataclasses.replace(plan, config=dataclasses.replace(plan.config, force=True))
    assert run(forced, "")[0].status == "finished"


def test_the_record_has_the_digests_of_the_checkpoints(tiny, tmp_path):
    torch.save({"model": build_stock("yolo26n", 10, 3), "train_args": {}}, tmp_path / "w.pt")
    started = check(tiny("attention=baseline", f"model.weights={tmp_path / 'w.pt'}", f"output_dir={tmp_path / 'out'}"))
    record, _ = run(started, "")
    best = started.folder / "train" / "weights" / "best.pt"
    assert record.checkpoints == {"weights": file_digest(tmp_path / "w.pt"), "best": file_digest(best)}
    assert Record.read(started.folder).checkpoints == record.checkpoints
