"""Flags anywhere on the command line, and words that are no options."""

import subprocess
import sys

import pytest

from src import dashboard, report, runs
from tests.conftest import CONF
from yolo26_attention.config.command_line import check_command_line, flags_first
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.key_value import read_options
from yolo26_attention.config.words import WORDS


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        pytest.param("attention=se -m seed=0,1", "-m attention=se seed=0,1", id="between"),
        pytest.param("attention=se seed=0,1 --multirun", "--multirun attention=se seed=0,1", id="last"),
        pytest.param("attention=se -cd mine seed=1", "-cd mine attention=se seed=1", id="flag-with-value"),
        pytest.param("attention=se --cfg job --resolve", "--cfg job --resolve attention=se", id="two"),
        pytest.param("attention=se --config-dir=mine seed=1", "--config-dir=mine attention=se seed=1", id="equals"),
        pytest.param("-m attention=se", "-m attention=se", id="first"),
        pytest.param("+a=1 ~b attention.c=-1", "+a=1 ~b attention.c=-1", id="none"),
    ],
)
def test_flags_are_put_first_with_their_values(typed, passed):
    assert flags_first(typed.split()) == passed.split()


@pytest.mark.parametrize("module", ["src.train", "src.describe", "src.profile"])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_hydra_takes_a_flag_anywhere(module, where):
    arguments = ["attention=cbam", "placement=p3"]
    arguments[where:where] = ["--cfg", "job"]
    command = [sys.executable, "-m", module, *arguments]
    shown = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "  name: cbam\n" in shown.stdout


def test_a_sweep_may_be_asked_for_at_the_end(tmp_path):
    sizes = ["data.train_images=8", "data.val_images=4", "data.imgsz=64", "trainer=debug", f"output_dir={tmp_path}"]
    command = [sys.executable, "-m", "src.describe", "attention=se,simam", "placement=p3", *sizes, "-m"]
    shown = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "append se" in shown.stdout
    assert "append simam" in shown.stdout


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_answered_by_commands_with_hydra(word):
    with pytest.raises(ConfigError, match=f"^{word}: {WORDS[word].split('(')[0]}"):
        check_command_line(["attention=se", word])


@pytest.mark.parametrize("flag", [["-cd", "{}"], ["--config-dir", "{}"], ["--config-dir={}"]])
def test_a_tab_in_a_yaml_of_the_users_folder_is_named(flag, tmp_path):
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "mine.yaml").write_text("epochs:\n\t3\n")
    with pytest.raises(ConfigError, match=r"mine.yaml is not valid YAML: line 2 has a tab; indent with spaces"):
        check_command_line([part.format(tmp_path) for part in flag])


def test_a_folder_may_have_the_name_of_a_word():
    check_command_line(["-cd", "train", "--config-name", "list", "-cd", "a=b=c"])


@pytest.mark.parametrize("word", ["help", "list", "train"])
@pytest.mark.parametrize("schema", [runs.Options, report.Options, dashboard.Options])
def test_a_word_is_answered_by_commands_without_hydra(word, schema):
    with pytest.raises(ConfigError, match=f"^{word}: {WORDS[word]}"):
        read_options(schema, [word])


def test_a_study_with_the_name_of_a_word_is_given_by_its_key():
    assert read_options(report.Options, ["study=train"]).study == "train"
