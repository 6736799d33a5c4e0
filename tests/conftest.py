"""Shared fixtures: composed configurations, and runs small enough for the default suite."""

import atexit
import getpass
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

# Processes that a test kills leave W&B's temporary folders behind, and W&B copies reports that are logged offline into
# the user's home: all of it lies in one folder, which is removed at the end. pytest's own folders and the kernels that
# PyTorch compiled stay where they are.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor_{getpass.getuser()}")
SCRATCH = Path(tempfile.mkdtemp(prefix="yolo26-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
os.environ["TMPDIR"] = tempfile.tempdir = str(SCRATCH)
# Importing ultralytics writes a settings file: not the user's own, nor that of the test process beside this one, and
# before anything here imports it.
os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp(prefix="yolo-config-")
# What this machine says to W&B is no part of a test.
for name in [name for name in os.environ if name.startswith("WANDB_")]:
    del os.environ[name]
for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
    os.environ[name] = str(SCRATCH)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the test process beside this one needs a core, too

from tests.annotations import check_annotations

# Before anything here imports the library, too.
check_annotations()

import jaxtyping
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from yolo26_attention.config.registration import register_configs, run_config
from yolo26_attention.config.run_config import RunConfig

CONF = Path(__file__).parent.parent / "conf"
# One epoch on 16 images of 64 px: about a second of training.
TINY = (
    "trainer=debug",
    "data.train_images=16",
    "data.val_images=8",
    "data.imgsz=64",
    "trainer.plots=false",
    "tracking=disabled",
    "latency=disabled",
)


def beside(overrides: Iterable[str], *, base: Iterable[str] = TINY) -> list[str]:
    """What of a small run's options goes beside overrides, each of which takes the place of the same key's."""
    keys = {override.split("=")[0] for override in overrides}
    return [option for option in base if option.split("=")[0] not in keys]


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library as users run it: annotations are not checked, and its own errors answer to what does not fit."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(autouse=True)
def own_wandb_service():
    """No process that a test starts uses the W&B service of this one, where a killed one leaves its run open."""
    yield
    os.environ.pop("WANDB_SERVICE", None)


@pytest.fixture(scope="session")
def output_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One output folder for the session, so that the embedded data set is made once."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="session")
def compose_config(output_dir: Path) -> Callable[..., DictConfig]:
    """Compose a configuration from overrides."""

    def composed(*overrides: str) -> DictConfig:
        register_configs()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", [f"output_dir={output_dir}", *overrides])

    return composed


@pytest.fixture(scope="session")
def composed(compose_config: Callable[..., DictConfig]) -> Callable[..., RunConfig]:
    """Compose the configuration of a run from overrides."""
    return lambda *overrides: run_config(compose_config(*overrides))


@pytest.fixture(scope="session")
def tiny(composed: Callable[..., RunConfig]) -> Callable[..., RunConfig]:
    """Like `composed`, for a run of about a second."""
    return lambda *overrides: composed(*TINY, *overrides)
