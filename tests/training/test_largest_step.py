"""The largest step is tried before the first epoch, and the training does not notice."""

import copy

import pytest
import torch
from ultralytics.nn.tasks import DetectionModel

from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.start import TrainingStart
from yolo26_attention.plan.checks import check
from yolo26_attention.training import trainer as module
from yolo26_attention.training.largest_step import halve_until_it_fits, try_largest_step
from yolo26_attention.training.random_streams import random_streams
from yolo26_attention.training.trainer import GraftTrainer


@pytest.fixture
def trainer(tiny, tmp_path):
    """A trainer whose images have up to 192 px."""
    overrides = ("attention=acmix", "placement=p3", "trainer.imgsz=128", "trainer.multi_scale=0.5")
    plan = check(tiny(*overrides, f"output_dir={tmp_path}"))
    arguments = {**plan.arguments, "save_dir": str(tmp_path / "train")}
    return GraftTrainer.configured(plan.grafts, tmp_path / "journal.jsonl")(overrides=arguments)


def watch_loss(monkeypatch, most):
    """Note the shape of every batch in training; larger ones than `most` run out of memory."""
    loss, shapes = DetectionModel.loss, []

    def watched(self, batch, *args):
        if self.training:
            shapes.append(tuple(batch["img"].shape))
            if len(batch["img"]) > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(self, batch, *args)

    monkeypatch.setattr(DetectionModel, "loss", watched)
    return shapes


def content(trainer):
    return copy.deepcopy(trainer.model.state_dict()), copy.deepcopy(trainer.optimizer.state_dict())


def test_the_largest_batch_leaves_no_trace(trainer, monkeypatch):
    shapes = watch_loss(monkeypatch, most=4)
    trainer._setup_train()
    trainer.model.train()
    (state, optimizer), streams = content(trainer), random_streams(trainer.device)
    try_largest_step(trainer)
    assert shapes == [(4, 3, 192, 192)]
    now, optimizer_now = content(trainer)
    assert state.keys() == now.keys()
    assert all(torch.equal(state[name], now[name]) for name in state)
    assert optimizer["state"] == optimizer_now["state"] == {}
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    after = random_streams(trainer.device)
    assert torch.equal(streams.pop("torch"), after.pop("torch"))
    assert streams == after
    assert getattr(trainer.model, "criterion", None) is None


def test_a_batch_that_does_not_fit_is_halved_and_noted(trainer, tmp_path, monkeypatch, caplog):
    shapes = watch_loss(monkeypatch, most=2)
    trainer._setup_train()
    halve_until_it_fits(trainer)
    assert shapes == [(4, 3, 192, 192), (2, 3, 192, 192)]
    assert (trainer.batch_size, trainer.args.batch, trainer.train_loader.batch_size) == (2, 2, 2)
    assert trainer.validator.dataloader is trainer.test_loader
    (event,) = [entry for entry in read_journal(tmp_path / "journal.jsonl") if entry.event == "batch_halved"]
    assert event.details["batch"] == 2
    assert TrainingStart.read(tmp_path / "training.json").decided["batch"] == 2
    assert "a batch of 4 images of 192 px does not fit into the memory of cpu; reducing to batch=2" in caplog.text


def test_not_even_one_image_fits(trainer, monkeypatch):
    watch_loss(monkeypatch, most=0)
    trainer._setup_train()
    trainer.args.batch = trainer.batch_size = 1
    with pytest.raises(torch.OutOfMemoryError):
        halve_until_it_fits(trainer)


def test_a_training_on_the_cpu_does_not_try(trainer, monkeypatch):
    monkeypatch.setattr(module, "halve_until_it_fits", lambda trainer: pytest.fail("tried"))
    trainer._setup_train()


def test_a_training_on_a_gpu_tries(trainer, monkeypatch):
    tried = []
    monkeypatch.setattr(module, "halve_until_it_fits", tried.append)
    monkeypatch.setattr(module, "training_precision", lambda trainer: "bf16")
    setup = module.DetectionTrainer._setup_train

    def as_on_a_gpu(self):
        setup(self)
        self.device = torch.device("cuda:0")

    monkeypatch.setattr(module.DetectionTrainer, "_setup_train", as_on_a_gpu)
    monkeypatch.setattr(GraftTrainer, "_hand_over", lambda self: None)
    trainer._setup_train()
    assert tried == [trainer]
