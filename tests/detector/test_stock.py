"""The stock model, and which of its tensors come from a checkpoint."""

import copy

import pytest
import torch

from yolo26_attention.detector.stock import build_stock, check_weights, loaded_tensors
from yolo26_attention.detector.trust import Trust


def test_building_leaves_the_random_stream():
    state = torch.get_rng_state()
    build_stock("yolo26n", classes=10, channels=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_loaded_tensors_are_those_with_the_same_values():
    model = build_stock("yolo26n", classes=10, channels=3)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.model[0].conv.weight += 1
    assert len(loaded_tensors(model, model)) == 708
    assert len(loaded_tensors(model, other)) == 707


def test_checkpoint_of_another_size_is_refused(tmp_path):
    checkpoint = tmp_path / "yolo26x.pt"
    torch.save({"model": build_stock("yolo26x", classes=10, channels=3), "train_args": {}}, checkpoint)
    model = build_stock("yolo26n", classes=10, channels=3)
    with pytest.raises(ValueError, match=r"yolo26x.pt fits no layer of this model"):
        check_weights(checkpoint, model, Trust())
