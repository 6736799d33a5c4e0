"""Each patch of Ultralytics is needed, and does what it says."""

import copy
import pickle
import random
from itertools import count
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from ultralytics.data import dataset
from ultralytics.data.base import BaseDataset
from ultralytics.nn import tasks
from ultralytics.nn.tasks import DetectionModel, torch_safe_load
from ultralytics.utils import LOGGER, checks, downloads, nms, torch_utils

from yolo26_attention.compat.ultralytics import (
    amp_check_at_hand,
    fuse_grafts,
    keep_random_stream,
    replace_label_cache,
    restricted_loading,
    without_flops_line,
    without_nms_time_limit,
)
from yolo26_attention.detector.grafted import grafted_attention
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock
from yolo26_attention.evaluation.flops import count_parameters


def test_a_network_is_described_without_its_flops(monkeypatch):
    monkeypatch.setattr(torch_utils, "get_flops", lambda *_, **__: 33.6)
    lines = []
    monkeypatch.setattr(LOGGER, "info", lines.append)
    model = DetectionModel("yolo26n.yaml", verbose=False)
    model.info()
    with without_flops_line():
        model.info()
    model.info()
    assert ["GFLOPs" in line for line in lines if "parameters" in line] == [True, False, True]


def crowded(images):
    """Raw predictions (images, 4 + 1, 2) with one sure box per image."""
    boxes = torch.tensor([[50.0, 150], [50, 150], [20, 20], [20, 20], [0.9, 0]])
    return boxes.repeat(images, 1, 1)


def test_a_slow_suppression_leaves_no_image_without_detections(monkeypatch):
    times = count(step=100)
    monkeypatch.setattr(nms, "time", SimpleNamespace(time=lambda: next(times)))
    assert [len(found) for found in nms.non_max_suppression(crowded(3))] == [1, 0, 0]
    with without_nms_time_limit():
        assert [len(found) for found in nms.non_max_suppression(crowded(3))] == [1, 1, 1]


class Overflowing(nn.Module):
    """A network that is finite in float32 and not in half precision."""

    def forward(self, x):
        autocast = torch.is_autocast_enabled("cpu")
        return x.flatten(1) * (float("inf") if autocast else 1.0)


class OnCard:
    """A network as Ultralytics' check of mixed precision sees it: parameters on a card."""

    stride = torch.tensor([8.0, 16.0, 32.0])

    def parameters(self):
        yield SimpleNamespace(device=Card())


class Card(str):
    """A CUDA device whose computations run on the CPU."""

    type = "cuda"

    def __new__(cls):
        return super().__new__(cls, "cpu")


@pytest.fixture
def card(monkeypatch):
    """A card of that name; every attempt to download fails the test."""

    def named(name):
        def forbidden(*args, **kwargs):
            raise AssertionError("downloads")

        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
        for function in ("safe_download", "attempt_download_asset"):
            monkeypatch.setattr(downloads, function, forbidden)
            monkeypatch.setattr(tasks, function, forbidden, raising=False)
        # Autocast of the device on which the network really computes.
        monkeypatch.setattr(torch_utils, "autocast", lambda enabled, device: torch.autocast("cpu", torch.bfloat16))

    return named


@pytest.mark.parametrize(
    ("name", "build", "works"),
    [
        pytest.param("NVIDIA H100", lambda: DetectionModel("yolo26n.yaml", verbose=False), True, id="works"),
        pytest.param("NVIDIA H100", Overflowing, False, id="overflows"),
        pytest.param(
            "NVIDIA GeForce GTX 1660",
            lambda: DetectionModel("yolo26n.yaml", verbose=False),
            False,
            id="refused-by-name",
        ),
    ],
)
def test_mixed_precision_is_checked_without_a_download(name, build, works, card, monkeypatch):
    card(name)
    before = torch.get_rng_state()
    with amp_check_at_hand(build):
        assert checks.check_amp(OnCard()) is works
    assert torch.equal(torch.get_rng_state(), before)


def test_ultralytics_own_check_of_mixed_precision_downloads(card, monkeypatch, tmp_path):
    card("NVIDIA H100")
    monkeypatch.setattr("ultralytics.utils.WEIGHTS_DIR", tmp_path)
    told = []
    monkeypatch.setattr(LOGGER, "info", told.append)
    checks.check_amp(OnCard())
    assert any("downloading yolo26n.pt" in line for line in told)


class Foreign:
    """A class that no checkpoint of a YOLO holds."""


def test_a_checkpoint_with_a_class_that_is_not_known_is_refused(tmp_path):
    path = tmp_path / "foreign.pt"
    torch.save({"model": Foreign()}, path)
    assert isinstance(torch_safe_load(path)[0]["model"], Foreign), "Ultralytics loads it"
    with restricted_loading([]), pytest.raises(TypeError) as refused:
        torch_safe_load(path)
    assert isinstance(refused.value.__cause__, pickle.UnpicklingError)
    with restricted_loading([Foreign]):
        assert isinstance(torch_safe_load(path)[0]["model"], Foreign)
    assert isinstance(torch_safe_load(path)[0]["model"], Foreign), "the restriction ends with its block"


def test_label_caches_are_read_and_told_apart_by_other_functions(monkeypatch):
    for name in ("load_dataset_cache_file", "get_hash"):
        monkeypatch.setattr(dataset, name, getattr(dataset, name))
    replace_label_cache(lambda path: {"read": path}, lambda paths: "hash")
    assert dataset.load_dataset_cache_file("here") == {"read": "here"}
    assert dataset.get_hash(["here"]) == "hash"


def test_a_look_for_room_draws_no_random_number(monkeypatch):
    for name in ("check_cache_ram", "check_cache_disk"):
        monkeypatch.setattr(BaseDataset, name, lambda self: random.random())
    random.seed(0)
    expected = random.random()
    keep_random_stream()
    random.seed(0)
    BaseDataset.check_cache_ram(None)
    BaseDataset.check_cache_disk(None)
    assert random.random() == expected


def test_fusing_a_network_folds_the_constants_of_its_graft():
    model = build_stock("yolo26n", classes=3, channels=3).eval()
    graft(model, Graft("yolo26_attention.attention.acmix.ACmix", {"kernel_att": 3}, ("p3",)))
    fuse_grafts()
    parameters = count_parameters(grafted_attention(model)["p3"])
    fused = copy.deepcopy(model).fuse(verbose=False)
    assert hasattr(grafted_attention(fused)["p3"], "deployed")
    assert count_parameters(grafted_attention(fused)["p3"]) == parameters
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(fused(x)[0], model(x)[0], rtol=1e-3, atol=1e-3)
