"""Studies on a real Slurm cluster of two nodes on this machine (make test-cluster)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.cluster.processes import ROOT, processes_of, wait_for
from tests.cluster.slurm import PROGRAMS, SlurmCluster
from tests.conftest import beside

pytestmark = pytest.mark.cluster
# Epochs long enough to be hit by a signal.
EPOCHS = ("trainer.epochs=4", "data.train_images=64", "trainer.fraction=1.0")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes; afterwards not one process of the cluster is left, however the tests ended."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(
            "a Slurm cluster of one's own takes root and Debian's packages slurm-wlm, slurmdbd and mariadb-server; "
            f"missing: {', '.join(missing) or 'root'}"
        )
    folder = tmp_path_factory.mktemp("slurm")
    cluster = None
    try:
        cluster = SlurmCluster(folder)
        yield cluster
    finally:
        left = cluster.stop() if cluster else []
        for process in processes_of(folder):  # of a cluster that did not come up
            process.kill()
    assert left == []


def start(cluster, output_dir, *arguments, program=("src.train", "-m")):
    small = beside(arguments)
    command = [sys.executable, "-m", *program, "hydra/launcher=slurm", *arguments, *small]
    command += ["hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1", f"output_dir={output_dir}"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=cluster.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    cluster.commands.append(process)
    return process


def records(output_dir):
    return {
        record["name"]: record
        for record in (json.loads(path.read_text()) for path in output_dir.glob("runs/*/record.json"))
    }


def statuses(output_dir):
    return [record["status"] for record in records(output_dir).values()]


def trained_an_epoch(output_dir):
    """How many runs have something to go on from."""
    return sum(
        (folder / "state.pt").exists() and '"epoch", ' in (folder / "journal.jsonl").read_text()
        for folder in output_dir.glob("runs/*")
    )


def test_preempted_runs_are_requeued_and_continue(cluster, tmp_path):
    study = tmp_path / "four.yaml"
    variants = "{baseline: {attention: baseline}, se: {attention: se, placement: p5}}"
    study.write_text(f"question: Does it survive?\nseeds: [0, 1]\nvariants: {variants}\n")
    program = ("src.sweep", str(study))
    process = start(cluster, tmp_path, *EPOCHS, "hydra.launcher.partition=low", program=program)
    wait_for(lambda: trained_an_epoch(tmp_path) == 2, "two runs have trained an epoch")
    (first, _), (_, node) = cluster.running().items()
    cluster.ask("sbatch", "-p", "high", "-w", node, "-o", "/dev/null", "--wrap=true")  # takes its place
    cluster.signal(first, "USR2")  # what Slurm sends `signal_delay_s` before the time limit
    wait_for(lambda: "interrupted" in statuses(tmp_path), "the record says interrupted, not failed", 30)
    while process.poll() is None:
        cluster.start_requeued()
        time.sleep(1)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "4 runs: 4 finished" in output
    found = records(tmp_path)
    assert [record["status"] for record in found.values()] == ["finished"] * 4
    assert sorted(record["attempts"] for record in found.values()) == [1, 1, 2, 2]
    again = [record for record in found.values() if record["attempts"] == 2]
    assert [[event["event"] for event in record["events"]] for record in again] == [["resume"], ["resume"]]
    states = cluster.ended_states(7, every_attempt=True)
    assert {state: states.count(state) for state in states} == {"REQUEUED": 1, "PREEMPTED": 1, "COMPLETED": 5}


def test_failing_run_does_not_look_successful(cluster, tmp_path):
    before = cluster.states()
    process = start(cluster, tmp_path, "attention=acmix", "attention.heads=4,5")
    output, _ = process.communicate()
    assert process.returncode == 1
    assert "1 of 2 runs did not finish" in output
    assert "attention.heads=5: " in output
    assert "heads=5 does not divide the 64 channels" in output
    assert statuses(tmp_path) == ["finished"]
    assert sorted(cluster.ended_states(len(before) + 2)[len(before) :]) == ["COMPLETED", "FAILED"]


def test_killed_job_hides_no_other_and_the_same_command_completes(cluster, tmp_path):
    overrides = ("attention=baseline", "seed=0,1", *EPOCHS)
    process = start(cluster, tmp_path, *overrides)
    wait_for(lambda: trained_an_epoch(tmp_path) == 2, "two runs have trained an epoch")
    cluster.signal(next(iter(cluster.running())), signal.SIGKILL.name)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert "1 of 2 runs did not finish" in output
    assert "without a result" in output
    assert sorted(statuses(tmp_path)) == ["finished", "running"]

    process = start(cluster, tmp_path, *overrides)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert set(statuses(tmp_path)) == {"finished"}
    assert sorted(record["attempts"] for record in records(tmp_path).values()) == [1, 2]
