"""A study as a W&B sweep: valid by W&B's schema, and what its agent puts on the command line is the study's point."""

import dataclasses

import pytest
from sweeps.config import schema_violations_from_proposed_config
from wandb import wandb_agent

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.study.definition import load_study, study_names
from yolo26_attention.study.plan import Composer
from yolo26_attention.study.points import point_options, register_points
from yolo26_attention.study.wandb_sweep import sweep_definition


@pytest.fixture
def agent_command(monkeypatch, tmp_path):
    """The command that W&B's agent starts for one set of values of a sweep, by the agent's own code."""
    started = []
    monkeypatch.setattr(wandb_agent, "AgentProcess", lambda command, **_: started.append(command) or Process())
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"):
        monkeypatch.setenv(name, "")  # the agent sets them

    def command(definition, values):
        agent = wandb_agent.Agent.__new__(wandb_agent.Agent)
        agent._in_jupyter, agent._function, agent._forward_signals, agent._run_processes = False, None, False, {}
        agent._sweep_command = list(definition["command"])
        arguments = {key: {"value": value} for key, value in values.items()}
        agent._command_run({"run_id": "1", "program": definition["program"], "args": arguments})
        return started[-1]

    return command


class Process:
    last_sigterm_time = None


# Those that stop when they are decided are refused as sweeps.
SWEPT = [name for name in study_names() if not load_study(name).declared.stop]


@pytest.mark.parametrize("name", SWEPT)
@pytest.mark.usefixtures("composer")
def test_every_point_of_every_study_as_its_agent_starts_it(name, agent_command):
    study = load_study(name)
    definition = sweep_definition(study, name, ["trainer.epochs=9"])
    assert schema_violations_from_proposed_config(definition) == []
    assert definition["parameters"]["seed"]["values"] == list(study.declared.seeds)
    commands = [agent_command(definition, {"point": o, "seed": 4}) for o in definition["parameters"]["point"]["values"]]
    assert {tuple(command[:4]) for command in commands} == {("/usr/bin/env", "python", "-m", "src.train")}
    register_points(commands[0])
    composer = Composer([])  # of its own: a tiny run's settings would stand above those of a point
    by_hand = [
        [*point.overrides, f"study={name}", "tracking=online"]
        for point in study.with_seeds((4,)).points(["trainer.epochs=9"])
    ]
    assert [composer(command[4:]) for command in commands] == [composer(overrides) for overrides in by_hand]


def test_the_schema_refuses_what_is_wrong():
    definition = sweep_definition(load_study("heads"), "heads", [])
    assert schema_violations_from_proposed_config({**definition, "method": "gird"})


def test_options_are_told_apart():
    options = point_options(load_study("placement"))
    assert len(set(options)) == len(options)
    assert options[:2] == ["placement/baseline", "placement/append-placement-p3"]


def test_an_option_that_the_baseline_lacks():
    with pytest.raises(ConfigError, match=r"attention.heads=8: the baseline has no such option"):
        sweep_definition(load_study("kernel_att"), "k", ["attention.heads=8"])


def test_a_point_of_no_study():
    with pytest.raises(ConfigError, match="there is no study nosuch"):
        register_points(["point=nosuch/baseline"])


def test_points_compose_together_with_options_of_ones_own(composer):
    register_points(["point=kernel_att/acmix-kernel_att-3"])
    config = composer(["point=kernel_att/acmix-kernel_att-3", "attention.heads=8", "placement=p3"])
    assert (config.attention["kernel_att"], config.attention["heads"]) == (3, 8)
    assert config.placement.sites == ["p3"]


def test_a_study_whose_runs_depend_on_its_results_is_none_for_agents():
    study = load_study("heads")
    stopping = dataclasses.replace(study, declared=dataclasses.replace(study.declared, looks=(2, 3), stop=True))
    with pytest.raises(ConfigError, match=r"agents train every point .* start heads with python -m src.sweep"):
        sweep_definition(stopping, "h", [])
