"""Each patch of Ultralytics is needed, and does what it says."""

import copy
import pickle
import random

import pytest
import torch
from ultralytics.data import dataset
from ultralytics.data.base import BaseDataset
from ultralytics.nn.tasks import DetectionModel, torch_safe_load
from ultralytics.utils import LOGGER, torch_utils

from yolo26_attention.compat.ultralytics import (
    fuse_grafts,
    keep_random_stream,
    replace_label_cache,
    restricted_loading,
    without_flops_line,
)
from yolo26_attention.detector.grafting import Graft, graft, grafted_attention
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
