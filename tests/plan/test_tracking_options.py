"""What W&B would refuse is refused before training, and its environment variables are followed or answered."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import TINY
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import TrackingConfig, TrackingMode
from yolo26_attention.plan.checks import check
from yolo26_attention.plan.tracking_options import check_tracking, follow_environment
from yolo26_attention.run.wandb_run import open_tracker

ROOT = Path(__file__).parents[2]
DEFAULT = TrackingConfig()
LONG = "a_data_set_with_a_name_that_says_everything_about_it_and_then_some_more_v2"


def with_values(mode="offline", **changes):
    return replace(DEFAULT, mode=TrackingMode(mode), **changes)


def refused(tmp_path, study="s", **changes):
    with pytest.raises(ConfigError) as caught:
        check_tracking(with_values(**changes), study, tmp_path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "study", "said"),
    [
        ({"tags": ["x" * 65]}, "s", f"tracking.tags: '{'x' * 65}' has 65 characters"),
        ({"tags": ["fine", ""]}, "s", "tracking.tags: '' has 0 characters"),
        ({"project": "p" * 129}, "s", "has 129 characters, but Weights & Biases takes names of 1 to 128"),
        ({"project": " "}, "s", "tracking.project=  has 1 characters"),
        ({"project": "a/b"}, "s", "tracking.project=a/b: Weights & Biases refuses its settings"),
        ({"project": "100%"}, "s", "cannot contain characters"),
        ({"entity": "https://wandb.ai/me"}, "s", "tracking.entity=https://wandb.ai/me is not a user or team name"),
        ({"entity": ""}, "s", "tracking.entity= is not a user"),
        ({}, "s" * 129, f"study={'s' * 129} has 129 characters"),
    ],
)
def test_what_wandb_refuses_is_refused_by_key_and_value(changes, study, said, tmp_path):
    assert said in refused(tmp_path, study, **changes)


def test_at_the_limits_nothing_is_refused(tmp_path):
    check_tracking(with_values(tags=["x" * 64], project="p" * 128, entity="my-team_1"), "s" * 128, tmp_path)


def test_disabled_asks_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    check_tracking(with_values(mode="disabled", tags=["x" * 65]), "", tmp_path)


def test_a_wandb_that_cannot_be_imported_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert "needs wandb, which cannot be imported" in refused(tmp_path)


def test_a_folder_named_wandb_is_no_wandb(tmp_path, monkeypatch):
    folder = ModuleType("wandb")
    folder.__path__ = ["/somewhere/wandb"]
    monkeypatch.setitem(sys.modules, "wandb", folder)
    assert "but ['/somewhere/wandb'] is another" in refused(tmp_path)


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.symlink_to("nowhere")])
def test_a_wandb_folder_that_is_none_is_refused(make, tmp_path):
    make(tmp_path / "wandb")
    assert "its wandb is not a writable folder" in refused(tmp_path)


@pytest.mark.parametrize(
    ("netrc", "key", "said"),
    [
        ("", None, "there is none in WANDB_API_KEY or ~/.netrc"),
        ("", "short", "API key must have 40+ characters"),
        ("machine {host} login user password short\n", None, "API key must have 40+ characters"),
        ("", "0" * 40, None),
        ("machine {host} login user password " + "0" * 40 + "\n", None, None),
    ],
)
def test_online_without_a_usable_key_is_refused_and_nobody_is_asked(netrc, key, said, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text(netrc.format(host="wandb.example.org"))
    if key is not None:
        monkeypatch.setenv("WANDB_API_KEY", key)
    if said is None:
        check_tracking(with_values(mode="online"), "s", tmp_path)
    else:
        text = refused(tmp_path, mode="online")
        assert text.startswith("tracking.mode=online needs an API key for https://wandb.example.org")
        assert said in text
        assert text.endswith("tracking=offline")


def test_an_address_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "wandb")
    assert "Weights & Biases refuses its settings" in refused(tmp_path)


@pytest.mark.parametrize(
    ("environment", "changes", "given", "expected"),
    [
        ({"WANDB_MODE": "disabled"}, {}, [], {"mode": "disabled"}),
        ({"WANDB_DISABLED": "true"}, {}, ["seed=1"], {"mode": "disabled"}),
        ({"WANDB_DISABLED": "false"}, {}, [], {}),
        ({"WANDB_DISABLED": "1", "WANDB_MODE": "online"}, {}, [], {"mode": "disabled"}),
        ({"WANDB_MODE": "online"}, {}, [], {"mode": "online"}),
        ({"WANDB_MODE": "dryrun"}, {}, [], {}),
        ({"WANDB_PROJECT": "mine", "WANDB_ENTITY": "me"}, {}, [], {"project": "mine", "entity": "me"}),
        ({"WANDB_TAGS": "a,b"}, {}, [], {"tags": ["a", "b"]}),
        ({"WANDB_MODE": ""}, {}, [], {}),
    ],
)
def test_the_environment_stands_above_defaults(environment, changes, given, expected, caplog):
    caplog.set_level(logging.INFO)
    assert follow_environment(with_values(**changes), given, environment) == with_values(**{**changes, **expected})
    assert len(caplog.records) == len(expected)
    assert all("says" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("environment", "changes", "given", "said"),
    [
        ({"WANDB_MODE": "online"}, {}, ["tracking=offline"], "WANDB_MODE=online is ignored, as tracking.mode=off"),
        ({"WANDB_MODE": "disabled"}, {}, ["tracking.mode=offline"], "WANDB_MODE=disabled is ignored"),
        ({"WANDB_MODE": "offline"}, {"mode": "online"}, [], "as tracking.mode=online is given"),
        ({"WANDB_DISABLED": "true"}, {"mode": "online"}, [], "WANDB_DISABLED=true is ignored"),
        ({"WANDB_MODE": "online"}, {"mode": "disabled"}, ["tracking=disabled"], "tracking.mode=disabled is given"),
        ({"WANDB_PROJECT": "a"}, {"project": "b"}, ["tracking.project=b"], "as tracking.project=b is given"),
        ({"WANDB_PROJECT": "a"}, {}, ["tracking.project=yolo26-attention"], "WANDB_PROJECT=a is ignored"),
        ({"WANDB_RUN_ID": "x"}, {}, [], "WANDB_RUN_ID=x is ignored: a run's id follows from its configuration"),
        ({"WANDB_DIR": "/x"}, {}, [], "WANDB_DIR=/x is ignored: W&B writes into output_dir"),
        ({"WANDB_NAME": "x"}, {}, [], "WANDB_NAME=x is ignored"),
        ({"WANDB_RUN_GROUP": "x"}, {}, [], "the group is study"),
        ({"WANDB_RESUME": "must"}, {}, [], "WANDB_RESUME=must is ignored"),
    ],
)
def test_what_is_given_stands_above_the_environment_and_that_is_said(environment, changes, given, said, caplog):
    options = with_values(**changes)
    assert follow_environment(options, given, environment) == options
    (record,) = caplog.records
    assert said in record.message
    assert record.levelno == logging.WARNING


def test_an_agent_of_a_sweep_says_where_its_runs_belong(caplog):
    agent = {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "r", "WANDB_PROJECT": "p", "WANDB_ENTITY": "e", "WANDB_DIR": "/d"}
    options = with_values(mode="online")
    assert follow_environment(options, ["tracking=online"], agent) == options
    assert caplog.records == []


def test_an_unknown_mode_is_refused():
    with pytest.raises(ConfigError, match="shared is unknown; unset it, or choose one of offline, online, disabled"):
        follow_environment(DEFAULT, [], {"WANDB_MODE": "shared"})


def test_a_plan_follows_the_environment(composed, monkeypatch):
    overrides = [option for option in TINY if not option.startswith("tracking")]
    monkeypatch.setenv("WANDB_MODE", "disabled")
    plan = check(composed(*overrides, "attention=baseline"))
    assert plan.config.tracking.mode == "disabled"
    monkeypatch.delenv("WANDB_MODE")
    assert check(composed(*overrides, "attention=baseline")).run_id == plan.run_id


def test_a_plan_refuses_tags_before_anything_is_built(composed):
    with pytest.raises(ConfigError, match=r"tracking\.tags"):
        check(composed("tracking=offline", f"tracking.tags=[{'x' * 65}]", "data.yaml=/nowhere.yaml"))


def opened(tmp_path, body=lambda tracker: None, **changes):
    arguments = {"run_id": "a-1", "name": "run", "group": "g", "tags": [], "config": {}, "folder": tmp_path, **changes}
    with open_tracker(DEFAULT, **arguments) as tracker:
        folder = tracker.folder
        body(tracker)
    return folder, tracker


def inspected(folder):
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", "--summary", str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_long_names_are_shortened_and_that_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder, tracker = opened(tmp_path, name=f"acmix-{LONG}-{LONG}", tags=["acmix", LONG, LONG + "x", "acmix"])
    run = inspected(folder)
    assert tracker.lost is None
    assert len(run["tags"]) == 3
    assert [len(tag) for tag in run["tags"]] == [5, 64, 64]
    assert run["tags"][1].startswith("a_data_set_with")
    assert run["tags"][1] != run["tags"][2]
    assert len(run["name"]) == 128
    assert sum("takes tags of at most 64" in record.message for record in caplog.records) == 2
    assert inspected(opened(tmp_path, tags=[LONG], run_id="b-1")[0])["tags"] == run["tags"][1:2]


def test_odd_values_do_not_keep_a_run_from_its_end(tmp_path):
    """Numbers that are none, a value that is no JSON, a name of odd characters, a weight file of an odd name."""
    weights = tmp_path / "best.pt"
    weights.write_bytes(b"weights")

    def body(tracker):
        tracker.log([{"a": float("nan"), "b": float("inf")}])
        tracker.upload(weights, "\u7f51\u7edc/" + LONG * 3)

    folder, tracker = opened(tmp_path, body, name="\u7f51\u7edc / %s <b>\n", config={"path": tmp_path, "set": {1, 2}})
    assert tracker.lost is None
    run = inspected(folder)
    assert (run["state"], run["exit_code"]) == ("finished", 0)


def test_resume_of_the_environment_does_not_reach_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RESUME", "must")
    monkeypatch.setenv("WANDB_RESUME_FROM", "nonsense")
    assert opened(tmp_path)[1].lost is None
    assert "WANDB_RESUME" not in os.environ


def no_service(*arguments, **options):
    raise OSError("cannot start its service")


def test_offline_a_run_goes_on_when_wandb_cannot_begin(tmp_path, monkeypatch):
    monkeypatch.setattr("wandb.init", no_service)
    folder, tracker = opened(tmp_path, lambda tracker: tracker.log([{"a": 1.0}]))
    assert (folder, tracker.lost) == (None, "OSError: cannot start its service")


def test_online_a_run_that_wandb_refuses_ends_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr("wandb.init", no_service)
    begun = []
    with (
        pytest.raises(RuntimeError, match=r"could not begin the run \(cannot start its service\); check login"),
        open_tracker(with_values(mode="online"), run_id="a", name="a", group="g", tags=[], config={}, folder=tmp_path),
    ):
        begun.append(True)
    assert begun == []


@pytest.mark.parametrize(("mode", "resume"), [("online", "allow"), ("offline", None)])
def test_only_a_server_can_go_on_with_a_run(mode, resume, tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr("wandb.init", lambda **options: asked.update(options))
    with open_tracker(
        with_values(mode=mode),
        run_id="a",
        name="a",
        group="g",
        tags=[],
        config={},
        folder=tmp_path,
        job_type="report",
    ):
        pass
    assert (asked["resume"], asked["job_type"], asked["id"], asked["dir"]) == (resume, "report", "a", str(tmp_path))
    assert (asked["settings"].disable_git, asked["settings"].console) == (True, "off")
