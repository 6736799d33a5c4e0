"""The day on a GPU: all but the numbers is tried here, and the page holds what a section found before it failed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_day, tune
from benchmarks.gpu_day_page import Outcome, page

ROOT = Path(__file__).parent.parent


def test_page_opens_with_verdicts_and_keeps_the_rows_and_the_error_of_a_section_that_failed():
    rows = [
        {"table": "times", "site": "p3", "us": 12.3456},
        {"table": "verdicts", "question": "fast", "measured": "3", "target": "at most 2", "met": False},
    ]
    text = page(
        [Outcome("kernels", "failed with status 1", 3.2, rows, "Traceback\nRuntimeError: out of memory")], False
    )
    assert text.index("| fast | 3 | at most 2 | NO |") < text.index("## kernels: failed with status 1, 3 s")
    assert "| sections that ended well | kernels (failed with status 1) | all | NO |" in text
    assert "| p3 | 12.35 |" in text
    assert "RuntimeError: out of memory" in text


def in_process(source, limit, tmp_path, monkeypatch):
    """A section that is this Python source."""
    module = tmp_path / "benchmarks"
    module.mkdir()
    (module / "__init__.py").touch()
    (module / "gpu_day_sections.py").write_text(f"import sys, time, json\nfile = sys.argv[2]\n{source}")
    monkeypatch.setattr(gpu_day, "ROOT", tmp_path)
    return gpu_day.run_section("kernels", limit, tmp_path, {"PATH": "/usr/bin:/bin"})


ROW = "open(file, 'a').write(json.dumps({'table': 'times', 'us': 1}) + chr(10) + '{\"unfini')\n"


@pytest.mark.parametrize(
    ("after", "limit", "state"),
    [
        pytest.param("pass", 60, "done", id="done"),
        pytest.param("raise ValueError('broken')", 60, "failed with status 1", id="error"),
        pytest.param("time.sleep(600)", 2, "cut off after 2 s", id="cut-off"),
    ],
)
def test_rows_of_a_section_are_kept_however_it_ends(after, limit, state, tmp_path, monkeypatch):
    outcome = in_process(ROW + after, limit, tmp_path, monkeypatch)
    assert (outcome.state, outcome.rows) == (state, [{"table": "times", "us": 1}])
    assert ("ValueError: broken" in outcome.log) == ("raise" in after)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dray=true"], "dray: no such option; there are out, only, wheels, dry, seconds"),
        (["only=kernel"], "only=kernel: no section kernel; there are machine, tests"),
        (["dry=yes"], "dry=yes: try true or false"),
    ],
)
def test_what_is_not_an_option_is_refused_with_those_that_are(arguments, words):
    with pytest.raises(SystemExit, match=words):
        gpu_day.parse(arguments)


def test_carried_wheels_are_listed_with_their_sizes():
    lines = [line.split() for line in gpu_day.WHEELS.read_text().splitlines() if not line.startswith("#")]
    assert {name.split("==")[0] for name, _ in lines} >= {"ultralytics", "hydra-core", "omegaconf"}
    assert sum(int(size) for _, size in lines) < 64 * 1024


def tiling(rule, tile, forward, backward):
    size = {"bits": 16, "channels of a head": 16, "window": 7, "block": 32, "warps": 2, "stages": 2}
    times = {"forward": forward, "forward + backward": forward + backward}
    return {"table": "tilings, microseconds", "rule": rule, "tile": tile, **size, **times}


def test_tuning_writes_what_is_faster_than_the_rule_by_more_than_noise():
    rows = [
        {"table": "machine", "what": "compute capability", "value": [9, 0]},
        tiling(True, "by rule", 100.0, 200.0),
        tiling(False, [4, 8], 50.0, 199.0),
        tiling(False, [8, 8], 120.0, 210.0),
    ]
    assert tune.entries([{"rows": rows}]) == {
        "sm_90 16-bit 16 channels window 7 forward_kernel": {"tile": [4, 8], "block": 32, "warps": 2, "stages": 2}
    }


@pytest.mark.slow
def test_it_runs_to_its_end_without_a_gpu(tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu_day", "dry=true", f"out={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    sections = json.loads((tmp_path / "results.json").read_text())
    assert {section["name"]: section["state"] for section in sections} == dict.fromkeys(gpu_day.SECTIONS, "done")
    assert done.returncode == 0, done.stdout[-3000:]
    errors = [row["what"] for section in sections for row in section["rows"] if row["table"] == "errors"]
    assert set(errors) <= {"nvidia-smi"}
    verdicts = {row["question"]: row for section in sections for row in section["rows"] if row["table"] == "verdicts"}
    assert verdicts["killed and continued, against undisturbed"]["met"]
    assert "| sections that ended well | all | all | yes |" in (tmp_path / "page.md").read_text()
    assert len(list(tmp_path.iterdir())) == 3
