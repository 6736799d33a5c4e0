"""The private parts of Hydra do what the library uses them for."""

import copy

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus
from hydra.errors import HydraException

from tests.conftest import CONF, TINY
from yolo26_attention.compat.hydra import BasicLauncher, apply_overrides, launch, share_schemas
from yolo26_attention.config.registration import register_configs


@pytest.fixture
def composed():
    register_configs()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda *overrides: compose("config", [*TINY, *overrides], return_hydra_config=True)


def test_the_store_of_schemas_is_shared():
    share_schemas()
    store = ConfigStore.instance()
    assert copy.deepcopy(store) is store


def test_overrides_change_a_composed_configuration_as_the_command_line_does(composed):
    config, given = composed(), composed("seed=7", "trainer.epochs=3")
    apply_overrides(config, ["seed=7", "trainer.epochs=3"])
    assert config.seed == given.seed == 7
    assert config.trainer == given.trainer


def test_overrides_that_do_not_fit_are_refused(composed):
    with pytest.raises(HydraException, match=r"trainer\.nothing"):
        apply_overrides(composed(), ["trainer.nothing=3"])


def test_a_batch_is_launched_in_turn(composed, tmp_path):
    config = composed(f"hydra.sweep.dir={tmp_path}", f"hydra.run.dir={tmp_path}")
    seen = []
    returns = launch(lambda job: seen.append(job.seed), config, [[*TINY, "seed=3"], [*TINY, "seed=4"]])
    assert seen == [3, 4]
    assert [job.status for job in returns] == [JobStatus.COMPLETED] * 2


def test_our_launcher_is_one_of_hydras():
    from hydra_plugins.study_launchers.in_turn import InTurnLauncher

    assert issubclass(InTurnLauncher, BasicLauncher)
