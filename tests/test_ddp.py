"""Several GPUs in one run, as far as it can be shown without them: what Ultralytics' launcher hands to its workers.

The launcher pickles trainer class, arguments and callbacks, and starts a file that knows nothing else. That file is
started here as it is, in one process, and by torch's own launcher in two that share gradients over gloo on the CPU.
What stands in for GPUs in the two is the device and the backend, and the validation behind the last epoch is left out.
Whole runs go through the runner and the launcher itself, which is only told that there are two devices.
"""

import json
import os
import subprocess
import sys

import numpy as np
import psutil
import pytest
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.nn.tasks import load_checkpoint
from ultralytics.utils import dist
from ultralytics.utils.dist import ddp_cleanup, generate_ddp_command, generate_ddp_file

from yolo26_attention.config.schema import GraftOptimizerConfig
from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.files.journal import epochs as completed
from yolo26_attention.files.journal import read_journal
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run
from yolo26_attention.training.trainer import GraftTrainer

ON_CPU = """
    import torch.distributed as dist
    from ultralytics.engine.trainer import BaseTrainer
    from ultralytics.utils import RANK
    wrapped = torch.nn.parallel.DistributedDataParallel
    torch.nn.parallel.DistributedDataParallel = lambda model, device_ids, **options: wrapped(model, **options)
    BaseTrainer._setup_ddp = lambda self: dist.init_process_group("gloo", rank=RANK, world_size=2)
"""
# Behind the last epoch a worker validates best.pt on CUDA by name; the runner does that again itself (matches.npz).
AS_TWO = """    trainer.world_size = 2
    trainer.final_eval = lambda: None
"""
TELL = """
    from ultralytics.utils.torch_utils import unwrap_model
    weights = torch.cat([p.detach().flatten() for p in unwrap_model(trainer.model).parameters()])
    print("RANK", RANK, "WEIGHTS", weights.double().sum().item(), flush=True)
    dist.destroy_process_group()
"""
# Once, in the second epoch: the first worker stops the run as Slurm would, and waits to be ended itself.
INTERRUPT = """    def interrupt(trainer, once={once!r}, run={run}):
        import os, pathlib, signal, time
        pathlib.Path(once + str(RANK)).write_text(str(os.getpid()))
        if trainer.epoch == 1 and RANK == 0 and not os.path.exists(once):
            pathlib.Path(once).touch()
            os.kill(run, signal.SIGTERM)
            time.sleep(120)
    trainer.add_callback("on_train_epoch_start", interrupt)
"""


def as_two(file, before_training=""):
    """Make the launcher's file train in two processes on the CPU."""
    with open(file, encoding="utf-8") as opened:
        lines = opened.read().replace("import sys\n", "import sys, torch\n", 1)
    lines = lines.replace("    state = torch_load", ON_CPU + "    state = torch_load")
    lines = lines.replace("    trainer.train()", AS_TWO + before_training + "    trainer.train()") + TELL
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(lines)


@pytest.fixture
def two_devices(monkeypatch):
    """Let runs of this process train in two; what is given is done by both before they train."""

    def prepared(before_training=""):
        def generate(trainer):
            file = generate_ddp_file(trainer)
            as_two(file, before_training)
            return file

        monkeypatch.setattr(BaseTrainer, "ddp", property(lambda self: True, lambda self, value: None), raising=False)
        monkeypatch.setattr(
            BaseTrainer, "world_size", property(lambda self: 2, lambda self, value: None), raising=False
        )
        monkeypatch.setattr(dist, "generate_ddp_file", generate)

    return prepared


@pytest.fixture
def plan_in(tiny):
    """A run of three epochs in a folder."""
    return lambda folder: check(tiny("placement=p3", "trainer.epochs=3", f"output_dir={folder}"))


def epochs(plan):
    return completed(read_journal(plan.folder / "journal.jsonl"))


@pytest.fixture
def trainer(tiny, tmp_path):
    """A trainer as the runner configures it, in a run's folder that has a record, a configuration and a journal."""

    def build(*overrides, cls=GraftTrainer, **settings):
        plan = check(tiny("placement=p3", *overrides))
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        for name in ("record.json", "config.yaml"):
            (folder / name).touch()
        arguments = {**plan.arguments, "save_dir": str(folder / "train")}
        settings = {"journal": folder / "journal.jsonl", "state_file": folder / "state.pt", **settings}
        return cls.configured(plan.grafts, **settings)(overrides=arguments)

    return build


def start(command, folder):
    """In another folder, without a way to our package but the one that the launcher gives."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def journal(folder):
    return [json.loads(line) for line in (folder / "run" / "journal.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_fresh_process_trains_what_the_launcher_hands_it(trainer, tmp_path):
    training = trainer(graft_options=GraftOptimizerConfig(lr_factor=0.5), steps=3)
    file = generate_ddp_file(training)
    start([sys.executable, file], tmp_path)
    ddp_cleanup(training, file)
    entries = {entry["event"]: entry for entry in journal(tmp_path)}
    assert set(entries["epoch"]["scalars"]) == {"p3/rate1", "p3/rate2"}
    assert {group["lr"] for group in entries["optimizer"]["groups"] if group["attention"]} == {0.005}
    model, _ = load_checkpoint(tmp_path / "run" / "train" / "weights" / "best.pt")
    assert list(grafted_attention(model)) == ["p3"]
    assert (tmp_path / "run" / "state.pt").exists()


@pytest.mark.slow
def test_two_processes_train_one_network(trainer, tmp_path):
    training = trainer("trainer.epochs=2")
    file = generate_ddp_file(training)
    as_two(file)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29511"]
    told = [line.split() for line in start([*launcher, file], tmp_path).splitlines() if line.startswith("RANK")]
    ddp_cleanup(training, file)
    assert sorted(line[1] for line in told) == ["0", "1"]
    assert told[0][3] == told[1][3], "both hold the same weights, so gradients were shared"
    assert [entry["epoch"] for entry in journal(tmp_path) if entry["event"] == "epoch"] == [1, 2], "one of them writes"
    model, _ = load_checkpoint(tmp_path / "run" / "train" / "weights" / "best.pt")
    assert list(grafted_attention(model)) == ["p3"]


@pytest.mark.slow
def test_a_run_of_two_processes_is_validated_and_recorded_as_a_whole(two_devices, plan_in, tmp_path):
    two_devices()
    plan = plan_in(tmp_path)
    run(plan, "name: value")
    assert Record.read(plan.folder).status == "finished"
    assert [each.epoch for each in epochs(plan)] == [1, 2, 3]
    assert (plan.folder / "train" / "results.csv").read_text().count("\n") == 4
    kept = read_matches(plan.folder / "matches.npz")
    assert len(kept.images) == 8, "all validation images, where each of the two saw a half"
    assert len(kept.conf) > 0
    names = {path.name for path in plan.folder.iterdir()}
    assert names == {"config.yaml", "journal.jsonl", "matches.npz", "record.json", "resolved.yaml", "train"}
    assert (plan.folder / "config.yaml").read_text() == "name: value"


@pytest.mark.slow
def test_an_interrupted_run_of_two_processes_leaves_none_and_goes_on_exactly(two_devices, plan_in, tmp_path):
    two_devices()
    undisturbed = plan_in(tmp_path / "undisturbed")
    run(undisturbed, "")
    once = str(tmp_path / "interrupted")
    two_devices(INTERRUPT.format(once=once, run=os.getpid()))
    plan = plan_in(tmp_path / "disturbed")
    with pytest.raises(KeyboardInterrupt):
        run(plan, "")
    workers = [int((tmp_path / f"interrupted{rank}").read_text()) for rank in (0, 1)]
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], timeout=30)
    assert alive == []
    assert Record.read(plan.folder).status == "interrupted"
    names = {path.name for path in plan.folder.iterdir()}
    assert {"config.yaml", "journal.jsonl", "record.json", "state.pt", "train", "training.json"} <= names
    (plan.folder / "training.json").unlink()  # as an earlier version left it
    record, _ = run(plan, "")
    assert (record.status, record.attempts) == ("finished", 2)
    assert (record.model.stock_tensors_loaded, record.model.stock_tensors_total) == (0, 708)
    assert [entry.event for entry in read_journal(plan.folder / "journal.jsonl")].count("resume") == 1
    assert epochs(plan) == epochs(undisturbed)
    kept, expected = (read_matches(folder / "matches.npz") for folder in (plan.folder, undisturbed.folder))
    assert np.array_equal(kept.conf, expected.conf)
    assert np.array_equal(kept.boxes, expected.boxes)


class Launching(GraftTrainer):
    """As if several GPUs had been chosen."""

    ddp = property(lambda self: True, lambda self, value: None)


def test_the_launcher_leaves_the_runs_folder_alone(trainer, tmp_path):
    training = trainer(cls=Launching)
    training.note("resume")
    command, file = generate_ddp_command(training)
    ddp_cleanup(training, file)
    assert command[1:3] == ["-m", "torch.distributed.run"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"record.json", "config.yaml", "journal.jsonl"}


def test_the_launcher_leaves_the_checkpoints_of_a_run_that_goes_on(trainer, tmp_path):
    trainer().train()
    training = trainer("trainer.epochs=2", cls=Launching)
    _, file = generate_ddp_command(training)
    ddp_cleanup(training, file)
    assert (tmp_path / "run" / "train" / "weights" / "last.pt").exists()
