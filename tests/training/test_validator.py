"""What the validator keeps gives the metrics that Ultralytics computed, and boxes where the labels have them."""

from itertools import count
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from ultralytics import YOLO
from ultralytics.utils import nms

from yolo26_attention.evaluation.detections import read_matches
from yolo26_attention.statistics import average_precision, mean_average_precision
from yolo26_attention.training.trainer import GraftTrainer
from yolo26_attention.training.validator import READ_BY_VALIDATION, MatchValidator, validate

# Folder and number, height and width, and objects: class and box in pixels.
IMAGES = {
    "val/a/1.png": ((96, 160), [(0, (10, 20, 42, 52)), (2, (60, 8, 140, 90))]),
    "val/b/1.png": ((160, 96), [(0, (0, 0, 20, 20)), (0, (30, 100, 90, 158))]),
    "val/b/2.png": ((64, 64), []),
    "val/b/3.png": ((120, 128), [(1, (64, 60, 128, 120))]),
}


class Guessing(MatchValidator):
    """In place of the network's detections: the objects, moved a little, among wrong ones, many equally confident."""

    def update_metrics(self, preds, batch):
        generator = torch.Generator().manual_seed(self.seen)
        guesses = []
        for number in range(len(preds)):
            own = self._prepare_batch(number, batch)
            boxes = torch.cat((own["bboxes"].reshape(-1, 4), torch.rand(12, 4, generator=generator) * 40))
            boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
            boxes += torch.rand(boxes.shape, generator=generator) * 4
            classes = torch.cat((own["cls"].float(), torch.randint(3, (12,), generator=generator).float()))
            conf = torch.randint(1, 4, (len(boxes),), generator=generator) / 4
            order = conf.argsort(descending=True)
            guesses.append({"bboxes": boxes[order], "cls": classes[order], "conf": conf[order], "extra": boxes[:, :0]})
        super().update_metrics(guesses, batch)


class Sure(MatchValidator):
    """In place of the network's raw predictions: one sure box per image, which then is to be suppressed or kept."""

    def postprocess(self, preds):
        images = len(preds[0] if isinstance(preds, list | tuple) else preds)
        return super().postprocess(torch.tensor([20.0, 20, 16, 16, 0.9, 0, 0]).reshape(1, 7, 1).repeat(images, 1, 1))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The YAML of a data set of images of several shapes."""
    root = tmp_path_factory.mktemp("shapes")
    for name, ((height, width), objects) in IMAGES.items():
        image, label = root / "images" / name, (root / "labels" / name).with_suffix(".txt")
        image.parent.mkdir(parents=True, exist_ok=True)
        label.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), np.full((height, width, 3), 114, np.uint8))
        rows = []
        for cls, (x1, y1, x2, y2) in objects:
            center, size = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height), ((x2 - x1) / width, (y2 - y1) / height)
            rows.append(" ".join([str(cls), *(f"{value:.6f}" for value in (*center, *size))]))
        label.write_text("\n".join(rows))
    file = root / "data.yaml"
    file.write_text(f"path: {root}\ntrain: images/val\nval: images/val\nnames: [a, b, c]\n")
    return file


def validated(data, folder, validator, batch=3):
    metrics = YOLO("yolo26n.yaml").val(
        validator=validator.writing_to(folder / "matches.npz"),
        data=str(data),
        imgsz=96,
        batch=batch,
        device="cpu",
        plots=False,
        save_dir=str(folder / "val"),
    )
    return metrics, folder / "matches.npz"


def test_kept_matches_give_ultralytics_map(data, tmp_path):
    metrics, path = validated(data, tmp_path, Guessing)
    kept = read_matches(path)
    assert 0.05 < metrics.box.map < 0.95
    assert mean_average_precision(kept.matches) == pytest.approx((metrics.box.map, metrics.box.map50), abs=1e-9)
    assert average_precision(kept.matches) == pytest.approx(metrics.box.all_ap, abs=1e-9)
    assert kept.ap_by_class({0: "a", 1: "b", 2: "c"}) == pytest.approx(dict(zip("abc", metrics.box.ap, strict=True)))


def test_images_and_boxes_are_the_originals(data, tmp_path):
    _, path = validated(data, tmp_path, Guessing)
    kept = read_matches(path)
    assert list(kept.images) == [f"images/{name}" for name in IMAGES]
    assert kept.shapes.tolist() == [list(shape) for shape, _ in IMAGES.values()]
    for number, (_, objects) in enumerate(IMAGES.values()):
        own = kept.object_image == number
        assert kept.object_cls[own].tolist() == [cls for cls, _ in objects]
        assert kept.object_boxes[own] == pytest.approx(np.array([box for _, box in objects]).reshape(-1, 4), abs=0.01)
        assert np.sum(kept.image == number) == len(objects) + 12
    right = np.flatnonzero(kept.tp[:, 0])
    objects = {n: kept.object_boxes[kept.object_image == kept.image[n]] for n in right}
    off = [np.abs(objects[n] - kept.boxes[n]).max(axis=1).min() for n in right]
    assert len(off) >= 3
    assert max(off) < 10


def test_a_slow_machine_scores_every_image(data, tmp_path, monkeypatch):
    quick = read_matches(validated(data, tmp_path, Sure, 4)[1])
    times = count(step=100)
    monkeypatch.setattr(nms, "time", SimpleNamespace(time=lambda: next(times)))
    (tmp_path / "slow").mkdir()
    slow = read_matches(validated(data, tmp_path / "slow", Sure, 4)[1])
    assert sorted(slow.image) == sorted(quick.image) == [0, 1, 2, 3]


def test_size_of_a_batch_changes_nothing(data, tmp_path):
    first, second = (tmp_path / name for name in ("one", "four"))
    kept = []
    for folder, batch in ((first, 1), (second, 4)):
        folder.mkdir()
        kept.append(read_matches(validated(data, folder, MatchValidator, batch)[1]))
    assert np.array_equal(kept[0].images, kept[1].images)
    assert np.array_equal(kept[0].object_image, kept[1].object_image)


def test_one_process_of_several_writes_no_part_of_the_images(data, tmp_path, monkeypatch):
    monkeypatch.setattr("yolo26_attention.training.validator.RANK", 0)
    _, path = validated(data, tmp_path, Guessing)
    assert not path.exists()


def test_network_that_finds_nothing(data, tmp_path):
    class Blind(MatchValidator):
        def update_metrics(self, preds, batch):
            super().update_metrics([{key: value[:0] for key, value in pred.items()} for pred in preds], batch)

    metrics, path = validated(data, tmp_path, Blind)
    kept = read_matches(path)
    assert len(kept.conf) == 0
    assert mean_average_precision(kept.matches) == (metrics.box.map, metrics.box.map50) == (0, 0)


@pytest.mark.parametrize(
    ("training", "batch", "device", "expected"),
    [
        pytest.param({"val_batch": 32, "precision": "fp16"}, 128, "cuda", {"batch": 32, "quantize": 16}, id="gpus"),
        pytest.param({"val_batch": 64, "precision": "bf16"}, -1, "cuda", {"batch": 64, "quantize": 16}, id="share"),
        pytest.param({"val_batch": 4, "precision": "bf16"}, 4, "cpu", {"batch": 4, "quantize": None}, id="cpu"),
        pytest.param({"val_batch": 8, "precision": "fp32"}, 4, "cuda", {"batch": 8, "quantize": None}, id="fp32"),
        pytest.param({"batch": 64, "gpus": 4}, 128, "cuda", {"batch": 32, "quantize": None}, id="earlier-version"),
        pytest.param({}, 8, "cuda", {"batch": 16, "quantize": None}, id="nothing-recorded"),
    ],
)
def test_a_checkpoint_is_validated_as_in_its_training(training, batch, device, expected, monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(
        "yolo26_attention.training.validator.YOLO",
        lambda _: SimpleNamespace(val=lambda **given: seen.update(given) or SimpleNamespace(results_dict={})),
    )
    monkeypatch.setattr("yolo26_attention.training.validator.find_device", torch.device)
    arguments = dict.fromkeys(READ_BY_VALIDATION) | {"data": "d.yaml", "imgsz": 64, "batch": batch, "device": device}
    validate(tmp_path / "best.pt", arguments, training, tmp_path / "matches.npz")
    assert {name: seen[name] for name in expected} == expected


def test_trainer_writes_beside_its_journal_and_nothing_without_one(tmp_path):
    with_journal = GraftTrainer.configured(GraftTrainer.grafts, tmp_path / "journal.jsonl")
    for trainer, path in ((with_journal, tmp_path / "matches.npz"), (GraftTrainer, None)):
        made = trainer.__new__(trainer)
        made.test_loader, made.save_dir, made.args, made.callbacks = None, tmp_path, None, {}
        assert made.get_validator().path == path
