"""Hydra made ready for composing the points of studies."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from tests.conftest import CONF, TINY
from yolo26_attention.config.registration import register_configs
from yolo26_attention.study.plan import Composer


@pytest.fixture
def composer(output_dir):
    """A composer with the settings of a tiny run, and Hydra ready for it."""
    register_configs()
    GlobalHydra.instance().clear()
    shared = [*TINY, f"output_dir={output_dir}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        HydraConfig.instance().set_config(compose("config", shared, return_hydra_config=True))
        yield Composer(shared)
