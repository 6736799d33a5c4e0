"""Ctrl-C ends every command with one line and exit status 130."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parent.parent
# Ctrl-C while a module is imported: that is always within a command's work, because no command imports it earlier.
PRESSED = """
import importlib.abc, runpy, sys

class Pressed(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Pressed())
sys.argv[0] = "{command}"
runpy.run_module("src.{command}", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("command", "arguments", "module"),
    [
        pytest.param("train", ["attention=simam"], "torch", id="train"),
        pytest.param("train", ["-m", "attention=simam", "seed=0,1"], "torch", id="train-sweep"),
        pytest.param("sweep", ["kernel_att"], "torch", id="sweep"),
        pytest.param("search", ["place"], "torch", id="search"),
        pytest.param("describe", ["attention=simam"], "torch", id="describe"),
        pytest.param("profile", ["-m", "attention=simam,se"], "torch", id="profile-sweep"),
        pytest.param("export", ["run=best"], "torch", id="export"),
        pytest.param("report", ["kernel_att"], "scipy", id="report"),
    ],
)
def test_one_line_and_130(command, arguments, module, tmp_path):
    script = PRESSED.format(command=command, module=module)
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments, f"output_dir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 130, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    (line,) = [line for line in result.stderr.splitlines() if line.strip() and "HYDRA" not in line]
    assert line.startswith("interrupted; ")


@pytest.mark.parametrize(
    "started",
    [
        pytest.param(["src.train", "attention=baseline"], id="train"),
        pytest.param(["src.train", "-m", "attention=baseline", "seed=0,1"], id="train-sweep"),
        pytest.param(["src.sweep", "STUDY"], id="sweep"),
    ],
)
def test_ctrl_c_in_the_middle_of_a_training(started, tmp_path):
    study = tmp_path / "study.yaml"
    variants = "variants:\n  baseline: {attention: baseline}\n  simam: {attention: simam}\n"
    study.write_text(f"question: Does it end?\nseeds: [0, 1]\n{variants}")
    module, *arguments = [str(study) if argument == "STUDY" else argument for argument in started]
    small = [option for option in TINY if option != "tracking=disabled"]  # W&B prints tracebacks of its own
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, *small, "trainer.epochs=500", f"output_dir={tmp_path}"],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while " more epochs of " not in output.read_text():
            assert process.poll() is None, output.read_text()
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
        assert process.wait(60) == 130
    text = output.read_text()
    assert "Traceback" not in text
    assert text.splitlines()[-1].startswith("interrupted; run the same command again")
