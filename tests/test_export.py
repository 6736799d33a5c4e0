"""Exporting a finished run: found by name, hash or folder, refused clearly, compared with PyTorch."""

import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src.export import export_run, find_run, main
from tests.conftest import TINY
from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import ExportConfig
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.files.digest import file_digest
from yolo26_attention.files.latency import Parity
from yolo26_attention.files.record import Record
from yolo26_attention.latency.backends import Deployed
from yolo26_attention.latency.parity import ParityError

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
        pytest.param("zzz", r"run=zzz: no such run in .*; it has acmix-s0-aaa, acmix-s1-bbb, se-s0-ccc", id="unknown"),
        pytest.param("bbb", r"run=bbb is failed, not finished; finish it first", id="failed"),
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
    with pytest.raises(ConfigError, match="it has no runs"):
        find_run("aaa", str(tmp_path))


def test_unknown_format(runs):
    options = ExportConfig(run="aaa", format="onxx", output_dir=str(runs))
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
    assert "is gone, so nothing can be compared; restore it, or use check=false" in gone.stderr


@pytest.fixture
def asked_for(runs, tmp_path, monkeypatch):
    """Exports a run whose network, exporter and comparison only note what they are asked for."""
    (runs / "data.yaml").touch()
    (runs / "runs" / "acmix-s0-aaa" / "train" / "args.yaml").write_text(f"imgsz: 64\ndata: {runs / 'data.yaml'}\n")
    seen = {}
    stock = build_stock("yolo26n", classes=3, channels=3).eval()
    monkeypatch.setattr("yolo26_attention.run.measuring.damage", lambda path: None)
    monkeypatch.setattr("yolo26_attention.run.measuring.known_classes_only", lambda *_: nullcontext())
    monkeypatch.setattr("yolo26_attention.run.measuring.load_best", lambda *_: stock)

    def network(image):
        if "cannot run" in seen:
            raise IndexError("list index out of range")

    def write(model, fmt, *, folder, name, **given):
        seen.update(given)
        made = folder / f"{name}.{fmt}"
        made.write_text("half")
        if "fails" in seen:
            raise ValueError("cannot be exported")
        if "breaks" in seen:
            raise TypeError("only 0-dimensional arrays")
        if "folder" in seen:
            made.unlink()
            made.mkdir()
            (made / "model.xml").write_text("whole")
            return made
        made.write_text("whole")
        return made

    monkeypatch.setattr("yolo26_attention.latency.backends.export", write)
    monkeypatch.setattr(
        "yolo26_attention.latency.backends.load_export", lambda *_, **given: Deployed(network, Path("best.onnx"))
    )
    monkeypatch.setattr(
        "yolo26_attention.latency.end_to_end.validation_images", lambda *_: [np.zeros((50, 80, 3), np.uint8)]
    )
    monkeypatch.setattr(
        "yolo26_attention.latency.end_to_end.EndToEnd.prepare", lambda self, images: self.predictor.imgsz
    )

    def check_parity(deployed, model, fmt, precision, images, validate):
        seen.update(precision=precision, images=images)
        if "differs" in seen:
            raise ParityError("onnx: the deployed network differs")
        return Parity(1e-5, 0.25, 0.5)

    monkeypatch.setattr("yolo26_attention.latency.parity.check_parity", check_parity)

    def export(*how, **options):
        seen.update(dict.fromkeys(how))
        try:
            return export_run(ExportConfig(run="aaa", output_dir=str(runs), **options)), seen
        finally:
            for key in how:
                del seen[key]

    return export


def test_size_and_precision_are_those_asked_for_and_otherwise_the_trainings(asked_for):
    text, seen = asked_for()
    assert (seen["imgsz"], seen["half"], seen["precision"], seen["images"]) == ([64, 64], False, "fp32", [[64, 64]])
    assert "mAP50-95  0.2500, in PyTorch 0.5000" in text
    _, seen = asked_for(imgsz=96, half=True, batch=4)
    assert (seen["imgsz"], seen["half"], seen["precision"], seen["images"]) == ([96, 96], True, "fp16", [[96, 96]])
    assert seen["batch"] == 4


def test_an_export_takes_the_place_of_an_earlier_one_only_when_it_is_whole_and_right(asked_for, runs):
    weights = runs / "runs" / "acmix-s0-aaa" / "train" / "weights"
    before = {path.name for path in weights.iterdir()}
    (weights / "best.onnx").write_text("earlier")
    for how, error, message in (
        ("fails", ConfigError, "the export is refused: cannot be exported"),
        ("breaks", ConfigError, "format=onnx: the converter failed: TypeError: only 0-dim.*HYDRA_FULL_ERROR=1"),
        ("cannot run", ConfigError, "format=onnx: .* does not run here, .*: IndexError: list index.*check=false"),
        ("differs", ParityError, "differs"),
    ):
        with pytest.raises(error, match=message):
            asked_for(how)
        assert (weights / "best.onnx").read_text() == "earlier"
    text, _ = asked_for()
    assert text.startswith(f"exported  {weights / 'best.onnx'}\n")
    assert (weights / "best.onnx").read_text() == "whole"
    assert asked_for("cannot run", check=False)[0] == f"exported  {weights / 'best.onnx'}"
    assert {path.name for path in weights.iterdir()} == {*before, "best.onnx"}
    (weights / "best.onnx").unlink()


def test_an_export_that_is_a_folder_takes_the_place_of_an_earlier_one(asked_for, runs):
    weights = runs / "runs" / "acmix-s0-aaa" / "train" / "weights"
    (weights / "best.onnx").mkdir()
    (weights / "best.onnx" / "old.xml").touch()
    asked_for("folder")
    assert [path.name for path in (weights / "best.onnx").iterdir()] == ["model.xml"]
    shutil.rmtree(weights / "best.onnx")


def test_a_run_whose_code_changed_is_exported_only_where_nothing_is_compared_and_that_is_said(
    asked_for, runs, monkeypatch
):
    file = runs / "export_mine.py"
    file.write_text("class Mine: pass\n")
    monkeypatch.syspath_prepend(runs)
    monkeypatch.delitem(sys.modules, "export_mine", raising=False)
    folder = runs / "runs" / "acmix-s0-aaa"
    attention = {"name": "mine", "_target_": "export_mine.Mine", "source": file_digest(file)}
    checkpoints = {"best": file_digest(folder / "train" / "weights" / "best.pt")}
    Record("aaa", folder.name, "s", 0, {"attention": attention}, "finished", checkpoints=checkpoints).write(folder)
    assert "WARNING" not in asked_for(trust=True)[0]
    attention["source"] = "another"
    Record("aaa", folder.name, "s", 0, {"attention": attention}, "finished", checkpoints=checkpoints).write(folder)
    with pytest.raises(ConfigError, match=r"run=aaa: the code of export_mine.Mine \(.*put the code back.*check=false"):
        asked_for(trust=True)
    text, _ = asked_for(trust=True, check=False)
    assert "WARNING: the code of export_mine.Mine (" in text
    sys.modules.pop("export_mine", None)


@pytest.mark.parametrize(("imgsz", "way_out"), [(70, 64), (16, 32), (100, 96)])
def test_size_that_the_network_cannot_take(imgsz, way_out, asked_for):
    with pytest.raises(ConfigError, match=f"imgsz={imgsz} is not a multiple of 32, .* try {way_out}$"):
        asked_for(imgsz=imgsz)


def test_an_image_that_is_no_square(asked_for):
    _, seen = asked_for(imgsz=[64, 96], int8=True)
    assert (seen["imgsz"], seen["precision"], seen["images"]) == ([64, 96], "int8", [[64, 96]])
    with pytest.raises(ConfigError, match=r"imgsz=\[64, 100\] is not a multiple of 32, .* try \[64,96\]$"):
        asked_for(imgsz=[64, 100])
    with pytest.raises(ConfigError, match=r"imgsz=wide is neither a side nor \[height,width\]"):
        asked_for(imgsz="wide")


def test_suppression_in_the_graph_is_not_compared(asked_for):
    with pytest.raises(ConfigError, match=r"nms=true changes the output, .* check=false"):
        asked_for(nms=True)
    _, seen = asked_for(nms=True, check=False)
    assert seen["nms"] is True


def test_export_that_differs_is_one_line(monkeypatch):
    def fail(_):
        raise ParityError("onnx: the deployed network differs")

    monkeypatch.setattr("src.export.export_run", fail)
    monkeypatch.setattr("src.export.job_config", lambda config, convert: config)
    with pytest.raises(SystemExit, match=r"^error: onnx: the deployed network differs$"):
        main.__wrapped__(OmegaConf.create({"run": "aaa"}))


def test_a_checkpoint_that_the_run_did_not_train_is_not_exported(runs):
    folder = runs / "runs" / "acmix-s0-aaa"
    best = folder / "train" / "weights" / "best.pt"
    record = Record.read(folder)
    options = ExportConfig(run="aaa", output_dir=str(runs))
    torch.save({"model": build_stock("yolo26n", 10, 3), "train_args": {}}, best)
    record.checkpoints = {"best": "0" * 64}
    record.write(folder)
    with pytest.raises(
        ConfigError, match=r"run=aaa: .*best.pt is not the checkpoint that this run trained.* force=true"
    ):
        export_run(options)
    record.checkpoints, record.config = {}, {"attention": {"_target_": "src.attention.acmix.ACmix"}}
    record.write(folder)
    said = r"best.pt has no attention, but this run trained yolo26_attention.attention.acmix.ACmix; force=true"
    with pytest.raises(ConfigError, match=said):
        export_run(options)
