"""Two processes at one study: what the other one trains is no error of this one."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TINY
from yolo26_attention.files.locks import run_lock
from yolo26_attention.study.runs import find_run

ROOT = Path(__file__).parent.parent
STUDY = """
question: Do two terminals get on with each other?
seeds: [0]
variants:
  baseline: {attention: baseline}
  simam: {attention: simam, placement: [p3, p4]}
"""
SIMAM = ("attention=simam", "placement=p3")


def start(module, *arguments):
    command = [sys.executable, "-m", module, *arguments, *TINY]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_both_end_well(tmp_path):
    file = tmp_path / "both.yaml"
    file.write_text(STUDY)
    arguments = [str(file), "trainer.epochs=3", f"output_dir={tmp_path}"]
    both = [start("src.sweep", *arguments)]
    while not list(tmp_path.glob("runs/*/record.json")):  # the first one trains
        assert both[0].poll() is None, both[0].stdout.read()
        time.sleep(0.05)
    both.append(start("src.sweep", *arguments))
    texts = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    for text in texts:
        assert "did not finish" not in text
        assert "skipped" not in text
        assert "RunHeldError" not in text
    # Each run was trained once, by one of the two.
    assert sum(text.count(" starts\n") for text in texts) == 3
    assert any("3 runs: 3 finished" in text for text in texts)


def test_a_sweep_passes_over_a_run_of_another_process(tmp_path):
    first = start("src.train", "-m", *SIMAM, "seed=0", f"output_dir={tmp_path}")
    text, _ = first.communicate(timeout=120)
    assert first.returncode == 0, text
    (folder,) = tmp_path.glob("runs/*")
    (folder / "record.json").unlink()
    with run_lock(tmp_path / "locks" / f"{folder.name}.lock"):
        assert find_run(tmp_path, folder.name).state == "running"
        second = start("src.train", "-m", *SIMAM, "seed=0", f"output_dir={tmp_path}")
        text, _ = second.communicate(timeout=120)
    assert second.returncode == 0, text
    assert f"{folder.name}: trained by another process" in text
    assert "did not finish" not in text
