"""A training that is interrupted, wherever that is, ends with the very numbers of one that is not."""

import time
from types import SimpleNamespace

import pytest
import torch
from ultralytics.engine import trainer as engine
from ultralytics.nn.tasks import DetectionModel

from yolo26_attention.files.journal import epochs, read_journal
from yolo26_attention.plan.checks import check
from yolo26_attention.training import resuming
from yolo26_attention.training import state as checkpoint
from yolo26_attention.training.state import read_state, settle
from yolo26_attention.training.trainer import GraftTrainer
from yolo26_attention.training.whole_files import WholeFiles

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


@pytest.fixture(scope="module")
def build(tiny):
    """Build the trainer of a run as its next process would, from overrides of a run in that folder."""

    def built(folder, *overrides, trainer=GraftTrainer):
        keys = {override.split("=")[0] for override in overrides}
        plan = check(tiny(*(option for option in LONG if option.split("=")[0] not in keys), *overrides))
        folder.mkdir(exist_ok=True)
        settle(folder / "state.pt", folder / "train" / "weights" / "best.pt")
        configured = trainer.configured(
            plan.grafts,
            folder / "journal.jsonl",
            graft_options=plan.config.optimizer.attention,
            steps=plan.config.trainer.steps,
            state_file=folder / "state.pt",
        )
        return configured(overrides={**plan.arguments, "save_dir": str(folder / "train")})

    return built


@pytest.fixture
def begin(build, tmp_path):
    return lambda name, *overrides, **kwargs: build(tmp_path / name, *overrides, **kwargs)


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
    journal = [(entry.event, entry.details) for entry in read_journal(trainer.journal) if entry.event != "resume"]
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
    pytest.param(
        [
            "attention=mix",
            "attention.grafts={p3: [acmix, {name: se, gate: zero}], p5: {name: cbam, mode: replace}}",
            "placement=neck",
        ],
        id="mix",
        marks=pytest.mark.slow,
    ),
    pytest.param(["trainer.nbs=28", "trainer.warmup_epochs=1.4"], id="warmup", marks=pytest.mark.slow),
    pytest.param(["optimizer=adamw", "trainer.nbs=80"], id="adamw-fewer-steps-than-epochs", marks=pytest.mark.slow),
    pytest.param(["trainer.steps=4", "trainer.fraction=13"], id="steps", marks=pytest.mark.slow),
    pytest.param(
        ["trainer.val=false", "optimizer=sgd", "trainer.multi_scale=0.5"], id="sgd-unvalidated", marks=pytest.mark.slow
    ),
    pytest.param(
        ["trainer.patience=1", "trainer.epochs=5", "attention=baseline"], id="early-stop", marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize("overrides", SETTINGS)
def test_killed_in_every_epoch_it_ends_the_same(overrides, begin):
    expected = finish(begin("undisturbed", *overrides))
    for epoch in range(1, len(expected[0]) - 1):
        kill(begin("killed", *overrides), "on_train_batch_end", epoch, batch=1)
    last = begin("killed", *overrides)
    last.train()
    assert_same(last, expected)


class WithWorkers(GraftTrainer):
    """Worker processes on a CPU, where Ultralytics allows none."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.args.workers = 2


class WithScaler(GraftTrainer):
    """Mixed precision with a gradient scaler, as on a GPU."""

    def resume_training(self, ckpt):
        self.amp, self.scaler = True, torch.amp.GradScaler("cpu", init_scale=8.0)
        super().resume_training(ckpt)


def hardware_changes(training):
    (event,) = [entry for entry in read_journal(training.journal) if entry.event == "hardware_changed"]
    return {what: (change["before"], change["now"]) for what, change in event.details["changes"].items()}


@pytest.mark.parametrize(
    ("first", "then", "precisions"),
    [
        pytest.param(GraftTrainer, WithScaler, ("fp32", "fp16"), id="cpu-then-gpu"),
        pytest.param(WithScaler, GraftTrainer, ("fp16", "fp32"), id="gpu-then-cpu"),
    ],
)
def test_begun_with_or_without_a_gradient_scaler_it_resumes_the_other_way_and_says_so(first, then, precisions, begin):
    overrides = ("attention=baseline", "trainer.epochs=2", "trainer.fraction=8")
    kill(begin("run", *overrides, trainer=first), "on_train_batch_end", 1, batch=0)
    training = begin("run", *overrides, trainer=then)
    training.train()
    assert [each.epoch for each in epochs(read_journal(training.journal))] == [1, 2]
    assert hardware_changes(training) == {"precision": precisions}


def test_a_scaler_that_was_saved_is_restored(begin):
    overrides = ("attention=baseline", "trainer.epochs=2", "trainer.fraction=8")
    killed = begin("run", *overrides, trainer=WithScaler)
    killed.add_callback("on_train_epoch_end", lambda t: t.scaler.update(2.0))
    kill(killed, "on_train_batch_end", 1, batch=0)
    scales = []
    training = begin("run", *overrides, trainer=WithScaler)
    training.add_callback("on_train_start", lambda t: scales.append(t.scaler.get_scale()))
    training.train()
    assert scales == [2.0]


def test_another_number_of_loader_processes_is_told_and_starts_the_epoch_with_numbers_of_its_own(begin, monkeypatch):
    overrides = ("attention=baseline", "trainer.epochs=3", "trainer.fraction=8")
    kill(begin("run", *overrides, trainer=WithWorkers), "on_train_batch_end", 1, batch=0)
    begun = []
    anew = resuming.start_epoch_anew
    monkeypatch.setattr(
        resuming, "start_epoch_anew", lambda loader, *where: begun.append(where) or anew(loader, *where)
    )
    training = begin("run", *overrides)
    training.train()
    assert hardware_changes(training) == {"workers": (2, 0)}
    assert begun == [(0, 1, 0, -1)], "the streams of a process without loader processes were not kept"


@pytest.mark.slow
def test_with_worker_processes_it_ends_the_same(begin):
    overrides = ("attention=baseline", "trainer.epochs=3", "trainer.close_mosaic=1")
    expected = finish(begin("undisturbed", *overrides, trainer=WithWorkers))
    kill(begin("killed", *overrides, trainer=WithWorkers), "on_train_batch_end", 1, batch=0)
    last = begin("killed", *overrides, trainer=WithWorkers)
    last.train()
    assert last.train_loader.num_workers == 2
    assert_same(last, expected)


@pytest.mark.slow
def test_epochs_of_worker_processes_differ(begin):
    training = begin("run", "attention=baseline", "trainer.epochs=2", trainer=WithWorkers)
    images = []
    preprocess = training.preprocess_batch
    training.preprocess_batch = lambda batch: images.append(batch["img"].clone()) or preprocess(batch)
    training.train()
    first, second = images[:4], images[4:8]
    assert not any(torch.equal(one, other) for one in first for other in second)


class BestFirst(GraftTrainer):
    """The first epoch stays the best, so that best.pt cannot be made again from a later state."""

    def validate(self):
        metrics, _ = super().validate()
        self.best_fitness = 1.0
        return metrics, 1.0 / (1 + self.epoch)


SHORT = ("attention=baseline", "trainer.fraction=8", "trainer.epochs=3", "trainer.close_mosaic=1")


def in_validation(training, monkeypatch):
    training.add_callback("on_val_batch_end", lambda _: killed_in_epoch(training, 1))


def before_the_first_batch(training, monkeypatch):
    training.add_callback("on_train_epoch_start", lambda _: killed_in_epoch(training, 1))


def in_the_middle_of_a_state(training, monkeypatch):
    def half(path, content):
        path.with_name(path.name + ".partial").write_bytes(content[: len(content) // 2])
        killed_in_epoch(training, 1)
        write(path, content)

    write = checkpoint.write_atomically
    monkeypatch.setattr(checkpoint, "write_atomically", half)


def between_old_and_new_state(training, monkeypatch):
    def replace(source, target):
        if str(target).endswith("state.pt"):
            killed_in_epoch(training, 1)
        rename(source, target)

    rename = checkpoint.os.replace
    monkeypatch.setattr(checkpoint.os, "replace", replace)


def between_state_and_checkpoints(training, monkeypatch):
    def save(self):
        killed_in_epoch(training, 2)
        return saved(self)

    saved = WholeFiles.save_model
    monkeypatch.setattr(WholeFiles, "save_model", save)


def between_best_and_last(training, monkeypatch):
    def replace(source, target):
        if str(target).endswith("last.pt"):
            killed_in_epoch(training, 1)
        rename(source, target)

    rename = checkpoint.os.replace
    monkeypatch.setattr(checkpoint.os, "replace", replace)


def while_checkpoints_are_stripped(training, monkeypatch):
    def strip(file, **kwargs):
        file.write_bytes(b"half")
        raise Killed

    monkeypatch.setattr(engine, "strip_optimizer", strip)


def in_the_last_validation(training, monkeypatch):
    training.add_callback("on_fit_epoch_end", lambda _: killed_in_epoch(training, 3))


def at_the_very_end(training, monkeypatch):
    training.add_callback("on_train_end", lambda _: killed_in_epoch(training, 2))


def killed_in_epoch(training, epoch):
    if training.epoch == epoch:
        raise Killed


@pytest.fixture(scope="module")
def undisturbed(build, tmp_path_factory):
    """The outcome of a short run, found once."""
    return finish(build(tmp_path_factory.mktemp("undisturbed"), *SHORT, trainer=BestFirst))


@pytest.mark.parametrize(
    "moment",
    [
        in_the_middle_of_a_state,
        between_state_and_checkpoints,
        while_checkpoints_are_stripped,
        pytest.param(before_the_first_batch, marks=pytest.mark.slow),
        pytest.param(in_validation, marks=pytest.mark.slow),
        pytest.param(between_old_and_new_state, marks=pytest.mark.slow),
        pytest.param(between_best_and_last, marks=pytest.mark.slow),
        pytest.param(in_the_last_validation, marks=pytest.mark.slow),
        pytest.param(at_the_very_end, marks=pytest.mark.slow),
    ],
    ids=lambda moment: moment.__name__,
)
def test_killed_at_any_moment_it_ends_the_same(moment, undisturbed, begin, monkeypatch):
    with monkeypatch.context() as patched:
        training = begin("killed", *SHORT, trainer=BestFirst)
        moment(training, patched)
        with pytest.raises(Killed):
            training.train()
    last = begin("killed", *SHORT, trainer=BestFirst)
    last.train()
    assert_same(last, undisturbed)
    assert "resume" in [entry.event for entry in read_journal(last.journal)]
    assert not list(last.save_dir.rglob("*.partial"))


@pytest.mark.slow
def test_recovery_from_nan_is_the_same_behind_an_interruption(begin, monkeypatch):
    """Ultralytics does not go back to a checkpoint in the first epoch of a process; here it is no first epoch."""
    overrides = ("attention=baseline", "trainer.epochs=3", "trainer.nbs=4")
    loss = DetectionModel.loss

    def once_not_finite(self, *args, **kwargs):
        value, items = loss(self, *args, **kwargs)
        if self.training and training.epoch == 2 and training.nan_recovery_attempts == 0:
            value = value * float("nan")
        return value, items

    monkeypatch.setattr(DetectionModel, "loss", once_not_finite)
    training = begin("undisturbed", *overrides)
    expected = finish(training)
    training = begin("killed", *overrides)
    kill(training, "on_train_batch_end", 2, batch=1)
    training = begin("killed", *overrides)
    training.train()
    assert_same(training, expected)
    assert [entry.event for entry in read_journal(training.journal)].count("nan_recovery") == 1


@pytest.mark.slow
def test_a_halved_batch_stays_halved_behind_an_interruption(begin, monkeypatch):
    overrides = ("attention=baseline", "trainer.epochs=2")
    loss = DetectionModel.loss

    def too_large_for_four(self, batch, *args, **kwargs):
        if self.training and len(batch["img"]) == 4:
            raise RuntimeError("CUDA out of memory")
        return loss(self, batch, *args, **kwargs)

    monkeypatch.setattr(DetectionModel, "loss", too_large_for_four)
    expected = finish(begin("undisturbed", *overrides))
    kill(begin("killed", *overrides), "on_train_batch_end", 1, batch=0)
    training = begin("killed", *overrides)
    training.train()
    assert training.batch_size == 2
    assert_same(training, expected)


@pytest.mark.slow
def test_hours_of_training_count_on_behind_an_interruption(begin):
    overrides = (*SHORT, "trainer.time=1.0")
    killed = begin("run", *overrides)
    kill(killed, "on_train_batch_end", 1, batch=0)
    seconds = read_state(killed.state_file).seconds
    passed = []
    last = begin("run", *overrides)
    last.add_callback("on_train_start", lambda training: passed.append(time.time() - training.train_time_start))
    kill(last, "on_train_batch_end", 2, batch=0)
    assert passed[0] >= seconds > 0
    assert last.epochs > 3  # as many as the hours are estimated to allow


def test_with_worker_processes_each_epoch_begins_with_numbers_of_its_own(monkeypatch, tmp_path):
    begun = []
    monkeypatch.setattr(resuming, "start_epoch_anew", lambda loader, *where: begun.append(where))
    training = GraftTrainer.__new__(GraftTrainer)
    training.state_file, training.args = tmp_path / "state.pt", SimpleNamespace(seed=3)
    training.train_loader, training.nan_recovery_attempts = SimpleNamespace(num_workers=2), 0
    for epoch, attempts in ((0, 0), (1, 0), (1, 1)):
        training.epoch, training.nan_recovery_attempts = epoch, attempts
        training._begin_epoch()
    assert begun == [(3, 0, 0, -1), (3, 1, 0, -1), (3, 1, 1, -1)]
    training.train_loader.num_workers = 0
    training._begin_epoch()
    assert len(begun) == 3, "without them the streams themselves go on"
