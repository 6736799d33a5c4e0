"""hydra/launcher=local: several runs at a time on this machine, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus

from tests.conftest import CONF, TINY, beside
from tests.tasks import dying, stubborn, told
from yolo26_attention.compat.hydra import launch
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.registration import register_configs

ROOT = CONF.parent
EPOCHS = ("trainer.epochs=4", "data.train_images=64", "trainer.fraction=1.0", "trainer.threads=1")


@pytest.fixture
def local(tmp_path):
    """Launch a task for some seeds, and read what the runs told."""

    def launched(task, seeds, *options, at_once=1):
        (tmp_path / "at_once").write_text(str(at_once))
        register_configs()
        GlobalHydra.instance().clear()
        shared = [*TINY, f"output_dir={tmp_path}", *(option for option in options if "hydra" not in option)]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            base = [
                "hydra/launcher=local",
                "hydra.mode=MULTIRUN",
                "hydra.job.name=train",
                f"output_dir={tmp_path}",
                *TINY,
                *options,
            ]
            config = compose("config", base, return_hydra_config=True)
            returns = launch(task, config, [[*shared, f"seed={seed}"] for seed in seeds])
        lines = (tmp_path / "told").read_text().splitlines() if (tmp_path / "told").exists() else []
        return returns, list(map(json.loads, lines))

    return launched


def test_each_run_has_a_process_and_one_of_the_gpus_and_the_next_one_comes_when_one_ends(local, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    returns, lines = local(told, range(5), at_once=2)
    assert [job._return_value for job in returns] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert {job.status for job in returns} == {JobStatus.COMPLETED}
    assert len({line["pid"] for line in lines} | {os.getpid()}) == 6
    assert {line["gpu"] for line in lines} == {"3", "GPU-5"}
    assert max(line["most"] for line in lines) == 2
    assert {line["most_on_gpu"] for line in lines} == {1}


def test_a_gpu_takes_several_runs_if_asked(local, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    _, lines = local(told, range(4), "hydra.launcher.jobs_per_gpu=2", at_once=2)
    assert [line["gpu"] for line in lines] == ["1"] * 4
    assert max(line["most_on_gpu"] for line in lines) == 2


@pytest.mark.parametrize(("threads", "at_once"), [("1", 4), ("2", 2), ("8", 1), ("null", 1)])
def test_without_gpus_each_run_has_its_share_of_the_cores(threads, at_once, local, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    _, lines = local(told, range(at_once + 1), f"trainer.threads={threads}", at_once=at_once)
    assert max(line["most"] for line in lines) == at_once


def test_a_run_on_the_cpu_takes_no_gpu(local, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    _, lines = local(told, [0], "trainer.device=cpu", "trainer.threads=1")
    assert [line["gpu"] for line in lines] == ["0,1"]


def test_a_dead_process_hands_its_run_to_another_one_twice_and_then_the_run_has_failed(local, capfd):
    returns, _ = local(dying, [2, 0, 3], "trainer.threads=1")
    assert [job.status for job in returns] == [JobStatus.COMPLETED, JobStatus.COMPLETED, JobStatus.FAILED]
    assert [job._return_value for job in returns[:2]] == [2.0, 0.0]
    assert "its process ended with exit code -9 at attempt 3 of 3; see " in str(returns[2]._return_value)
    output = capfd.readouterr().out
    assert output.count("; another one resumes the run") == 4
    assert "1 of 3 runs did not finish" in output


def test_an_error_that_cannot_be_pickled_is_told_in_words(local):
    (job,), _ = local(stubborn, [0])
    assert job.status == JobStatus.FAILED
    assert str(job._return_value).endswith("this and that")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "trainer.device='1'",
            "trainer.device=1: with hydra/launcher=local each run sees one GPU; .*CUDA_VISIBLE_DEVICES=1",
        ),
        ("trainer.device='0,1'", "trainer.device=0,1: with hydra/launcher=local each run sees one GPU"),
        ("hydra.launcher.jobs_per_gpu=0", "hydra.launcher.jobs_per_gpu=0: give a whole number from 1 on"),
        ("hydra.launcher.jobs_per_gpu=half", "hydra.launcher.jobs_per_gpu=half: give a whole number from 1 on"),
        ("hydra.launcher.max_retries=-1", "hydra.launcher.max_retries=-1: give a whole number from 0 on"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_runs(option, message, local):
    with pytest.raises(ConfigError, match=message):
        local(told, [0], option)


def start(folder, *arguments, program=("src.train", "-m")):
    command = [sys.executable, "-m", *program, "hydra/launcher=local", *arguments, *beside(arguments)]
    return subprocess.Popen(
        [*command, f"output_dir={folder}"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def records(folder):
    return [json.loads(path.read_text()) for path in folder.glob("runs/*/record.json")]


def trained_an_epoch(folder, process, runs):
    """Wait until so many runs have something to resume from."""
    end = time.monotonic() + 300
    while len(list(folder.glob("runs/*/state.pt"))) < runs:
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < end
        time.sleep(0.1)


def workers_of(process):
    return [child for child in psutil.Process(process.pid).children() if "worker" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_a_study_survives_a_killed_worker_and_ctrl_c_and_says_how_far_it_is(tmp_path):
    study = tmp_path / "two.yaml"
    variants = "{baseline: {attention: baseline}, se: {attention: se, placement: p5}}"
    study.write_text(f"question: Does it survive?\nseeds: [0]\nvariants: {variants}\n")
    process = start(tmp_path, *EPOCHS, program=("src.sweep", str(study)))
    trained_an_epoch(tmp_path, process, 2)
    assert len(workers_of(process)) == 2
    workers_of(process)[0].kill()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=90)[0]
    assert process.returncode == 130, output
    assert "process ended with exit code -9; another one resumes the run" in output
    assert "keeps its completed epochs" in output
    assert {record["status"] for record in records(tmp_path)} <= {"interrupted", "running"}

    process = start(tmp_path, *EPOCHS, program=("src.sweep", str(study)))
    output = process.communicate(timeout=580)[0]
    assert process.returncode == 0, output
    assert [record["status"] for record in records(tmp_path)] == ["finished"] * 2
    assert min(record["attempts"] for record in records(tmp_path)) == 2
    assert {event["event"] for record in records(tmp_path) for event in record["events"]} == {"resume"}
    assert "study two: 2 runs: 2 finished; best so far " in output


@pytest.mark.slow
def test_runs_end_with_a_launcher_that_is_killed(tmp_path):
    process = start(tmp_path, "attention=baseline", "seed=0,1", *EPOCHS)
    trained_an_epoch(tmp_path, process, 2)
    workers = workers_of(process)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    assert [record["status"] for record in records(tmp_path)] == ["interrupted"] * 2


@pytest.mark.slow
def test_a_run_whose_processes_die_is_recorded_as_failed(tmp_path):
    process = start(tmp_path, "attention=baseline", "seed=0,1", *EPOCHS, "hydra.launcher.max_retries=0")
    trained_an_epoch(tmp_path, process, 2)
    workers_of(process)[0].kill()
    output = process.communicate(timeout=580)[0]
    assert process.returncode == 1, output
    assert sorted(record["status"] for record in records(tmp_path)) == ["failed", "finished"]
    (failed,) = (record for record in records(tmp_path) if record["status"] == "failed")
    assert failed["error"].startswith("its process ended with exit code -9")
