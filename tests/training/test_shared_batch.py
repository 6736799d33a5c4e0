"""A batch that is left to the GPU's memory is found once, for the stock network, and is the same for all variants."""

import json

import pytest
import torch
from ultralytics.engine import trainer as engine
from ultralytics.utils.torch_utils import unset_deterministic

from yolo26_attention.detector.grafted import graft_of
from yolo26_attention.plan.checks import check
from yolo26_attention.training.shared_batch import shared_batch
from yolo26_attention.training.trainer import GraftTrainer


@pytest.fixture
def found(monkeypatch):
    """Networks for which Ultralytics was asked for a batch; it answers 4, then 3, then 2."""
    asked = []

    def answer(model, **kwargs):
        torch.rand(5)
        asked.append((graft_of(model), kwargs["batch"]))
        return 5 - len(asked)

    monkeypatch.setattr(engine, "check_train_batch_size", answer)
    yield asked
    unset_deterministic()


@pytest.fixture
def begin(tiny, tmp_path):
    def built(name, *overrides, state=None):
        plan = check(tiny("placement=p3", f"attention={name}", *overrides))
        (tmp_path / name).mkdir(exist_ok=True)
        configured = GraftTrainer.configured(
            plan.grafts, tmp_path / name / "journal.jsonl", state_file=state, batch_folder=tmp_path / "batches"
        )
        trainer = configured(overrides={**plan.arguments, "batch": 0.7, "save_dir": str(tmp_path / name)})
        return trainer

    return built


def test_variants_get_the_batch_of_the_stock_network(found, begin, tmp_path):
    batches = []
    for name in ("acmix", "baseline", "se"):
        trainer = begin(name)
        trainer._setup_train()
        assert (graft_of(trainer.model) == ()) == (name == "baseline")
        batches.append((trainer.batch_size, trainer.args.batch, trainer.train_loader.batch_size))
        entries = [json.loads(line) for line in trainer.journal.read_text().splitlines()]
        assert [entry["decided"]["batch"] for entry in entries if entry["event"] == "training"] == [4]
    assert batches == [(4, 4, 4)] * 3
    assert found == [((), 0.7)]
    (file,) = (tmp_path / "batches").iterdir()
    assert json.loads(file.read_text())["share"] == 0.7


def test_another_image_size_is_another_batch(found, begin):
    for size in (64, 96):
        begin("baseline", f"trainer.imgsz={size}")._setup_train()
    assert len(found) == 2


def test_finding_it_leaves_the_random_stream_and_the_graft(found, begin):
    trainer = begin("acmix")
    trainer.setup_model()
    trainer.model, before = trainer.model.to(trainer.device), torch.get_rng_state()
    trainer.amp, trainer.stride = False, 32
    attention = trainer.model.model[16].attention
    assert trainer.auto_batch() == 4
    assert torch.equal(torch.get_rng_state(), before)
    assert trainer.model.model[16].attention is attention


class Killed(BaseException):
    """Nothing catches it."""


def test_a_continued_run_keeps_its_batch(found, begin, tmp_path):
    def now(trainer):
        if trainer.epoch == 1:
            raise Killed

    state = tmp_path / "state.pt"
    killed = begin("baseline", "trainer.epochs=2", state=state)
    killed.add_callback("on_train_batch_end", now)
    with pytest.raises(Killed):
        killed.train()
    for file in (tmp_path / "batches").iterdir():
        file.unlink()
    again = begin("baseline", "trainer.epochs=2", state=state)
    again._setup_train()
    assert (again.batch_size, len(found)) == (4, 1)


def test_of_two_runs_that_look_at_once_one_batch_is_taken(tmp_path):
    def slow():
        return shared_batch(tmp_path, {"share": 0.5}, lambda: 8) + 1

    assert shared_batch(tmp_path, {"share": 0.5}, slow) == 8
    assert len(list(tmp_path.iterdir())) == 1
