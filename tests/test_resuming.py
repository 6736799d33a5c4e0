"""A training that is interrupted, wherever that is, ends with the very numbers of one that is not."""

import pytest
import torch

from src.checkpoint import settle
from src.checks import check
from src.journal import read_journal
from src.trainer import GraftTrainer

# Four epochs of four batches each, with everything switched on that draws random numbers.
LONG = (
    "attention=acmix",
    "placement=p3",
    "trainer.epochs=4",
    "trainer.mosaic=1.0",
    "trainer.close_mosaic=2",
    "trainer.mixup=0.5",
    "trainer.degrees=10",
    "trainer.warmup_epochs=0",
    "trainer.nbs=12",
)


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@pytest.fixture
def begin(tiny, tmp_path):
    """Build the trainer of a run as its next process would, from overrides of a run in a folder of that name."""

    def built(name, *overrides, trainer=GraftTrainer):
        keys = {override.split("=")[0] for override in overrides}
        plan = check(tiny(*(option for option in LONG if option.split("=")[0] not in keys), *overrides))
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        settle(folder / "state.pt", folder / "train" / "weights" / "best.pt")
        configured = trainer.configured(
            plan.graft,
            folder / "journal.jsonl",
            graft_options=plan.graft_options,
            steps=plan.config["trainer"]["steps"],
            state_file=folder / "state.pt",
        )
        return configured(overrides={**plan.arguments, "save_dir": str(folder / "train")})

    return built


def kill(trainer, event, epoch, batch=None):
    """Train, and be killed when `event` comes in an epoch (and at a batch)."""

    def now(t):
        if trainer.epoch == epoch and (batch is None or trainer.batches == batch):
            raise Killed

    trainer.add_callback(event, now)
    with pytest.raises(Killed):
        trainer.train()


def outcome(trainer):
    """Every number that a training leaves behind."""
    folder = trainer.save_dir
    rows = [line.split(",") for line in (folder / "results.csv").read_text().splitlines()]
    journal = [
        {key: value for key, value in entry.items() if key != "time"}
        for entry in read_journal(trainer.journal)
        if entry["event"] != "resume"
    ]
    weights = {
        name: torch.load(folder / "weights" / name, weights_only=False)["model"].state_dict()
        for name in ("last.pt", "best.pt")
    }
    return [row[:1] + row[2:] for row in rows], journal, trainer.metrics, weights


def assert_same(trainer, expected):
    rows, journal, metrics, weights = outcome(trainer)
    assert rows == expected[0]
    assert journal == expected[1]
    assert metrics == expected[2]
    for file, tensors in expected[3].items():
        different = [name for name, tensor in tensors.items() if not torch.equal(weights[file][name], tensor)]
        assert different == []


def finish(trainer):
    trainer.train()
    return outcome(trainer)


SETTINGS = [
    pytest.param([], id="musgd-accumulation-straddles-epochs"),
    pytest.param(["trainer.nbs=28", "trainer.warmup_epochs=1.4"], id="warmup"),
    pytest.param(["optimizer=adamw", "trainer.nbs=80"], id="adamw-fewer-steps-than-epochs"),
    pytest.param(["trainer.steps=4", "trainer.fraction=13"], id="steps"),
    pytest.param(["trainer.val=false", "optimizer=sgd", "trainer.multi_scale=0.5"], id="sgd-unvalidated"),
    pytest.param(["trainer.patience=1", "trainer.epochs=5", "attention=baseline"], id="early-stop"),
]


@pytest.mark.parametrize("overrides", SETTINGS)
def test_killed_in_every_epoch_it_ends_the_same(overrides, begin):
    expected = finish(begin("undisturbed", *overrides))
    for epoch in range(1, len(expected[0]) - 1):
        kill(begin("killed", *overrides), "on_train_batch_end", epoch, batch=1)
    last = begin("killed", *overrides)
    last.train()
    assert_same(last, expected)
