"""Nothing is downloaded, run or installed that nobody asked for, and no secret is written down."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.export import export_run
from tests.conftest import beside
from tests.faults.data import Call, pets
from tests.faults.doing import ROOT, configuration
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import ExportConfig
from yolo26_attention.files.record import Record
from yolo26_attention.plan.checks import check
from yolo26_attention.run.runner import run

SECRETS = {
    "WANDB_API_KEY": "deadbeef" * 5,
    "HF_TOKEN": "hf_secretsecretsecretsecret",
    "AWS_SECRET_ACCESS_KEY": "awssecretawssecretawssecret",
    "AWS_SESSION_TOKEN": "sessionsecretsessionsecret",
    "ROBOFLOW_API_KEY": "roboflowsecretroboflow",
    "ULTRALYTICS_API_KEY": "ulsecretulsecretulsecret",
    "GITHUB_TOKEN": "ghp_secretsecretsecret",
    # How a clone that was made with a token has it.
    "GIT_CONFIG_VALUE_0": "https://ghs_remotesecretremote:x-oauth-basic@example.org/x.git",
}
PASSWORD = "passwordpassword"
URL = f"http://someone:{PASSWORD}@127.0.0.1:1/pets.zip"


@pytest.fixture(params=["bash", "python"])
def download(request, tmp_path):
    """A download line that leaves a mark, and the mark."""
    marker = tmp_path / "marker"
    line = f"bash -c touch${{IFS}}{marker}" if request.param == "bash" else f"open({str(marker)!r}, 'w').close()"
    return f"download: {json.dumps(line)}\n", marker


def test_a_data_set_that_is_there_runs_nothing(tmp_path, download):
    line, marker = download
    yaml = pets(tmp_path)
    yaml.write_text(yaml.read_text() + line)
    plan = check(configuration(tmp_path, "attention=baseline", f"data.yaml={yaml}", "trainer.fraction=1.0"))
    record, _ = run(plan, "")
    assert record.status == "finished"
    assert not marker.exists()


def test_a_data_set_that_is_not_there_runs_nothing_unless_it_is_asked_to(tmp_path, download):
    line, marker = download
    yaml = tmp_path / "pets.yaml"
    yaml.write_text(f"path: {tmp_path}/nowhere\ntrain: train\nval: val\nnames: [cat]\n{line}")
    overrides = ("attention=baseline", f"data.yaml={yaml}")
    with pytest.raises(ConfigError, match=r"let Ultralytics download them: data.download=true"):
        check(configuration(tmp_path, *overrides))
    assert not marker.exists()
    with pytest.raises(ConfigError, match=r"train names .*nowhere/train, which does not exist\nCorrect path:, train:"):
        check(configuration(tmp_path, *overrides, "data.download=true"))
    assert marker.exists(), "the line is live: an identity needs the images, so the check fetches them"


def test_an_export_runs_nothing_of_a_run_from_elsewhere(tmp_path, download):
    line, marker = download
    yaml = pets(tmp_path)
    yaml.write_text(yaml.read_text() + line)
    plan = check(configuration(tmp_path, "attention=baseline", f"data.yaml={yaml}", "trainer.fraction=1.0"))
    run(plan, "")
    shutil.rmtree(tmp_path / "images" / "val")
    options = ExportConfig(run=str(plan.folder), format="torchscript")
    with pytest.raises(
        ConfigError, match=r"(?s)images not found.*\nRestore the images, or skip the comparison: check=false"
    ):
        export_run(options)
    assert not marker.exists()
    torch.save({"model": Call(os.system, f"touch {marker}")}, plan.folder / "train" / "weights" / "best.pt")
    with pytest.raises(ConfigError, match=r"best.pt is not the checkpoint"):
        export_run(options)
    record = Record.read(plan.folder)
    record.checkpoints = {}  # as of an earlier version, or written by whoever exchanged the file
    record.write(plan.folder)
    with pytest.raises(ConfigError, match=r"best.pt holds posix.system"):
        export_run(options)
    assert not marker.exists()


PROBE = """
import subprocess
{first}
from ultralytics.utils import checks
def refuse(command, *args, **kwargs):
    print("CALLED", command)
    raise subprocess.CalledProcessError(1, command)
subprocess.check_output = subprocess.run = refuse
checks.ONLINE = True
print("HAVE", checks.check_requirements("no-such-package-of-anyone"))
"""


@pytest.mark.parametrize("inherited", [False, True], ids=["this-process", "child"])
def test_nothing_is_installed_at_run_time(inherited, monkeypatch):
    """A child, such as a worker of a training on several GPUs, may import Ultralytics before anything of ours."""
    monkeypatch.delenv("YOLO_AUTOINSTALL", raising=False)
    probe = PROBE.format(first="" if inherited else "import yolo26_attention")
    command = [sys.executable, "-c", probe]
    if inherited:
        start = f"import yolo26_attention, subprocess, sys; sys.exit(subprocess.run({command!r}).returncode)"
        command = [sys.executable, "-c", start]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "HAVE False" in result.stdout
    assert "CALLED" not in result.stdout
    unguarded = subprocess.run(
        [sys.executable, "-c", PROBE.format(first="")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "CALLED" in unguarded.stdout, "without ours it would have been"


def secrets_in(folder: Path) -> list[str]:
    """Files that hold a secret, with the name of what they hold."""
    wanted = {**SECRETS, "PASSWORD": PASSWORD, "REMOTE": "ghs_remotesecretremote"}
    return [
        f"{path.relative_to(folder)}: {name}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for name, value in wanted.items()
        if value.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize(
    "fetched",
    [pytest.param(False, id="finished"), pytest.param(True, id="failed-download", marks=pytest.mark.slow)],
)
def test_no_secret_is_written_down(fetched, tmp_path):
    """The download fails, so that its address stands in the error."""
    yaml = pets(tmp_path)
    there = yaml.read_text().replace(str(tmp_path), str(tmp_path / "nowhere")) if fetched else yaml.read_text()
    yaml.write_text(f"{there}download: {URL}\n")
    overrides = [f"data.yaml={yaml}", "tracking=offline", "trainer.fraction=1.0", "attention=baseline"]
    small = [option for option in beside(overrides) if not option.startswith("data.")]
    git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "remote.origin.url"}
    result = subprocess.run(
        [sys.executable, "-m", "src.train", *small, *overrides, f"data.download={fetched}", f"output_dir={tmp_path}/o"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, **SECRETS, **git},
    )  # fmt: skip
    records = [json.loads(path.read_text()) for path in tmp_path.glob("o/runs/*/record.json")]
    # The data are fetched before the run exists.
    assert [record["status"] for record in records] == ([] if fetched else ["finished"]), result.stderr
    assert result.returncode == int(fetched)
    assert fetched or list(tmp_path.glob("o/wandb/offline-run-*/*.wandb"))
    (tmp_path / "o").mkdir(exist_ok=True)
    assert secrets_in(tmp_path / "o") == []
    said = result.stdout + result.stderr
    assert [name for name, value in {**SECRETS, "PASSWORD": PASSWORD}.items() if value in said] == []
    assert not fetched or "http://***@" in said
    (tmp_path / "o" / "leak").write_text(f"...{SECRETS['HF_TOKEN']}...")
    assert secrets_in(tmp_path / "o") == ["leak: HF_TOKEN"], "what is there is found"


@pytest.mark.slow
def test_without_tracking_a_run_needs_no_wandb(tmp_path):
    script = "import runpy, sys; sys.modules['wandb'] = None; runpy.run_module('src.train', run_name='__main__')"
    options = [*beside(["attention=baseline"]), "attention=baseline", f"output_dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-c", script, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tracking=disabled" in options
