"""A training that is resumed on other hardware names what differs, and what that means."""

from types import SimpleNamespace

import pytest
import torch

from yolo26_attention.training.hardware import changes, hardware

ONE = {"device": "cuda", "gpu": "NVIDIA H100", "gpus": 1, "precision": "fp16", "workers": 8}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"gpu": "Tesla T4"}, ["gpu"], id="gpu"),
        pytest.param(
            {"device": "cpu", "gpu": None, "precision": "fp32", "workers": 0},
            ["device", "precision", "workers"],
            id="cpu",
        ),
        pytest.param({"gpus": 2}, ["gpus"], id="gpus"),
        pytest.param({"workers": 4}, ["workers"], id="workers"),
    ],
)
def test_differences_are_named_with_what_they_mean(other, expected):
    found = changes(ONE, ONE | other)
    assert list(found) == expected
    assert all(change["now"] == (ONE | other)[key] and change["means"] for key, change in found.items())


def test_what_an_earlier_version_did_not_keep_is_no_difference():
    assert changes({}, ONE) == {}


def test_hardware_of_a_trainer_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    trainer = SimpleNamespace(
        device=torch.device("cuda", 1),
        world_size=0,
        amp=True,
        args=SimpleNamespace(amp="bf16"),
        train_loader=SimpleNamespace(num_workers=3),
    )
    assert hardware(trainer) == {"device": "cuda", "gpu": "card 1", "gpus": 1, "precision": "bf16", "workers": 3}
