"""Hydra made ready for composing the points of studies."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from tests.conftest import CONF, TINY
from tests.voc import write_voc
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


@pytest.fixture
def voc_composer(composer, output_dir, tmp_path):
    """A composer for studies of data in the form of Pascal VOC: a made-up folder takes the place of the images."""
    shared = [option for option in TINY if not option.startswith("data.")]
    there = [f"data.source={write_voc(tmp_path / 'zoo')}", "data.digest=null"]
    compose_point = Composer([*shared, f"output_dir={output_dir}"])
    return lambda overrides: compose_point([*overrides, *there])
