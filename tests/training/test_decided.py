"""What Ultralytics decides when a training starts is in the record, and so is who was frozen."""

import json

import pytest
import torch
from torch import nn
from ultralytics.utils.torch_utils import unset_deterministic

from yolo26_attention.config.schema import GraftOptimizerConfig
from yolo26_attention.detector.grafted import graft_parts
from yolo26_attention.detector.specification import Graft
from yolo26_attention.files.journal import read_journal
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run
from yolo26_attention.training.decided import decided
from yolo26_attention.training.trainer import GraftTrainer


@pytest.fixture
def begin(tiny, tmp_path):
    """A trainer with everything built and nothing trained, from overrides."""

    def built(*overrides, spec=None, frozen=False, **arguments):
        plan = check(tiny("placement=p3", "trainer.val=false", *overrides))
        options = GraftOptimizerConfig(frozen=True) if frozen else plan.config.optimizer.attention
        configured = GraftTrainer.configured(
            spec or plan.grafts,
            tmp_path / "journal.jsonl",
            graft_options=options,
            steps=plan.config.trainer.steps,
        )
        trainer = configured(overrides={**plan.arguments, "save_dir": str(tmp_path / "train"), **arguments})
        trainer._setup_train()
        return trainer

    yield built
    unset_deterministic()


def test_what_is_decided_is_recorded(tiny, tmp_path):
    record, _ = run(check(tiny("attention=baseline", f"output_dir={tmp_path}")), "")
    assert record.training == {
        "images": 16,
        "val_images": 8,
        "val_batch": 8,
        "batch": 4,
        "batches": 4,
        "last_batch_dropped": False,
        "accumulate": 4,
        "warmup_batches": 0,
        "shuffled": True,
        "epochs": 1,
        "mosaic_epochs": 1,
        "imgsz": [64, 64],
        "optimizer": "MuSGD",
        "lr0": 0.01,
        "momentum": 0.937,
        "warmup_bias_lr": 0.1,
        "precision": "fp32",
        "compiled": False,
        "channels_last": False,
        "deterministic": True,
        "gpus": 0,
        "workers": 0,
        "threads": torch.get_num_threads(),
        "cache": None,
        "max_det": 300,
        "frozen": {"layers": {}, "attention": []},
    }
    assert json.loads((tmp_path / "runs" / record.name / "record.json").read_text())["training"] == record.training


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        pytest.param(["trainer.batch=32"], {"batch": 16, "batches": 1, "accumulate": 1}, id="batch-of-all-images"),
        pytest.param(["trainer.batch=5", "trainer.epochs=9"], {"batch": 5, "accumulate": 13}, id="accumulation"),
        pytest.param(
            ["trainer.epochs=2", "trainer.warmup_epochs=3"], {"epochs": 2, "warmup_batches": 4}, id="warm-up-cut-short"
        ),
        pytest.param(
            ["trainer.epochs=3", "trainer.close_mosaic=2"], {"mosaic_epochs": 1}, id="mosaic-closed-for-the-last-epochs"
        ),
        pytest.param(["trainer.close_mosaic=2"], {"mosaic_epochs": 0}, id="mosaic-never"),
        pytest.param(["trainer.mosaic=0"], {"mosaic_epochs": 0}, id="without-mosaic"),
        pytest.param(
            ["optimizer=auto"],
            {"optimizer": "AdamW", "lr0": 0.000714, "momentum": 0.9, "warmup_bias_lr": 0.0},
            id="auto",
        ),
        pytest.param(["trainer.multi_scale=0.5"], {"imgsz": [32, 96]}, id="multi-scale"),
        pytest.param(["trainer.deterministic=false"], {"deterministic": False}, id="not-deterministic"),
        pytest.param(["trainer.cache=ram"], {"cache": "ram"}, id="images-in-memory"),
        pytest.param(["trainer.steps=5", "trainer.nbs=4"], {"epochs": 2}, id="epochs-of-the-steps"),
    ],
)
def test_it_is_what_is_used_and_not_what_was_asked_for(overrides, found, begin):
    values = decided(begin("attention=baseline", *overrides))
    assert {name: values[name] for name in found} == found


def test_bf16_which_a_gpu_may_use_is_the_precision(begin):
    assert decided(begin("attention=baseline", amp="bf16"))["precision"] == "bf16"


def test_the_batch_is_that_of_all_gpus(begin):
    trainer = begin("attention=baseline")
    trainer.world_size = 2
    assert decided(trainer)["batch"] == 8


def test_images_in_order_are_said_to_be_so(begin, monkeypatch):
    trainer = begin("attention=baseline", "trainer.rect=true", "trainer.mosaic=0")
    assert decided(trainer)["mosaic_epochs"] == 0
    trainer.args.mosaic = 1.0
    assert decided(trainer)["mosaic_epochs"] == 0, "rect mixes no images"
    loader = torch.utils.data.DataLoader(trainer.train_loader.dataset, batch_size=4)
    trainer.train_loader = loader
    assert decided(trainer)["shuffled"] is False


class Half(nn.Module):
    """One parameter learns, the other one does not, and the names are such as Ultralytics freezes."""

    def __init__(self, channels):
        super().__init__()
        self.fixed = nn.Parameter(torch.ones(1), requires_grad=False)
        self.dfl = nn.Conv2d(channels, channels, 1)
        self.model = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Sequential(nn.BatchNorm2d(channels)))

    def forward(self, x):
        return x + self.fixed * self.model(self.dfl(x))


HALF = (Graft(f"{__name__}.Half", {}, ("p3",)),)


def test_names_that_ultralytics_freezes_do_not_freeze_the_graft(begin):
    trainer = begin("trainer.freeze=10", spec=HALF)
    learns = {name: p.requires_grad for name, p in trainer.model.model[16].attention.named_parameters()}
    assert {name for name, value in learns.items() if not value} == {"fixed"}
    trainer._model_train()
    assert trainer.model.model[16].attention.model[1][0].training
    assert not trainer.model.model[0].bn.training


def test_who_is_frozen_is_said(begin):
    trainer = begin("trainer.freeze=[0,16]", spec=HALF)
    frozen = decided(trainer)["frozen"]
    assert frozen["attention"] == ["model.16.attention.fixed"]
    assert frozen["layers"]["0"] == 3
    assert set(frozen["layers"]) == {"0", "16"}
    (entry,) = [entry for entry in read_journal(trainer.journal) if entry.event == "optimizer"]
    listed = [name for group in entry.details["groups"] for name in group["attention"]]
    assert "p3.fixed" not in listed
    assert "p3.dfl.weight" in listed
    learning = sum(p.requires_grad for p in trainer.model.parameters())
    assert sum(group["parameters"] for group in entry.details["groups"]) == learning


def test_a_frozen_graft_keeps_its_running_means_too(begin):
    trainer = begin(spec=HALF, frozen=True)
    trainer._model_train()
    assert not trainer.model.model[16].attention.model[1][0].training
    assert trainer.model.model[0].bn.training
    assert len(decided(trainer)["frozen"]["attention"]) == len(list(trainer.model.model[16].attention.parameters()))


def test_several_gpus_do_not_train_apart_what_ultralytics_freezes_for_its_name(begin):
    trainer = begin(spec=HALF)
    trainer.world_size = 2
    trainer.model.model[16].attention.dfl.weight.requires_grad = False
    with pytest.raises(ValueError, match=r"freezes model.16.attention.dfl.weight because of its name, .* rename"):
        trainer.build_optimizer(trainer.model)


@pytest.mark.parametrize(
    ("freeze", "overrides"),
    [
        pytest.param("10", ["placement=backbone", "placement.gate=zero"], id="issue"),
        pytest.param("stock", ["placement=neck"], id="stock"),
        pytest.param("stock", ["placement=p3", "placement.mode=replace"], id="stock-replace"),
        pytest.param("10", ["placement.sites=[backbone_p4]", "placement.mode=bottleneck"], id="bottleneck"),
    ],
)
def test_the_graft_learns_in_frozen_layers(freeze, overrides, tiny, tmp_path):
    options = ("attention=cbam", "trainer.val=false", "trainer.warmup_epochs=0", "trainer.nbs=4")
    plan = check(tiny(*options, f"trainer.freeze={freeze}", *overrides))
    trainer = GraftTrainer.configured(plan.grafts, tmp_path / "journal.jsonl")(
        overrides={**plan.arguments, "save_dir": str(tmp_path / "train")}
    )
    before = {}
    trainer.add_callback(
        "on_train_start", lambda t: before.update({k: v.clone() for k, v in t.model.state_dict().items()})
    )
    trainer.train()
    after, parts = trainer.model.state_dict(), tuple(graft_parts(trainer.model))
    same = {name for name in before if torch.equal(before[name], after[name])}
    inside = [f"model.{index}." for index in range(24 if freeze == "stock" else 10)]
    stock = {name for name in before if name.startswith(tuple(inside)) and not name.startswith(parts)}
    assert stock <= same, "values and running means of the frozen layers stay"
    graft_learned = {name for name in before if name.startswith(parts) and name not in same}
    sites = {name.split(".")[1] for name in before if name.startswith(parts)}
    assert {name.split(".")[1] for name in graft_learned} == sites
    assert freeze == "stock" or "model.13.cv1.conv.weight" not in same, "what is not frozen learns"
