"""How the optimizer treats the graft."""

import pytest
import torch

from yolo26_attention.config.schema import GraftOptimizerConfig
from yolo26_attention.detector.specification import Graft
from yolo26_attention.files.journal import read_journal
from yolo26_attention.plan.checks import check
from yolo26_attention.training.param_groups import regroup, set_own_decay
from yolo26_attention.training.trainer import GraftTrainer


class Running(torch.nn.Module):
    """Changes buffers of its own, of several types."""

    def __init__(self, channels):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(channels, 1, 1))
        self.register_buffer("average", torch.zeros(channels, 1, 1))

    def forward(self, x):
        if self.training:
            self.average.lerp_(x.detach().mean((0, 2, 3))[:, None, None], 0.5)
        return x * self.scale + self.average


@pytest.fixture
def groups(tiny, tmp_path):
    """Train one small epoch; the optimizer's groups as recorded, and the graft before and after."""

    def run(*overrides):
        plan = check(tiny("placement=p3", "trainer.val=false", "trainer.warmup_epochs=0", *overrides))
        trainer = GraftTrainer.configured(
            plan.grafts, tmp_path / "journal.jsonl", graft_options=plan.config.optimizer.attention
        )
        training = trainer(overrides={**plan.arguments, "save_dir": str(tmp_path / "train")})
        before = {}
        training.add_callback(
            "on_train_start",
            lambda t: before.update({k: v.clone() for k, v in t.model.model[16].attention.state_dict().items()}),
        )
        training.train()
        (entry,) = [entry for entry in read_journal(tmp_path / "journal.jsonl") if entry.event == "optimizer"]
        return entry.details["groups"], before, training.model.model[16].attention.state_dict()

    return run


def holding(groups, name):
    (group,) = [group for group in groups if name in group["attention"]]
    return group


def test_ultralytics_behaviour_is_the_default_and_is_recorded(groups):
    recorded, _, _ = groups()
    assert holding(recorded, "p3.conv1.weight")["muon"]
    assert holding(recorded, "p3.dep_conv.weight")["muon"]
    assert holding(recorded, "p3.rate1")["weight_decay"] > 0
    assert holding(recorded, "p3.conv1.bias")["group"] == "bias"


def test_learning_rate_factor(groups):
    recorded, _, _ = groups("optimizer.attention.lr_factor=0.1")
    assert holding(recorded, "p3.conv1.weight")["lr"] == pytest.approx(0.001)
    assert {group["lr"] for group in recorded if not group["attention"] and group["parameters"]} == {0.01, 0.03}


def test_without_muon(groups):
    recorded, _, _ = groups("optimizer.attention.muon=false")
    assert not holding(recorded, "p3.dep_conv.weight")["muon"]
    assert any(group["muon"] for group in recorded)


def test_weight_decay(groups):
    recorded, _, _ = groups("optimizer.attention.weight_decay=0")
    assert holding(recorded, "p3.rate1")["weight_decay"] == 0
    assert any(group["weight_decay"] > 0 for group in recorded)


@pytest.mark.parametrize("batch", ["trainer.batch=4", "trainer.batch=3"])
def test_the_stock_weight_decay_given_explicitly_changes_nothing(batch, groups, tmp_path):
    stock, _, trained = groups(batch, "trainer.nbs=10")
    (tmp_path / "journal.jsonl").unlink()
    given, _, again = groups(batch, "trainer.nbs=10", "optimizer.attention.weight_decay=0.0005")
    for name in ("p3.conv1.weight", "p3.rate1", "p3.conv1.bias"):
        assert holding(given, name)["weight_decay"] == holding(stock, name)["weight_decay"]
    assert all(torch.equal(again[name], trained[name]) for name in trained)


def test_frozen_graft_keeps_its_values(groups):
    recorded, before, after = groups("optimizer.attention.frozen=true")
    assert [group for group in recorded if group["attention"]] == []
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_weight_decay_of_its_own_outlives_a_halved_batch():
    """Ultralytics sets that of the groups that it knows by name anew."""
    site = torch.nn.Module()
    site.attention = torch.nn.Conv2d(1, 1, 1)
    model = torch.nn.Module()
    model.model, model.grafted_sites = torch.nn.ModuleList([site]), {"p3": 0}
    model.grafted_spec = [{"target": "torch.nn.Conv2d", "sites": ("p3",)}]
    groups = [
        {"params": [parameter], "param_group": kind}
        for kind, parameter in zip(("weight", "bias"), site.attention.parameters(), strict=True)
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    options = GraftOptimizerConfig(weight_decay=0.01)
    regroup(optimizer, model, options, batch=24, nbs=64)
    own, bias = [group for group in optimizer.param_groups if group["params"]]
    assert (own["param_group"], own["weight_decay"]) == ("attention", 0.01 * 24 * 3 / 64)
    assert (bias["param_group"], bias["weight_decay"]) == ("bias", 0)
    set_own_decay(optimizer, options, batch=12, nbs=64)
    assert own["weight_decay"] == 0.01 * 12 * 5 / 64


def test_a_frozen_graft_keeps_the_buffers_that_it_changes_itself(tiny, tmp_path):
    plan = check(tiny("placement=p3", "trainer.val=false", "trainer.epochs=2", "trainer.nbs=4"))
    spec = Graft(f"{__name__}.Running", {}, ("p3",))
    trainer = GraftTrainer.configured(
        (spec,), tmp_path / "journal.jsonl", graft_options=GraftOptimizerConfig(frozen=True)
    )
    training, seen = trainer(overrides={**plan.arguments, "save_dir": str(tmp_path / "train")}), []

    def look(t):
        seen.append(float(t.model.model[16].attention.average.abs().max()))

    training.add_callback("on_train_batch_end", look)
    training.train()
    averaged = training.ema.ema.model[16].attention.average
    assert len(seen) > 1
    assert set(seen) == {0.0}
    assert not averaged.any()
    assert torch.equal(training.model.model[16].attention.scale, torch.ones_like(averaged))
