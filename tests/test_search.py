"""hydra/sweeper=optuna through Hydra and through the command line, killed and continued."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext

from tests.conftest import CONF, TINY
from yolo26_attention.compat.hydra import Callbacks
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.registration import register_configs

ROOT = Path(__file__).parent.parent


@pytest.fixture
def swept(tmp_path):
    """Search with a made-up run, in this process."""

    def search(task, arguments, *options):
        register_configs()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            hydra = ["hydra/sweeper=optuna", "hydra.mode=MULTIRUN", "hydra.job.name=train", *options]
            config = compose("config", [*TINY, f"output_dir={tmp_path}", *hydra], return_hydra_config=True)
            context = HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks(config))
            sweeper = Plugins.instance().instantiate_sweeper(hydra_context=context, task_function=task, config=config)
            sweeper.sweep([*TINY, f"output_dir={tmp_path}", *arguments])

    return search


def trials(folder, name="default", storage="sqlite:///{folder}/optuna.db"):
    return optuna.load_study(study_name=name, storage=storage.format(folder=folder)).trials


def test_trials_reach_the_run_as_options_and_their_results_come_back(swept, tmp_path):
    seen = []

    def task(config):
        seen.append((config.attention.heads, round(config.trainer.mosaic, 3), list(config.objectives)))
        return config.attention.heads / 10, 1.0 + config.trainer.mosaic, 5.0

    options = ["hydra.sweeper.n_trials=6", "hydra.sweeper.at_most={gflops: 6.0}", "hydra.sweeper.n_jobs=4"]
    swept(task, ["attention.heads=choice(2,4)", "trainer.mosaic=interval(0,1)"], *options)
    found = trials(tmp_path)
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 6
    assert [(trial.params["attention.heads"], round(trial.params["trainer.mosaic"], 3)) for trial in found] == [
        (heads, mosaic) for heads, mosaic, _ in seen
    ]
    assert {tuple(names) for _, _, names in seen} == {("map50_95", "latency_ratio", "gflops")}
    assert [trial.values[0] for trial in found] == [heads / 10 for heads, _, _ in seen]
    assert {value for trial in found for value in trial.constraints.values()} == {-1.0}


def test_a_search_that_was_interrupted_runs_the_same_trials_again(swept, tmp_path):
    seen = []

    def task(config):
        seen.append(config.attention.heads)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return 0.5, 1.0

    arguments, options = ["attention.heads=range(1,100)"], ["hydra.sweeper.n_trials=3"]
    with pytest.raises(KeyboardInterrupt):
        swept(task, arguments, *options)
    swept(task, arguments, *options)
    assert seen[2] == seen[1]
    assert [trial.params["attention.heads"] for trial in trials(tmp_path)] == [seen[0], *seen[2:]]


def test_a_failed_run_is_a_failed_trial_and_a_search_without_results_fails(swept, tmp_path):
    def task(config):
        raise RuntimeError("broke")

    with pytest.raises(ConfigError, match="no trial of the search has finished"):
        swept(
            task,
            ["attention.heads=choice(1,2)"],
            "hydra.sweeper.sampler=grid",
            f"hydra.sweeper.storage={tmp_path}/a.journal",
        )
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "a.journal")))
    states = [trial.state.name for trial in optuna.load_study(study_name="default", storage=storage).trials]
    assert states == ["FAIL", "FAIL"]


@pytest.mark.parametrize(
    ("arguments", "option", "message"),
    [
        ((), "hydra.sweeper.n_trials=3", "nothing is searched"),
        (("seed=0,1",), "hydra.sweeper.n_trials=0", r"hydra\.sweeper\.n_trials=0: give a whole number from 1 on"),
        (("seed=0,1",), "hydra.sweeper.n_jobs=two", r"hydra\.sweeper\.n_jobs=two: give a whole number from 1 on"),
        (("seed=0,1",), "hydra.sweeper.seed=-1", r"hydra\.sweeper\.seed=-1: give a whole number from 0 on"),
        (("seed=0,1", "objectives=[map50]"), "hydra.sweeper.n_jobs=1", r"objectives=\[map50\]: a search has hydra"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(arguments, option, message, swept, tmp_path):
    with pytest.raises(ConfigError, match=message):
        swept(lambda config: pytest.fail("ran"), arguments, option)
    assert not (tmp_path / "optuna.db").exists()


@pytest.mark.slow
def test_a_search_over_two_objectives_continues_after_kill_9(tmp_path):
    small = [option for option in TINY if option != "latency=disabled"]
    command = [
        *(sys.executable, "-m", "src.train", "-m", "hydra/sweeper=optuna", "attention=acmix", "study=search"),
        *("attention.heads=choice(1,2,5)", "attention.kernel_att=choice(3,5,7)", "latency.seconds=0.2"),
        *("hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2", "hydra/launcher=local", "trainer.threads=1"),
        *(*small, f"output_dir={tmp_path}"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 300
    while not list(tmp_path.glob("runs/*/record.json")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    begun = trials(tmp_path, "search")
    assert [trial.state.name for trial in begun[-1:]] == ["RUNNING"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = trials(tmp_path, "search")
    assert len(found) == 5
    assert [trial.params for trial in found[: len(begun)]] == [trial.params for trial in begun]
    # heads=5 divides no site's channels: such a trial fails, and the search continues.
    assert {trial.params["attention.heads"] == 5 for trial in found if trial.state.name == "FAIL"} <= {True}
    complete = [trial for trial in found if trial.state.name == "COMPLETE"]
    assert complete
    assert all(trial.values[1] > 0 for trial in complete)
    assert "none is better in every objective than" in done.stdout
