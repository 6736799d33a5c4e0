"""The trainer keeps the graft, counts what was loaded, and notes what changed the experiment."""

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch._dynamo.config
from ultralytics.nn.tasks import DetectionModel, load_checkpoint

from tests.fabricate import GROUPS, match_of
from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.journal import Kind, append_entry, read_journal
from yolo26_attention.files.start import TrainingStart
from yolo26_attention.files.typed import plain
from yolo26_attention.plan.checks import check
from yolo26_attention.training import validator
from yolo26_attention.training.trainer import GraftTrainer


@pytest.fixture
def trainer(tiny, tmp_path):
    """A trainer of one small epoch, from overrides."""

    def build(*overrides):
        plan = check(tiny("placement=p3", "trainer.val=false", *overrides))
        arguments = {**plan.arguments, "save_dir": str(tmp_path / "train")}
        return GraftTrainer.configured(plan.grafts, tmp_path / "journal.jsonl")(overrides=arguments)

    return build


def events(tmp_path, name):
    return [entry for entry in read_journal(tmp_path / "journal.jsonl") if entry.event == name]


def test_graft_survives_training_and_the_checkpoint(trainer, tmp_path):
    training = trainer()
    training.train()
    model, _ = load_checkpoint(tmp_path / "train" / "weights" / "best.pt")
    assert list(grafted_attention(model)) == ["p3"]
    (epoch,) = events(tmp_path, "epoch")
    assert set(epoch.details["scalars"]) == {"p3/rate1", "p3/rate2"}
    assert {"train/box_loss", "metrics/mAP50-95(B)", "lr/pg0"} <= set(epoch.details["values"])


def test_graft_has_a_gradient(trainer):
    training = trainer()
    before = {}

    def keep(t):
        before.update({k: v.clone() for k, v in t.model.model[16].attention.state_dict().items()})

    training.add_callback("on_train_start", keep)
    training.train()
    after = training.model.model[16].attention.state_dict()
    # Softmax removes the bias of the position projection (design, identity 1), so it never learns.
    assert {name for name in before if torch.equal(before[name], after[name])} == {"conv_p.bias"}


@pytest.mark.parametrize(
    ("classes", "loaded"), [pytest.param(10, 708, id="same-classes"), pytest.param(3, 696, id="other-classes")]
)
def test_stock_tensors_loaded_are_counted(classes, loaded, trainer, tmp_path):
    checkpoint = tmp_path / "stock.pt"
    torch.manual_seed(5)
    model = build_stock("yolo26n", classes=classes, channels=3)
    torch.save({"model": model, "train_args": {}}, checkpoint)
    training = trainer(f"model.weights={checkpoint}")
    training.setup_model()
    (entry,) = events(tmp_path, "weights")
    assert (entry.details["loaded"], entry.details["total"]) == (loaded, 708)
    assert torch.equal(training.model.model[0].conv.weight, model.model[0].conv.weight)


@pytest.mark.parametrize(
    ("mode", "site", "lost"),
    [
        pytest.param("append", "p4", 0, id="append"),
        pytest.param("replace", "p4", 54, id="replace"),
        pytest.param("bottleneck", "backbone_p4", 4, id="bottleneck"),
    ],
)
def test_tensors_without_a_place_are_named(mode, site, lost, trainer, tmp_path):
    checkpoint = tmp_path / "stock.pt"
    torch.save({"model": build_stock("yolo26n", classes=10, channels=3), "train_args": {}}, checkpoint)
    training = trainer(f"model.weights={checkpoint}", f"placement.sites=[{site}]", f"placement.mode={mode}")
    training.setup_model()
    (entry,) = events(tmp_path, "weights")
    assert (entry.details["loaded"], entry.details["total"], len(entry.details["lost"])) == (708 - lost, 708, lost)
    assert not set(entry.details["lost"]) & set(training.model.state_dict())


def test_graft_of_a_checkpoint_is_loaded_too(trainer, tmp_path):
    training = trainer()
    training.train()
    again = trainer(f"model.weights={tmp_path / 'train' / 'weights' / 'best.pt'}", "seed=5")
    again.setup_model()
    entry = events(tmp_path, "weights")[-1]
    attention = again.model.model[16].attention
    assert entry.details["graft_loaded"] == len(attention.state_dict())
    assert torch.equal(attention.conv1.weight.half(), training.ema.ema.model[16].attention.conv1.weight.half())


def test_recovery_from_nan_is_noted(trainer, tmp_path, monkeypatch):
    training = trainer("trainer.epochs=2")
    loss = DetectionModel.loss
    state = {"calls": 0}

    def once_not_finite(self, *args, **kwargs):
        value, items = loss(self, *args, **kwargs)
        if self.training and training.epoch == 1:
            state["calls"] += 1
            if state["calls"] <= len(training.train_loader):
                value = value * float("nan")
        return value, items

    monkeypatch.setattr(DetectionModel, "loss", once_not_finite)
    training.train()
    (entry,) = events(tmp_path, "nan_recovery")
    assert (entry.details["epoch"], entry.details["attempt"]) == (2, 1)
    assert [entry.details["epoch"] for entry in events(tmp_path, "epoch")] == [1, 2]


@pytest.mark.parametrize("compiled", [True, False])
def test_a_compiled_training_is_not_another_network_s(compiled, trainer):
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=True):
        trainer(f"trainer.compile={compiled}")
        assert torch._dynamo.config.skip_nnmodule_hook_guards is not compiled


def test_threads_are_set(tiny, tmp_path):
    before = torch.get_num_threads()
    try:
        plan = check(tiny())
        arguments = {**plan.arguments, "save_dir": str(tmp_path / "train")}
        GraftTrainer.configured(plan.grafts, threads=2)(overrides=arguments)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_ultralytics_prints_no_flops_of_its_own(trainer, monkeypatch):
    """It counts what masked and shifted products do not need, at 640 px whatever the size."""
    lines = []
    monkeypatch.setattr("ultralytics.utils.LOGGER.info", lambda text, *_, **__: lines.append(str(text)))
    trainer().train()
    assert any("summary (fused)" in line for line in lines)
    assert [line for line in lines if "GFLOPs" in line] == []


def test_a_compiled_training_does_not_find_the_compilations_of_others(trainer, monkeypatch):
    resets = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append(1))
    trainer()
    assert resets == []
    trainer("trainer.compile=true")
    assert resets == [1]


@pytest.mark.parametrize("cache", ["disk", "ram"])
def test_where_images_are_kept_does_not_move_the_random_stream(cache, trainer, tmp_path):
    states = []
    for kept in ("false", cache):
        training = trainer(f"trainer.cache={kept}")
        training.setup_model()
        random.seed(3)
        training.get_dataloader(training.data["train"], 4, -1, "train")
        states.append(random.getstate())
    for file in Path(training.data["train"]).glob("*.npy"):
        file.unlink()
    assert states[0] == states[1]


def test_validation_behind_several_gpus_has_the_options_of_the_training(monkeypatch, tmp_path):
    given = {}

    class Validated:
        def __init__(self, checkpoint):
            self.results_dict = {"mAP": 1.0}

        def val(self, **kwargs):
            given.update(kwargs)
            return self

    monkeypatch.setattr(validator, "YOLO", Validated)
    own = {"conf": 0.25, "iou": 0.5, "max_det": 7, "single_cls": True, "workers": 3, "channels_last": None}
    rest = {"data": "data.yaml", "imgsz": 64, "batch": 4, "device": "0,1", "plots": False}
    options = {**own, **rest, "save_dir": str(tmp_path)}
    training = {"batch": 4, "gpus": 2}
    assert validator.validate(tmp_path / "best.pt", options, training, tmp_path / "matches.npz") == {"mAP": 1.0}
    assert own.items() <= given.items()
    assert given["batch"] == 4, "twice the batch of one GPU"


def test_resumed_workers_take_from_the_journal_what_an_earlier_version_noted(tmp_path, monkeypatch):
    monkeypatch.setattr("yolo26_attention.training.trainer.decided", lambda _: {"batch": 8})
    journal, noted = tmp_path / "journal.jsonl", []
    worker = SimpleNamespace(journal=journal, loaded=None, placebo={}, groups=GROUPS, _state=object())
    worker.note = lambda kind, **details: noted.append(kind)
    with pytest.raises(ValueError, match="the journal has no entry weights;"):
        GraftTrainer._hand_over(worker)
    worker._state = None
    with pytest.raises(ValueError, match=r"training\.json is gone, so this run cannot resume; remove its folder"):
        GraftTrainer._hand_over(worker)
    worker._state = object()
    append_entry(journal, Kind.WEIGHTS, loaded=7, total=708, lost=[], graft_loaded=0)
    append_entry(journal, Kind.GRAFT, placebo={"p3": plain(match_of(0.01))})
    append_entry(journal, Kind.OPTIMIZER, groups=[])
    append_entry(journal, Kind.TRAINING, decided={"batch": 8})
    for _ in range(2):  # the second time from training.json
        GraftTrainer._hand_over(worker)
        start = TrainingStart.read(tmp_path / "training.json")
        assert (start.weights.loaded, start.placebo, start.optimizer) == (7, {"p3": match_of(0.01)}, GROUPS)
        assert noted == []
        journal.unlink(missing_ok=True)
    monkeypatch.setattr("yolo26_attention.training.trainer.decided", lambda _: {"batch": 4})
    GraftTrainer._hand_over(worker)
    assert noted == [Kind.TRAINING]
