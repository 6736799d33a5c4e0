"""Variants differ in the attention and in nothing else."""

import copy

import pytest
import torch
from ultralytics import YOLO

from yolo26_attention.plan.checks import check
from yolo26_attention.training.trainer import GraftTrainer

AUGMENTED = ("trainer.epochs=2", "trainer.mosaic=1.0", "trainer.mixup=0.5", "trainer.fliplr=0.5", "trainer.degrees=10")
VARIANTS = [
    pytest.param(["attention=acmix"], id="acmix"),
    pytest.param(["attention=acmix", "placement=p3", "attention.kernel_att=3"], id="acmix-p3"),
    pytest.param(["attention=cbam"], id="cbam"),
    pytest.param(["attention=splat", "placement=p5"], id="splat-p5"),
]


def observe(config, folder):
    """Train; the stock tensors at the start, every image that went in, and Ultralytics' own rows of metrics."""
    plan = check(config)
    trainer = GraftTrainer.configured(plan.grafts)(overrides={**plan.arguments, "save_dir": str(folder)})
    start, batches = {}, []
    trainer.add_callback(
        "on_train_start",
        lambda t: start.update({k: v.clone() for k, v in t.model.state_dict().items() if ".attention." not in k}),
    )
    preprocess = trainer.preprocess_batch

    def keep(batch):
        batches.append((batch["im_file"], batch["img"].clone(), batch["bboxes"].clone()))
        return preprocess(batch)

    trainer.preprocess_batch = keep
    trainer.train()
    return start, batches, rows(folder), trainer.metrics


def rows(folder):
    """results.csv without the column of seconds."""
    return [line.split(",")[:1] + line.split(",")[2:] for line in (folder / "results.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def baseline(tiny, tmp_path_factory):
    return observe(tiny("attention=baseline", *AUGMENTED), tmp_path_factory.mktemp("baseline"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_stock_weights_and_images_are_the_same(variant, baseline, tiny, tmp_path):
    start, batches, _, _ = observe(tiny(*variant, *AUGMENTED), tmp_path)
    assert len(start) == 708
    assert all(torch.equal(start[name], tensor) for name, tensor in baseline[0].items())
    assert len(batches) == len(baseline[1]) > 0
    for (files, images, boxes), (other_files, other_images, other_boxes) in zip(batches, baseline[1], strict=True):
        assert files == other_files
        assert torch.equal(images, other_images)
        assert torch.equal(boxes, other_boxes)


def test_another_seed_is_another_start_and_another_order(baseline, tiny, tmp_path):
    start, batches, _, _ = observe(tiny("attention=baseline", "seed=1", *AUGMENTED), tmp_path)
    assert not torch.equal(start["model.0.conv.weight"], baseline[0]["model.0.conv.weight"])
    assert [files for files, _, _ in batches] != [files for files, _, _ in baseline[1]]


def test_baseline_is_plain_ultralytics_bit_for_bit(baseline, tiny, tmp_path):
    arguments = copy.deepcopy(check(tiny("attention=baseline", *AUGMENTED)).arguments)
    model = YOLO("yolo26n.yaml")
    model.train(**{**arguments, "save_dir": str(tmp_path)})
    assert rows(tmp_path) == baseline[2]
    ours = baseline[3]
    assert {name: model.trainer.metrics[name] for name in ours} == ours
