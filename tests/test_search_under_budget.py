"""python -m src.search as users type it: its errors, its plan, and a small search that is killed again and again."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

FILE = """
question: Where?
space:
  p3: [none, se]
  p5: [none, simam]
budget: {latency_ratio: 3, runs: 4, at_once: 2}
confirm: {top: 1, looks: [2]}
common: {trainer.epochs: 4, trainer.imgsz: 64, trainer.plots: false, data.train_images: 48, data.val_images: 16}
"""
OPTIONS = ["tracking=disabled", "latency.seconds=0.2"]


def command(folder, *arguments):
    return [sys.executable, "-m", "src.search", str(folder / "mine.yaml"), f"output_dir={folder / 'out'}", *arguments]


def result(folder):
    """What a search ends with, but for the times."""
    content = json.loads((folder / "out" / "searches" / "mine" / "search.json").read_text())
    records = [json.loads(path.read_text()) for path in sorted((folder / "out" / "runs").glob("*/record.json"))]
    # A process that was killed leaves "running".
    ended = {record["name"]: record["status"].replace("running", "interrupted") for record in records}
    scores = {record["name"]: (ended[record["name"]], record["metrics"].get("map50_95")) for record in records}
    return content["started"], scores


def made(folder):
    folder.mkdir()
    (folder / "mine.yaml").write_text(FILE)
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "python -m src.search SEARCH [key=value ...]"),
        (["plan=true"], "name one search: place"),
        (["plce"], "there is no search plce. Did you mean place?"),
        (["place", "plan=true", "trainer.steps=100"], "trainer.steps=100: a search ranks after epochs"),
        (["place", "plan=true", "seed=1,2"], "seed=1,2"),
        (["place", "plan=maybe"], "plan=maybe is not true or false"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(arguments, message, tmp_path):
    where = [f"output_dir={tmp_path}"] if arguments else []
    process = subprocess.run(
        [sys.executable, "-m", "src.search", *arguments, *where], capture_output=True, text=True, check=False
    )
    assert message in process.stdout + process.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_ends_alike(tmp_path):
    whole, killed = made(tmp_path / "whole"), made(tmp_path / "killed")
    subprocess.run(command(whole, *OPTIONS), check=True)
    answer = (whole / "out" / "searches" / "mine" / "answer.md").read_text()
    assert "4 candidates: 4 started" in answer
    # Costs are measured, and so differ from one search to the next.
    shutil.copytree(whole / "out" / "searches", killed / "out" / "searches")
    path = killed / "out" / "searches" / "mine" / "search.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "started": [], "seconds": 0.0}))
    (path.parent / "confirm.yaml").unlink(missing_ok=True)
    drawn = random.Random(0)
    deaths = 0
    for _ in range(40):
        process = subprocess.Popen(command(killed, *OPTIONS), start_new_session=True)
        try:
            # Lives get longer, so that a loaded machine, which takes long to start, gets to the end, too.
            assert process.wait(timeout=drawn.uniform(5, 20) * 1.1**deaths) == 0
            break
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            deaths += 1
            time.sleep(0.1)
    assert deaths >= 3
    assert result(killed) == result(whole)
