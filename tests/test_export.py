"""Exporting a finished run: found by name, hash or folder, refused clearly, compared with PyTorch."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.config import ConfigError, ExportConfig
from src.export import export_run, find_run
from src.record import Record
from tests.conftest import TINY

ROOT = Path(__file__).parent.parent


@pytest.fixture
def runs(tmp_path):
    """Two finished runs and a broken one, without weights worth the name."""
    for name, status in (("acmix-s0-aaa", "finished"), ("acmix-s1-bbb", "failed"), ("se-s0-ccc", "finished")):
        folder = tmp_path / "runs" / name
        (folder / "train" / "weights").mkdir(parents=True)
        Record(run_id=name[-3:], name=name, study="s", seed=0, config={}, status=status).write(folder)
        (folder / "train" / "weights" / "best.pt").touch()
        (folder / "train" / "args.yaml").write_text("imgsz: 64\ndata: gone.yaml\n")
    return tmp_path


@pytest.mark.parametrize("run", ["acmix-s0-aaa", "aaa", "FOLDER"])
def test_run_by_name_hash_or_folder(run, runs):
    folder = runs / "runs" / "acmix-s0-aaa"
    assert find_run(str(folder) if run == "FOLDER" else run, str(runs)) == folder


@pytest.mark.parametrize(
    ("run", "message"),
    [
        pytest.param(
            "zzz", r"run=zzz: no such run in .*; there is acmix-s0-aaa, acmix-s1-bbb, se-s0-ccc", id="unknown"
        ),
        pytest.param("bbb", r"run=bbb is failed, not finished; train it to its end", id="failed"),
    ],
)
def test_run_that_cannot_be_exported(run, message, runs):
    with pytest.raises(ConfigError, match=message):
        find_run(run, str(runs))


def test_run_without_weights(runs):
    (runs / "runs" / "se-s0-ccc" / "train" / "weights" / "best.pt").unlink()
    with pytest.raises(ConfigError, match=r"best.pt is gone; train it again with force=true"):
        find_run("ccc", str(runs))


def test_no_runs_at_all(tmp_path):
    with pytest.raises(ConfigError, match="there is none at all"):
        find_run("aaa", str(tmp_path))


def test_unknown_format(runs):
    options = {**dataclasses.asdict(ExportConfig(run="aaa")), "format": "onxx", "output_dir": str(runs)}
    with pytest.raises(ConfigError, match=r"format=onxx is unknown; Ultralytics exports to"):
        export_run(options)


def export(*overrides):
    command = [sys.executable, "-m", "src.export", *overrides]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_missing_run_is_one_line():
    result = export()
    assert result.returncode == 1
    assert (
        result.stderr.strip().splitlines()[-1]
        == "error: run=NAME is missing: the name, hash or folder of a finished run"
    )


def test_help():
    result = export("--help")
    assert result.returncode == 0
    assert set(re.findall(r"^(\w+)  ", result.stdout, re.MULTILINE)) == set(ExportConfig.__dataclass_fields__)


@pytest.mark.slow
def test_exported_run_computes_what_it_did(tmp_path):
    train = [sys.executable, "-m", "src.train", "attention=acmix", "placement=p3", *TINY, f"output_dir={tmp_path}"]
    subprocess.run(train, cwd=ROOT, capture_output=True, check=True)
    (folder,) = tmp_path.glob("runs/*")
    result = export(f"run={folder.name}", f"output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert float(re.search(r"validation images  (\S+)", result.stdout)[1]) < 1e-3
    assert re.search(r"^mAP50-95  \d\.\d{4}, in PyTorch \d\.\d{4}", result.stdout, re.MULTILINE)
    assert (folder / "train" / "weights" / "best.onnx").exists()
    shutil.rmtree(tmp_path / "data")
    gone = export(f"run={folder}", "format=torchscript")
    assert gone.returncode == 1
    assert "is gone, so nothing is compared; put it back, or use check=false" in gone.stderr
