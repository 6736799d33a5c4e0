"""The precision of a measurement: chosen by the device, without TF32, and named."""

import os

import pytest
import torch

from yolo26_attention.config.errors import ConfigError
from yolo26_attention.config.schema import Backend, LatencyConfig, Precision
from yolo26_attention.latency import timed as module
from yolo26_attention.latency.implementations import implementations
from yolo26_attention.latency.measure import measure
from yolo26_attention.latency.parity import largest_allowed
from yolo26_attention.latency.precision import measured_precision, without_tf32
from yolo26_attention.plan.arguments import check_latency
from yolo26_attention.run import measuring

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def rounding():
    """Whether products and convolutions of float32 are rounded to TF32 on a GPU."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_tensorrt_is_told_to_build_without_tf32(monkeypatch):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    with without_tf32():
        assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert "NVIDIA_TF32_OVERRIDE" not in os.environ
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    with without_tf32():
        assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "1"


@pytest.mark.parametrize(
    ("asked", "gpu", "used"),
    [(None, True, "fp16"), (None, False, "fp32"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_precision_is_that_of_the_device_unless_it_is_given(asked, gpu, used):
    assert measured_precision(asked and Precision(asked), gpu) == Precision(used)


def test_a_measurement_is_looked_up_by_the_precision_that_it_had(composed):
    assert measuring.asked(composed().plain(), "A Card")["precision"] == "fp16"
    assert measuring.asked(composed().plain(), "cpu")["precision"] == "fp32"
    assert measuring.asked(composed("latency.precision=bf16").plain(), "A Card")["precision"] == "bf16"


@pytest.mark.parametrize("backend", ["eager", "compiled", "cuda_graph"])
def test_half_precision_is_possible_where_it_is_the_default(backend):
    check_latency(LatencyConfig(backend=Backend(backend)), CUDA)


def test_half_precision_that_is_asked_for_on_a_cpu_is_refused():
    with pytest.raises(ConfigError, match=r"latency\.precision=fp16 is not possible .* use fp32 or bf16"):
        check_latency(LatencyConfig(precision=Precision.fp16), CPU)


def test_nothing_is_rounded_to_tf32_while_networks_are_measured(stock, grafted, images, options, monkeypatch):
    seen = []
    time_in_turn = module.time_in_turn

    def watched(*args, **kwargs):
        seen.append(rounding())
        return time_in_turn(*args, **kwargs)

    monkeypatch.setattr(module, "time_in_turn", watched)
    before = rounding()
    assert before[1], "PyTorch rounds convolutions unless told otherwise"
    found = measure(grafted, stock, options, images=images, imgsz=64, device=CPU).latency
    assert set(seen) == {(False, False)}
    assert rounding() == before
    assert found.implementations == {"p3": ["tiled"]}


def test_rounding_is_restored_after_an_error():
    before = rounding()
    with pytest.raises(ZeroDivisionError), without_tf32():
        1 / (rounding() == (True, True))
    assert rounding() == before


def test_stock_network_has_no_implementation_of_attention(stock):
    assert implementations(stock, torch.zeros(1, 3, 64, 64)) == {}


def test_what_tf32_of_a_runtime_makes_differ_is_no_error_on_a_gpu():
    emulated = 2.5e-3  # the largest difference of a trained network's predictions when every convolution rounds to TF32
    assert largest_allowed(CPU) < emulated < largest_allowed(CUDA)
