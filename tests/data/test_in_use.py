"""The data set in the plan, the training, the record, the measurement and the report: one and the same everywhere."""

import logging
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import yaml as yaml_library
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from PIL import Image

from src.describe import describe
from src.sweep import main
from src.train import train_one
from tests.conftest import CONF, TINY
from tests.data.conftest import add_image
from yolo26_attention.files.record import Record
from yolo26_attention.latency import parity
from yolo26_attention.latency.end_to_end import validation_images
from yolo26_attention.latency.trained import load_best
from yolo26_attention.plan.checks import check
from yolo26_attention.reporting.detections import data_of, load_image
from yolo26_attention.reporting.study import StudyRun
from yolo26_attention.run.runner import run
from yolo26_attention.run.summary import table

SMALL = tuple(option for option in TINY if not option.startswith("data."))


@pytest.fixture
def planned(composed, tmp_path, yaml_of):
    """Check a small run on the pets."""

    def plan(*overrides, **keys):
        data = f"data.yaml='{yaml_of(**keys)}'"
        return check(composed(*SMALL, f"output_dir={tmp_path}/outputs", data, "attention=baseline", *overrides))

    return plan


def test_the_record_has_what_was_trained_on(pets, planned):
    add_image(pets, "train/c.png", label=None, seed=9)
    plan = planned("trainer.fraction=1.0")
    record, _ = run(plan, "")
    assert Record.read(plan.folder).data == record.data
    assert record.data["identity"] == plan.dataset.identity
    assert record.data["train"] == {
        "images": 3,
        "objects": 2,
        "unlabelled": 1,
        "looked_for": f"{pets}/labels/train/c.txt",
        "backgrounds": 0,
        "repeated": 0,
        "rows_dropped": 0,
        "first_dropped": None,
    }
    assert re.search("no label file +1 of 3 images of train", table(record, plan.folder))


def test_images_without_a_label_are_said_when_the_network_is_described(pets, planned):
    add_image(pets, "val/c.png", label=None, seed=9)
    assert f"the first missing one is {pets}/labels/val/c.txt" in describe(planned()).splitlines()[-1]


def test_images_without_a_label_are_said_in_the_plan_of_a_study_once(pets, yaml_of, tmp_path, capsys, monkeypatch):
    add_image(pets, "val/c.png", label=None, seed=9)
    (tmp_path / "two.yaml").write_text(
        "question: why\nseeds: [0, 1]\nvariants:\n  baseline: {attention: baseline}\n  se: {attention: se}\n"
    )
    data = f"data.yaml='{yaml_of()}'"
    arguments = [str(tmp_path / "two.yaml"), "plan=true", *SMALL, data, f"output_dir={tmp_path}/outputs"]
    monkeypatch.setattr("sys.argv", ["sweep", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.count("data: 1 of 3 images of val have no label file") == 1


def test_images_without_a_label_are_said_before_training(pets, yaml_of, compose_config, tmp_path, caplog, monkeypatch):
    add_image(pets, "val/c.png", label=None, seed=9)
    options = [*SMALL, f"data.yaml='{yaml_of()}'", "attention=baseline", f"output_dir={tmp_path}/outputs"]
    config = compose_config(*options)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        whole = compose("config", ["hydra.mode=RUN", *options], return_hydra_config=True)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", whole)

    def stop(*_):
        raise InterruptedError

    monkeypatch.setattr("yolo26_attention.run.runner.run", stop)
    with caplog.at_level(logging.INFO), pytest.raises(InterruptedError):
        train_one(config)
    assert "data: 1 of 3 images of val have no label file" in caplog.text


def in_subfolders(pets):
    for kind in ("images", "labels"):
        shutil.move(pets / kind / "val", pets / kind / "some")
        shutil.move(pets / kind / "some", pets / kind / "val" / "some")
    return {}


def val_of_roboflow(pets):
    for kind in ("images", "labels"):
        (pets / "valid").mkdir(exist_ok=True)
        shutil.move(pets / kind / "val", pets / "valid" / kind)
    return {"val": "valid"}


def list_with_a_comment(pets):
    (pets / "val.txt").write_text("# pets\n./images/val/a.png\n./images/val/b.png\n")
    return {"val": "val.txt"}


def two_lists(pets):
    (pets / "a.txt").write_text("./images/val/a.png\n")
    (pets / "b.txt").write_text("./images/val/b.png\n")
    return {"val": "[a.txt, b.txt]"}


def video_beside(pets):
    (pets / "images/val/clip.mp4").write_bytes(b"no video")
    return {}


@pytest.mark.parametrize("change", [in_subfolders, val_of_roboflow, list_with_a_comment, two_lists, video_beside])
def test_the_measurement_reads_the_validation_images_that_are_validated(pets, yaml_of, change):
    expected = [np.asarray(Image.open(pets / f"images/val/{name}.png"))[..., ::-1] for name in "ab"]
    yaml = yaml_of(**change(pets))
    found = validation_images(yaml, 3)
    assert len(found) == 2
    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_single_class_is_one_class_everywhere(pets, planned, monkeypatch):
    (pets / "labels/val/b.txt").write_text("1 0.5 0.5 0.4 0.4\n")
    plan = planned("trainer.single_cls=true", "trainer.fraction=1.0", names="[cat, dog]")
    assert "1 classes" in describe(plan)
    record, _ = run(plan, "")
    assert list(record.ap_by_class) == ["item"]
    trained = load_best(plan.folder / "train/weights/best.pt", plan.device)
    assert trained.names == plan.dataset.names == {0: "item"}
    run_on_disk = StudyRun(plan.folder.name, "baseline", 0, "finished", plan.folder)
    assert data_of(run_on_disk) == (pets, {0: "item"})
    given = {}
    monkeypatch.setattr(parity, "DetectionValidator", lambda args: given.update(args) or (lambda: MAP))
    network = SimpleNamespace(device=plan.device)
    parity.validate_deployed(network, str(plan.dataset.yaml), 64, 1, str(plan.folder), single_cls=True)
    assert given["single_cls"] is True


MAP = {"metrics/mAP50-95(B)": 0.0}


def test_the_classes_of_a_report_are_those_of_the_training(pets, planned):
    plan = planned()
    (plan.folder / "train").mkdir(parents=True)
    arguments = plan.folder / "train" / "args.yaml"
    arguments.write_text(yaml_library.safe_dump({"data": str(plan.dataset.yaml)}))
    there = StudyRun(plan.folder.name, "baseline", 0, "finished", plan.folder)
    assert data_of(there) == (pets, {0: "cat", 1: "dog"})
    plan.dataset.yaml.write_text("train: [")
    assert data_of(there) == (None, {})


def test_a_picture_stands_upright_in_the_report_as_in_the_training(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.new("RGB", (20, 40)).save(tmp_path / "a.jpg", exif=exif)
    image, _ = load_image(tmp_path / "a.jpg")
    assert image.shape == (20, 40, 3)


def test_an_edited_label_makes_another_run(pets, planned):
    before = planned().run_id
    (pets / "labels/val/b.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    assert planned().run_id != before
