"""The configuration composes as documented, and refuses what it does not know."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from ultralytics.utils import DEFAULT_CFG_DICT

from yolo26_attention.config.command_line import check_command_line
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.registration import added_keys
from yolo26_attention.config.schema import (
    DigitsConfig,
    ModelConfig,
    PlacementConfig,
    TrackingMode,
    TrainerConfig,
)

ROOT = Path(__file__).parents[2]
OPTIONS = [
    pytest.param(f"{path.parent.name}={path.stem}", id=f"{path.parent.name}={path.stem}")
    for path in sorted((ROOT / "conf").glob("*/*.yaml"))
]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes(option, composed):
    group = option.split("=")[0]
    assert getattr(composed(option), group)


def test_defaults_are_the_main_job(composed):
    config = composed()
    assert config.attention["name"] == "acmix"
    assert config.attention["heads"] == 4
    assert config.placement == PlacementConfig(["neck"])
    assert config.model == ModelConfig("yolo26n")
    assert config.tracking.mode == TrackingMode.offline


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("attention.head=4", "Key 'head' not in 'ACmixConfig'", id="misspelt-key"),
        pytest.param("attention.heads=four", "could not be converted to Integer", id="wrong-type"),
        pytest.param("attention.paths=none", r"expected one of \[both, attention, convolution\]", id="unknown-choice"),
        pytest.param("attention=cbma", "Could not find 'attention/cbma'", id="unknown-option"),
        pytest.param("placement=p9", "Could not find 'placement/p9'", id="unknown-placement"),
        pytest.param("placement.mode=prepend", r"expected one of \[append, replace, bottleneck\]", id="mode"),
        pytest.param("placement.gate=one", r"expected one of \[none, zero\]", id="gate"),
        pytest.param("model=yolo26q", "Could not find 'model/yolo26q'", id="unknown-model"),
        pytest.param("optimizer=adam2", "Could not find 'optimizer/adam2'", id="unknown-optimizer"),
        pytest.param("data=cocoo", "Could not find 'data/cocoo'", id="unknown-data"),
        pytest.param("trainer.epoch=3", "Key 'epoch' not in 'TrainerConfig'", id="misspelt-trainer-key"),
        pytest.param("tracking.mode=maybe", r"expected one of \[offline, online, disabled\]", id="unknown-mode"),
        pytest.param("seeds=1", "Could not override 'seeds'", id="misspelt-root-key"),
    ],
)
def test_mistakes_fail_when_composed(override, message, composed):
    with pytest.raises(HydraException) as caught:
        composed(override)
    assert re.search(message, f"{caught.value} {caught.value.__cause__}")


def test_added_keys_are_found(compose_config):
    config = compose_config("+attention.extra=4", "+trainer.epoch=1", "+speed=1")
    assert added_keys(config) == ["speed", "attention.extra", "trainer.epoch"]


def test_auto_has_no_learning_rate_to_set(composed):
    with pytest.raises(HydraException) as caught:
        composed("optimizer=auto", "optimizer.lr0=0.1")
    assert "Key 'lr0' not in 'OptimizerConfig'" in str(caught.value.__cause__)


def test_defaults_of_trainer_are_those_of_ultralytics():
    different = {
        name
        for name, field in TrainerConfig.__dataclass_fields__.items()
        if name not in {"threads", "steps", "select", "epochs"} and field.default != DEFAULT_CFG_DICT[name]
    }
    assert different == set()


def test_digits_options_have_the_defaults_of_the_generator(composed):
    assert composed().data == DigitsConfig(train_images=512, val_images=128, imgsz=160, seed=0, yaml=None)


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["--cfg", "job"], id="cfg"),
        pytest.param(["--shell-completion", "install=bash"], id="completion"),
    ],
)
def test_showing_the_configuration_imports_no_torch(flags):
    program = (
        "import sys, runpy; sys.argv = ['src.train', *sys.argv[1:]]\n"
        "try: runpy.run_module('src.train', run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "loaded = {'torch', 'ultralytics', 'wandb', 'jaxtyping'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    result = subprocess.run([sys.executable, "-c", program, *flags], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_a_training_starts_without_the_statistics_of_scipy():
    """They are needed behind the training, and took half a second before the first batch."""
    program = (
        "import sys, yolo26_attention.plan.checks, yolo26_attention.run.runner; assert 'scipy.stats' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_listing_a_group_copies_no_schema(composed, monkeypatch):
    """`--help` lists every group, and the copies took more than a second."""
    composed()
    copied = []
    monkeypatch.setattr(DictConfig, "__deepcopy__", lambda self, memo: copied.append(self))
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert "quick" in GlobalHydra.instance().config_loader().get_group_options("trainer")
    assert copied == []


def test_help_names_every_group_and_option():
    result = subprocess.run(
        [sys.executable, "-m", "src.train", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    missing = [path for path in sorted((ROOT / "conf").glob("*/*.yaml")) if path.stem not in result.stdout]
    assert missing == []


@pytest.mark.parametrize(
    "argument",
    [
        "seed=range(0,5)",
        "attention=acmix,baseline",
        "output_dir='/tmp/a=b'",
        'output_dir="/tmp/实验"',
        "placement.sites=[p3,c2psa]",
        "placebo.options={kernel_att: 5}",
        "output_dir=${oc.env:PLACE}/a=b",
        "output_dir=/tmp/my runs",
        "-m",
        "--cfg=job",
    ],
)
def test_what_hydra_understands_needs_no_quotes(argument):
    check_command_line([argument])


@pytest.mark.parametrize("value", ["/tmp/a=b", "/tmp/实验", "/tmp/x(1).yaml"])
def test_what_hydra_stumbles_over_is_named_with_its_quotes(value):
    with pytest.raises(ConfigError, match=re.escape(f"\"data.yaml='{value}'\"")):
        check_command_line([f"data.yaml={value}"])
