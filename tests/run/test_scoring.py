"""Scores on the test images: once at the end, also of runs that finished before, and across kills."""

import os
import signal

import pytest
import torch

from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.run import attempt as attempts
from yolo26_attention.run.runner import run
from yolo26_attention.training.resuming import Resuming
from yolo26_attention.training.trainer import GraftTrainer
from yolo26_attention.training.validator import validate

OPTIONS = ("attention=baseline", "trainer.fraction=8", "trainer.epochs=2", "data.test_images=6")


@pytest.fixture(scope="module")
def plan(tiny, tmp_path_factory):
    return check(tiny(*OPTIONS, f"output_dir={tmp_path_factory.mktemp('scored')}"))


@pytest.fixture(scope="module")
def record(plan):
    record, trained = run(plan, "")
    assert trained
    return record


def refuse(*_, **__):
    raise AssertionError("nothing is to be done here")


def test_best_is_scored_on_the_test_images(plan, record, tmp_path):
    kept = Record.read(plan.folder)
    assert kept.test == record.test
    assert (kept.test.images, kept.test.identity) == (6, plan.dataset.held_out.identity)
    again = validate(
        plan.folder / "train/weights/best.pt", plan.arguments, record.training, tmp_path / "matches.npz", "test"
    )
    assert kept.test.metrics["recall"] == again["metrics/recall(B)"]
    assert (tmp_path / "matches.npz").read_bytes() == (plan.folder / "matches_test.npz").read_bytes()
    assert kept.data["val"]["images"] == 8


def test_a_finished_run_is_scored_without_training_once(plan, record, monkeypatch):
    monkeypatch.setattr(Resuming, "_do_train", refuse)
    kept = Record.read(plan.folder)
    expected, kept.test = kept.test, None
    kept.write(plan.folder)
    found, trained = run(plan, "")
    assert not trained
    assert found.test == expected == Record.read(plan.folder).test
    monkeypatch.setattr("yolo26_attention.run.scoring.validate", refuse)
    run(plan, "")


def test_more_test_images_are_the_same_run_scored_again(plan, record, tiny, monkeypatch):
    monkeypatch.setattr(Resuming, "_do_train", refuse)
    output_dir = plan.config.output_dir
    more = check(tiny(*OPTIONS[:-1], "data.test_images=9", f"output_dir={output_dir}"))
    assert more.folder == plan.folder
    assert run(more, "")[0].test.images == 9


def test_another_best_is_not_scored(plan, record, caplog):
    best = plan.folder / "train/weights/best.pt"
    content = best.read_bytes()
    other = torch.load(best, weights_only=False)
    torch.save(other | {"epoch": 7}, best)
    kept = Record.read(plan.folder)
    kept.test = None
    kept.write(plan.folder)
    try:
        assert run(plan, "")[0].test is None
        assert "so it is not scored on the test images; force=true" in caplog.text
    finally:
        best.write_bytes(content)


def test_a_run_killed_between_its_scores_goes_on(plan, record, tiny, tmp_path, monkeypatch):
    other = check(tiny(*OPTIONS, f"output_dir={tmp_path}"))
    score = attempts.score_test

    def kill(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(attempts, "score_test", kill)
    with pytest.raises(KeyboardInterrupt):
        run(other, "")
    assert Record.read(other.folder).status == "interrupted"
    monkeypatch.setattr(attempts, "score_test", score)
    monkeypatch.setattr(Resuming, "save_metrics", refuse)  # no epoch is trained again
    found, _ = run(other, "")
    assert found.status == "finished"
    assert (found.metrics, found.test.images) == (record.metrics, 6)


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_asked_epoch_is_scored(select, tiny, tmp_path, monkeypatch):
    steps = ("trainer.nbs=4", "trainer.batch=4")  # a step with every batch
    plan = check(tiny(*OPTIONS[:-1], *steps, f"trainer.select={select}", f"output_dir={tmp_path}"))
    validated = GraftTrainer.validate

    def first_is_best(self):
        metrics, _ = validated(self)
        self.best_fitness = 1.0
        return metrics, 1.0 - self.epoch

    monkeypatch.setattr(GraftTrainer, "validate", first_is_best)
    record, _ = run(plan, "")
    assert (record.status, record.test) == ("finished", None)
    best, last = (
        torch.load(plan.folder / "train/weights" / name, weights_only=False)["model"].state_dict()
        for name in ("best.pt", "last.pt")
    )
    assert all(torch.equal(best[name], last[name]) for name in last) == (select == "last")
