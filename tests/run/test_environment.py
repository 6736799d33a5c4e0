"""What a record says about the machine and the software."""

import platform

import pynvml
import pytest
import torch

from yolo26_attention.latency.machine import driver_version
from yolo26_attention.run import environment as module
from yolo26_attention.run.environment import cpu_model, environment

CPU = torch.device("cpu")


def test_everything_that_latency_depends_on_is_there():
    found = environment(CPU)
    assert found["device"] == "cpu"
    assert found["torch_threads"] == torch.get_num_threads()
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert {"cpu", "cuda", "cudnn", "driver", "git", "python", "platform", "cpu_count"} <= set(found)
    assert torch.__version__.startswith(found["packages"]["torch"])
    assert "onnxruntime" in found["packages"]
    assert "tensorrt" not in found["packages"] or found["packages"]["tensorrt"]


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment(CPU)["git"] is None


def test_compute_capability_of_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert module.compute_capability(torch.device("cuda")) == "9.0"
    assert module.compute_capability(CPU) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz: fast\nmodel name\t: x\n",
            "Some CPU @ 2 GHz: fast",
            id="x86",
        ),
        pytest.param("processor\t: 0\nBogoMIPS\t: 50\n", "by platform", id="without"),
        pytest.param(None, "by platform", id="no-file"),
    ],
)
def test_cpu_by_the_name_that_its_maker_gives_it(text, expected, monkeypatch, tmp_path):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "by platform")
    assert cpu_model() == expected


def test_driver_is_unknown_where_nothing_tells(monkeypatch):
    def fail():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert driver_version() is None
