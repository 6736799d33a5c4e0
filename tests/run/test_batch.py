"""Every run of a batch that did not finish is named, and the command fails, whichever launcher ran it."""

import os
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus

from tests.conftest import CONF, TINY
from yolo26_attention.compat.hydra import launch
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.registration import register_configs
from yolo26_attention.run.batch import failed, unfinished


def test_unfinished_runs_are_told_apart_by_what_they_do_not_share():
    shared = ["trainer=debug", "study=s"]
    returns = [
        JobReturn(overrides=[*shared, "seed=0"], status=JobStatus.COMPLETED, _return_value=0.5),
        failed([*shared, "seed=1"], RuntimeError("first line\nCUDA out of memory")),
        JobReturn(overrides=[*shared, "seed=2"]),
    ]
    assert unfinished(returns) == ["seed=1: CUDA out of memory", "seed=2: ended without a message"]


def test_every_failed_run_of_a_sweep_is_named(tmp_path):
    command = [sys.executable, "-m", "src.train", "-m", "attention=acmix", "attention.heads=3,5", *TINY]
    # From a folder that is not this one's, where Hydra has to find the launcher all the same.
    result = subprocess.run(
        [*command, f"output_dir={tmp_path}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CONF.parent)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "2 of 2 runs did not finish" in result.stdout
    for heads in (3, 5):
        assert f"attention.heads={heads}: yolo26_attention.config.errors.ConfigError" in result.stdout


@pytest.mark.parametrize(
    ("overrides", "gpus"),
    [
        pytest.param((), ["#SBATCH --gpus-per-node=1"], id="one-gpu-a-run"),
        pytest.param(("hydra.launcher.gpus_per_node=null",), [], id="no-gpu"),
    ],
)
def test_slurm_launcher_composes_into_a_batch_script(overrides, gpus, tmp_path):
    pytest.importorskip("submitit")
    from submitit.slurm.slurm import _make_sbatch_string

    register_configs()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        options = ["hydra/launcher=slurm", f"output_dir={tmp_path}", "hydra.job.name=train", *overrides]
        config = compose("config", options, return_hydra_config=True)
    launcher = Plugins.instance()._instantiate(config.hydra.launcher)
    kept = {"gpus_per_node", "cpus_per_task", "signal_delay_s", "additional_parameters", "nodes"}
    script = _make_sbatch_string(
        "run", tmp_path, time=launcher.params["timeout_min"], **{key: launcher.params[key] for key in kept}
    )
    assert {"#SBATCH --requeue", "#SBATCH --signal=USR2@120", "#SBATCH --time=1440"} <= set(script.splitlines())
    assert [line for line in script.splitlines() if "gpus" in line] == gpus


@pytest.mark.parametrize(
    ("overrides", "gpus"),
    [
        pytest.param([], 1, id="one-gpu"),
        pytest.param(["hydra.launcher.ray.remote.num_gpus=0.25"], 0.25, id="four-runs-on-a-gpu"),
        pytest.param(["hydra.launcher.ray.remote.num_gpus=0"], 0, id="cpus"),
    ],
)
def test_ray_launcher_composes(overrides, gpus):
    register_configs()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", ["hydra/launcher=ray", *overrides], return_hydra_config=True)
    assert config.hydra.launcher.ray.remote.num_gpus == gpus
    assert config.hydra.launcher.ray.init == {"address": None, "object_store_memory": None}


def test_an_address_without_a_ray_cluster_is_refused(monkeypatch, tmp_path):
    ray = pytest.importorskip("ray")

    def nobody(**options):
        raise ConnectionError(f"nobody at {options['address']}")

    monkeypatch.setattr(ray, "init", nobody)
    register_configs()
    GlobalHydra.instance().clear()
    options = ["hydra/launcher=ray", "hydra.launcher.ray.init.address=there:1", f"output_dir={tmp_path}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [*options, "hydra.mode=MULTIRUN", "hydra.job.name=train"], return_hydra_config=True)
        with pytest.raises(ConfigError, match=r"address=there:1: there is no Ray cluster \(nobody at there:1\)"):
            launch(print, config, [["seed=0"]])
