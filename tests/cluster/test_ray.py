"""Studies on a Ray cluster of two nodes on this machine (make test-cluster)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import psutil
import pytest

from tests.cluster.processes import ROOT, end_all, environment, processes_of, wait_for
from tests.conftest import beside

pytestmark = pytest.mark.cluster
EPOCHS = ("trainer.epochs=4", "data.train_images=64", "trainer.fraction=1.0")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes of one CPU each; afterwards not one process of theirs is left, however the tests ended."""
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("ray")
    before = dict(os.environ)
    short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the path of a socket has 107 bytes at most
    os.environ.update(environment(folder, RAY_AUTH_MODE="disabled", RAY_TMPDIR=short))
    try:
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.add_node(num_cpus=1)
        yield nodes, dict(os.environ), folder
        nodes.shutdown()
    finally:
        os.environ.clear()
        os.environ.update(before)
        wait_for(lambda: not processes_of(folder), "Ray's processes end", 30)
        left = end_all(folder)
        shutil.rmtree(short, ignore_errors=True)
    assert left == []


def start(cluster, output_dir, *arguments, program=("src.train", "-m")):
    nodes, variables, _ = cluster
    small = beside(arguments)
    command = [sys.executable, "-m", *program, "hydra/launcher=ray", *arguments, *small]
    command += [f"hydra.launcher.ray.init.address={nodes.address}", "hydra.launcher.ray.remote.num_gpus=0"]
    return subprocess.Popen(
        [*command, f"output_dir={output_dir}"],
        cwd=ROOT,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def records(output_dir):
    return [json.loads(path.read_text()) for path in output_dir.glob("runs/*/record.json")]


def test_a_killed_worker_costs_an_epoch_at_most(cluster, tmp_path):
    process = start(cluster, tmp_path, "attention=baseline,se", "placement=p5", "seed=0,1", *EPOCHS)

    def first_epoch():
        assert process.poll() is None, process.stdout.read()[-3000:]
        return [path.parent for path in tmp_path.glob("runs/*/state.pt")]

    wait_for(first_epoch, "a run saves its first epoch", 300)
    victim = first_epoch()[0]
    holders = [
        other
        for other in psutil.process_iter()
        if any(victim.name in held.path for held in _files(other)) and other.pid != process.pid
    ]
    assert len(holders) == 1, "one process holds the lock of a run"
    holders[0].send_signal(signal.SIGKILL)
    output = process.communicate(timeout=580)[0]
    assert process.returncode == 0, output[-3000:]
    found = records(tmp_path)
    assert [record["status"] for record in found] == ["finished"] * 4
    assert sorted(record["attempts"] for record in found) == [1, 1, 1, 2]
    (again,) = (record for record in found if record["attempts"] == 2)
    assert again["name"] == victim.name
    assert [event["event"] for event in again["events"]] == ["resume"]


def test_a_failing_run_does_not_look_successful(cluster, tmp_path):
    process = start(cluster, tmp_path, "attention=acmix", "placement=p5", "attention.heads=5,4")
    output = process.communicate(timeout=580)[0]
    assert process.returncode == 1
    assert "1 of 2 runs did not finish" in output
    assert "attention.heads=5" in output
    assert [record["status"] for record in records(tmp_path)] == ["finished"]


def test_ctrl_c_ends_the_runs_of_a_study_and_the_same_command_continues(cluster, tmp_path):
    study = tmp_path / "two.yaml"
    variants = "{baseline: {attention: baseline}, se: {attention: se, placement: p5}}"
    study.write_text(f"question: Does it survive?\nseeds: [0]\nvariants: {variants}\n")
    process = start(cluster, tmp_path, *EPOCHS, program=("src.sweep", str(study)))
    wait_for(lambda: len(list(tmp_path.glob("runs/*/state.pt"))) == 2, "two runs save their first epoch", 300)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130, output[-3000:]
    assert [record["status"] for record in records(tmp_path)] == ["interrupted"] * 2

    process = start(cluster, tmp_path, *EPOCHS, program=("src.sweep", str(study)))
    output = process.communicate(timeout=580)[0]
    assert process.returncode == 0, output[-3000:]
    assert [(record["status"], record["attempts"]) for record in records(tmp_path)] == [("finished", 2)] * 2


def _files(process):
    try:
        return process.open_files()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
