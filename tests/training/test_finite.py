"""A training whose loss is not finite ends with the attention that made it so, and leaves no state behind."""

import dataclasses

import pytest
import torch
from torch import nn

from yolo26_attention.detector.specification import Graft
from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run
from yolo26_attention.training.finite import NotFiniteError
from yolo26_attention.training.trainer import GraftTrainer

HERE = __name__


class Same(nn.Module):
    """Changes nothing."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.scale


class AtFour(Same):
    """Divides by zero at site p4 of yolo26n, which has 128 channels."""

    def __init__(self, channels):
        super().__init__(channels)
        self.divide = channels == 128

    def forward(self, x):
        return x * self.scale / 0 if self.divide and self.training else x


def planned(tiny, cls, *overrides):
    plan = check(tiny("attention=baseline", "trainer.epochs=3", *overrides))
    return dataclasses.replace(
        plan,
        grafts=(Graft(f"{HERE}.{cls.__name__}", {}, ("neck",)),),
    )


def test_the_site_is_named_in_the_first_step_and_no_state_is_left(tiny):
    plan = planned(tiny, AtFour, "seed=71")
    with pytest.raises(
        NotFiniteError, match="not finite in epoch 1: the attention at site p4 outputs non-finite values"
    ):
        run(plan, "")
    record = Record.read(plan.folder)
    assert record.status == "failed"
    assert "at site p4" in record.error
    assert not list(plan.folder.glob("*.pt"))


def test_a_loss_that_no_attention_made_so_says_that(tiny):
    plan = planned(tiny, Same, "seed=72")
    trainer = GraftTrainer.configured(plan.grafts)(overrides=dict(plan.arguments))
    trainer.add_callback("on_train_start", lambda t: t.model.model[0].conv.weight.data.fill_(float("nan")))
    with pytest.raises(NotFiniteError, match="not finite in epoch 1, but no attention caused it"):
        trainer.train()


def test_a_state_that_only_leads_to_such_values_is_removed(tiny):
    plan = planned(tiny, Same, "seed=73")

    def spoil(trainer):
        if trainer.epoch > 0:
            trainer.model.model[0].conv.weight.data.fill_(float("nan"))

    with pytest.MonkeyPatch.context() as patch:
        setup = GraftTrainer._setup_train

        def spoiled(trainer):
            setup(trainer)
            trainer.add_callback("on_train_epoch_start", spoil)

        patch.setattr(GraftTrainer, "_setup_train", spoiled)
        with pytest.raises(NotFiniteError, match="not finite in epoch 2"):
            run(plan, "")
    assert not list(plan.folder.glob("*.pt"))
    assert [entry.event for entry in read_journal(plan.folder / "journal.jsonl")].count("nan_recovery") == 3
