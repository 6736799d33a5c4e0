"""What `attention=NAME --help` prints, and the page of all mechanisms."""

import subprocess
import sys
from dataclasses import fields

import pytest
from hydra import compose, initialize_config_dir

from tests.conftest import CONF
from yolo26_attention.config.attention_help import page
from yolo26_attention.config.command_line import help_on_attention
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.own_signature import own_signature
from yolo26_attention.config.registration import register_configs
from yolo26_attention.config.schema import SCHEMAS

ROOT = CONF.parent
NO_TORCH = (
    "import sys, runpy; sys.argv = [sys.argv[1], *sys.argv[2:]]\n"
    "try: runpy.run_module(sys.argv[0], run_name='__main__')\n"
    "except SystemExit as stop: assert not stop.code, stop.code\n"
    "loaded = {'torch', 'ultralytics', 'wandb'} & set(sys.modules)\n"
    "assert not loaded, loaded"
)
CODE = '''\
import not_installed
from torch import nn


class Base(nn.Module):
    def __init__(self, channels, factor=0.5, *, depth: int | None = None, sharp=True):
        """Build.

        Args:
            channels: of the map.
            factor (float): how much is
                added.
        """


class Damped(Base):
    """Mixes channels.

    Args:
        depth: number of layers
    """


def made(channels: int, out_channels=None, act: str = "relu"):
    """Makes one."""
'''


def shown(command, *arguments):
    result = subprocess.run(
        [sys.executable, "-c", NO_TORCH, f"src.{command}", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def own_folder(tmp_path, yaml, code=CODE):
    (tmp_path / "attention").mkdir()
    (tmp_path / "attention" / "damped.yaml").write_text(yaml)
    (tmp_path / "damped.py").write_text(code)
    return str(tmp_path)


def hydra_help(*overrides):
    """Hydra's help in this process, which is faster than a process for each attention."""
    register_configs()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=[*overrides, "hydra/help=mechanism"], return_hydra_config=True)
        return composed.hydra.help.template


@pytest.mark.parametrize("name", SCHEMAS["attention"])
def test_help_lists_the_options_of_each_attention(name):
    text = hydra_help(f"attention={name}")
    schema = SCHEMAS["attention"][name]
    assert text.startswith(f"attention={name}\n")
    assert schema.__doc__.splitlines()[0] in text
    missing = [
        field.name
        for field in fields(schema)
        if field.name not in {"name", "_target_"} and f"\nattention.{field.name} " not in text
    ]
    assert missing == []


@pytest.mark.parametrize("command", ["train", "describe", "profile"])
def test_each_command_shows_them_without_torch(command):
    text = shown(command, "-h", "attention=cbam", "attention.kernel_att=5")
    assert "attention.kernel_att  int   7 (now 5)  odd, 1 to 255" in text
    assert f"python -m src.{command} --help lists everything else." in text


@pytest.mark.parametrize("command", ["train", "describe", "profile", "export", "sweep", "search", "runs", "report"])
def test_each_command_has_help_of_its_own_without_torch(command):
    text = shown(command, "--help")
    others = {"train", "describe", "profile"} - {command}
    assert f"python -m src.{command}" in text
    assert not [other for other in others if f"\n  python -m src.{other} attention=" in text]


def test_describes_own_options_are_in_its_help():
    text = shown("describe", "--help")
    assert "layers=true" in text
    assert "markdown=true" in text
    assert "force=true" not in text


def test_a_module_of_ones_own_is_listed_from_its_source(tmp_path):
    folder = own_folder(tmp_path, "name: damped\n_target_: damped.Damped\nfactor: 0.25\nextra: [1, 2]\n")
    text = shown("train", "-cd", folder, "attention=damped", "--help")
    rows = [line.split("  ") for line in text.splitlines() if "attention." in line]
    cells = {row[0]: " ".join(filter(None, (cell.strip() for cell in row[1:]))) for row in rows}
    assert cells == {
        "attention.factor": "float 0.5 (now 0.25) how much is added",
        "+attention.depth": "int or null null number of layers",
        "+attention.sharp": "true",
        "attention.extra": "list [1,2]",
    }
    assert "damped.Damped, of your own. Mixes channels.\n" in text
    assert "With +, because your YAML does not have it" in text


@pytest.mark.parametrize(
    ("yaml", "code", "parts"),
    [
        pytest.param("name: damped\n", CODE, ["attention=damped: your YAML has no _target_"], id="no-target"),
        pytest.param(
            "name: damped\n_target_: damped.Damped\n",
            "class Damped:\n    def __init__(self, c:\n",
            ["attention._target_=damped.Damped", "damped.py:2: SyntaxError"],
            id="syntax",
        ),
    ],
)
def test_what_cannot_be_listed_is_one_line(yaml, code, parts, tmp_path):
    folder = own_folder(tmp_path, yaml, code)
    command = [sys.executable, "-m", "src.train", "-cd", folder, "attention=damped", "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not [part for part in parts if part not in result.stderr]


def test_a_function_and_what_is_not_there(tmp_path):
    (tmp_path / "damped.py").write_text(CODE)
    about, rows = own_signature("damped.made", [str(tmp_path)])
    assert (about, list(rows)) == ("Makes one.", ["act"])
    assert rows["act"].default == "relu"
    assert own_signature("damped.Other", [str(tmp_path)]) is None
    assert own_signature("elsewhere.Other", [str(tmp_path)]) is None


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "damped.py").write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match=r"damped\.py: .* save it as UTF-8"):
        own_signature("damped.Damped", [str(tmp_path)])


def test_several_attentions_have_no_page():
    with pytest.raises(ConfigError, match=r"attention=se,cbam: --help lists the options of one attention at a time"):
        help_on_attention(["-m", "attention=se,cbam", "--help"])


def test_other_help_is_that_of_the_command():
    assert help_on_attention(["placement=p3", "--help"]) == []
    assert help_on_attention(["attention=se"]) == []


def test_the_page_is_made_from_the_code():
    register_configs()
    written = (ROOT / "docs" / "attentions.md").read_text(encoding="utf-8")
    assert written == page(), "make attentions"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("python -m src.train attention=ac", ["attention=acmix"]),
        (
            "python -m src.describe -m attention=acmix attention.ker",
            ["attention.kernel_att=", "attention.kernel_conv="],
        ),
        ("python -m json.tool attention=ac", []),
    ],
)
def test_tab_completes_in_bash(line, found):
    script = (
        "source docs/completion.bash; COMP_LINE=$1; COMP_WORDS=($1); COMP_WORDS[0]=$2; "
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _attention_options; printf "%s\n" "${COMPREPLY[@]}"'
    )
    result = subprocess.run(
        ["bash", "-c", script, "bash", line, sys.executable], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.split() == found, result.stderr
