"""The typed configuration of a run has the values of the composed one, and keeps the form of records."""

import json
from dataclasses import replace

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue

from yolo26_attention.config.registration import run_config
from yolo26_attention.config.run_config import OwnPlaceboConfig, RunConfig, typed_group
from yolo26_attention.config.schema import Mode, OptimizerConfig, PublicDataConfig, TrackingConfig, TrackingMode


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["attention=placebo", "placebo.options={kernel_att: 5}", "data=coco8", "optimizer=auto"],
        ["attention=baseline", "trainer.freeze=[1,2]", "tracking=online", "trainer.batch=0.5"],
        ["data=bccd", "data.source=cells"],
        ["placement.mode=replace", "latency.backend=onnxruntime", "seed=3", "objectives=[map50]"],
    ],
)
def test_plain_values_are_those_of_omegaconf_in_the_same_order(overrides, compose_config):
    composed = compose_config(*overrides)
    expected = OmegaConf.to_container(composed, resolve=True, enum_to_str=True)
    config = run_config(composed)
    assert json.dumps(config.plain()) == json.dumps(expected)
    assert RunConfig.from_omegaconf(OmegaConf.create(expected)) == config


def test_groups_are_dataclasses_and_choices_are_members(composed):
    config = composed("optimizer=auto", "data=coco8", "placement.mode=replace")
    assert (type(config.optimizer), type(config.data)) == (OptimizerConfig, PublicDataConfig)
    assert config.placement.mode is Mode.replace


def test_the_source_of_a_placebo_of_a_class_of_ones_own_is_recorded(composed):
    placebo = OwnPlaceboConfig("mine.Mine", {}, source="abc")
    assert replace(composed(), placebo=placebo).plain()["placebo"]["source"] == "abc"
    assert "source" not in composed().plain()["placebo"]


def test_a_group_without_a_schema_gets_the_defaults_of_what_it_lacks(compose_config):
    config = OmegaConf.create(OmegaConf.to_container(compose_config(), enum_to_str=True))
    del config.trainer.workers
    assert run_config(config) == run_config(compose_config())


def test_a_group_without_a_schema_is_checked_by_it(compose_config):
    config = OmegaConf.create(OmegaConf.to_container(compose_config(), enum_to_str=True))
    config.trainer.epoch = 3
    with pytest.raises(ConfigKeyError, match="epoch"):
        RunConfig.from_omegaconf(config)
    with pytest.raises(MissingMandatoryValue):
        RunConfig.from_omegaconf(compose_config("trainer.epochs=???"))


def test_a_recorded_group_is_typed_again():
    assert typed_group({"mode": "online", "tags": ["a"]}, TrackingConfig) == TrackingConfig(
        TrackingMode.online, tags=["a"]
    )
