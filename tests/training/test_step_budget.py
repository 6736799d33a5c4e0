"""A budget in steps ends behind the very step, counted in Ultralytics' own loop."""

import math

import pytest
import torch

from yolo26_attention.plan.checks import check
from yolo26_attention.training.step_budget import epochs_of_steps
from yolo26_attention.training.trainer import GraftTrainer


@pytest.mark.parametrize(
    ("steps", "batches", "accumulate", "warmup_epochs", "epochs", "last"),
    [
        pytest.param(1, 10, 1, 0.0, 1, 0, id="first"),
        pytest.param(10, 10, 1, 0.0, 1, 9, id="one-epoch"),
        # One step never takes more batches than the training has.
        pytest.param(1, 4, 16, 0.0, 1, 3, id="fewer-batches-than-a-step"),
        pytest.param(11, 10, 1, 3.0, 2, 10, id="warm-up-without-accumulation"),
        pytest.param(3, 10, 4, 0.0, 2, 11, id="across-the-epoch"),
        # Of two epochs one warms up, and the fourth step is behind batch 10; of three two do, and it is behind 6.
        pytest.param(4, 4, 4, 3.0, 3, 6, id="shorter-than-its-warm-up"),
    ],
)
def test_by_hand(steps, batches, accumulate, warmup_epochs, epochs, last):
    assert epochs_of_steps(steps, batches, accumulate, warmup_epochs) == (epochs, last)


def count_steps(config, folder):
    """Train, and count the calls of the optimizer's step and the batches."""
    plan = check(config)
    trainer = GraftTrainer.configured(plan.grafts, steps=config.trainer.steps)(
        overrides={**plan.arguments, "save_dir": str(folder)}
    )
    counted = {"steps": 0, "batches": 0}

    def watch(t):
        step = t.optimizer_step

        def counting():
            counted["steps"] += 1
            step()

        t.optimizer_step = counting

    def batch(t):
        counted["batches"] += 1

    trainer.add_callback("on_train_start", watch)
    trainer.add_callback("on_train_batch_end", batch)
    trainer.train()
    return counted, trainer


@pytest.mark.parametrize(
    ("steps", "more"),
    [
        pytest.param(3, (), id="within-an-epoch"),
        pytest.param(7, ("trainer.nbs=4",), id="over-epochs"),
        pytest.param(5, ("trainer.nbs=8", "trainer.warmup_epochs=1"), id="accumulated-behind-a-warm-up"),
        pytest.param(4, ("trainer.nbs=16", "trainer.warmup_epochs=3"), id="longer-warm-up-than-training"),
    ],
)
def test_training_makes_so_many_steps(steps, more, tiny, tmp_path):
    config = tiny("attention=baseline", f"trainer.steps={steps}", "trainer.val=false", *more)
    counted, trainer = count_steps(config, tmp_path)
    assert counted["steps"] == steps
    assert trainer.epoch + 1 == math.ceil(counted["batches"] / 4)  # 16 images, batches of 4
    assert (tmp_path / "weights" / "best.pt").exists()


@pytest.mark.slow
def test_variants_get_the_same_budget(tiny, tmp_path):
    results = [
        count_steps(tiny(f"attention={name}", "trainer.steps=6", "trainer.val=false"), tmp_path / name)[0]
        for name in ("baseline", "se")
    ]
    assert results[0] == results[1]


def test_a_budget_of_time_ends_the_training(tiny, tmp_path):
    """Whole epochs as Ultralytics has it: the epoch in progress when the time is up is the last."""
    plan = check(tiny("attention=baseline", "trainer.time=0.0003", "trainer.epochs=999", "trainer.val=false"))
    trainer = GraftTrainer.configured(plan.grafts)(overrides={**plan.arguments, "save_dir": str(tmp_path)})
    trainer.train()
    assert trainer.epoch + 1 < 999
    assert torch.isfinite(trainer.loss)
