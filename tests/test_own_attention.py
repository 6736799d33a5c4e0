"""A user's attention from a folder of their own, as README shows it, and what can go wrong with it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parent.parent
CODE = """
from torch import nn


class Damped(nn.Module):
    def __init__(self, channels, *, factor=0.5):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)
        self.factor = factor

    def forward(self, x):
        return x + self.factor * self.mix(x)
"""
YAML = "name: damped\n_target_: damped.Damped\nfactor: 0.25\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "attention").mkdir()
    (tmp_path / "attention" / "damped.yaml").write_text(YAML)
    (tmp_path / "damped.py").write_text(CODE)
    return tmp_path


def command(module, folder, *overrides):
    return subprocess.run(
        [sys.executable, "-m", module, "-cd", str(folder), *TINY, *overrides, f"output_dir={folder}/outputs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def records(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("outputs/runs/*/record.json"))]


def test_it_trains_and_its_code_is_part_of_the_run(folder):
    result = command("src.train", folder, "attention=damped")
    assert result.returncode == 0, result.stderr
    (record,) = records(folder)
    assert record["config"]["attention"]["factor"] == 0.25
    assert record["name"].startswith("damped-p3+p4+p5-")
    (folder / "damped.py").write_text(CODE.replace("0.5):", "0.7):"))
    result = command("src.train", folder, "attention=damped")
    assert result.returncode == 0, result.stderr
    first, second = records(folder)
    assert first["run_id"] != second["run_id"]


def test_its_options_are_set_like_all_others(folder):
    result = command("src.describe", folder, "attention=damped", "attention.factor=2", "placement=p3")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^p3 .* append damped +\+4,160 ", result.stdout, re.MULTILINE)


def test_a_sweep_may_import_it_too(folder):
    result = command("src.describe", folder, "hydra.mode=MULTIRUN", "attention=baseline,damped", "placement=p3")
    assert result.returncode == 0, result.stderr
    assert "append damped" in result.stdout


def test_code_beside_the_folder_is_not_imported(folder):
    """It is on Python's path, but nobody has said that it may run."""
    (folder / "attention" / "damped.yaml").write_text(YAML.replace("damped.D", "tests.test_building.D"))
    result = command("src.describe", folder, "attention=damped")
    assert result.returncode == 1
    assert "error: attention._target_=tests.test_building.Damped is not part of this program" in result.stderr


FORK = """\
from torch import nn


class Damped(nn.Module):
    def __init__(self, c1, c2, factor=1.0):
        super().__init__()
        self.mix = nn.Conv2d(c2, c1, 1)
        self.factor = factor

    def forward(self, x):
        return self.mix(x)
"""


@pytest.mark.parametrize(
    ("yaml", "code", "message"),
    [
        pytest.param("_target_: damped.Damped\n", CODE, "your YAML has no name", id="no-name"),
        pytest.param("name: damped\n", CODE, "your YAML has no _target_", id="no-target"),
        pytest.param(YAML, CODE + "1 / 0\n", "ZeroDivisionError: division by zero", id="fails-on-import"),
        pytest.param(
            YAML,
            CODE + "def broken(:\n",
            r"damped.py, line {last})); correct that line",
            id="syntax",
        ),
        pytest.param(
            YAML,
            FORK,
            "missing 1 required positional argument: 'c2'; it is called with the channels of its site alone: give "
            "every other argument a default, or a value in the YAML of the attention, and write (c1, c2) as "
            "(channels, out_channels=None)",
            id="signature-of-forks",
        ),
        pytest.param(
            YAML,
            CODE.replace("forward(self, x)", "forward(self, x, H, W)"),
            "missing 2 required positional arguments: 'H' and 'W'; it is called as forward(x): read the height and "
            "width of a map from x.shape",
            id="forward-of-transformers",
        ),
        pytest.param(
            YAML,
            FORK.replace("c1, c2, factor=1.0):", "c1, factor=1.0):\n        c2 = 5"),
            "{folder}/damped.py, line 12)",
            id="inside-torch",
        ),
        pytest.param(YAML + "heads: 4\n", CODE, "unexpected keyword argument 'heads'", id="foreign-option"),
        pytest.param(YAML.replace("damped.D", "dumped.D"), CODE, "No module named 'dumped'", id="misspelt"),
        pytest.param(YAML.replace("damped.D", "D"), CODE, "attention._target_=Damped", id="no-module"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(yaml, code, message, folder):
    (folder / "attention" / "damped.yaml").write_text(yaml)
    (folder / "damped.py").write_text(code)
    result = command("src.describe", folder, "attention=damped")
    assert result.returncode == 1
    message = message.replace("{last}", str(code.count("\n"))).replace("{folder}", str(folder))
    assert re.search(rf"^error: .*{re.escape(message)}", result.stderr, re.MULTILINE), result.stderr
    assert "Traceback" not in result.stderr
    if "dumped" in yaml:
        assert str(folder) in result.stderr, "it says where it looked"


EDITS_ITSELF = CODE.replace(
    "        return x",
    """        if self.training and x.shape[0] > 4 and "edited" + "!" not in open(__file__).read():
            open(__file__, "a").write("# edited" + "!")
        return x""",
)


def test_code_that_is_edited_during_a_sweep_is_not_trained_as_the_new_code(folder):
    """The first run appends to the file, as an editor would; the process has the former code for the second."""
    (folder / "damped.py").write_text(EDITS_ITSELF)
    result = command("src.train", folder, "hydra.mode=MULTIRUN", "attention=damped", "seed=0,1", "trainer.batch=8")
    assert "# edited!" in (folder / "damped.py").read_text()
    assert "damped.py changed after this command imported it" in result.stderr + result.stdout
    assert [record["seed"] for record in records(folder)] == [0]
