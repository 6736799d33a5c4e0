"""The patch of OpenVINO's networks."""

import sys
from types import SimpleNamespace

import pytest
import torch

HINT = "INFERENCE_PRECISION_HINT"


class OpenedError(Exception):
    """Ends the loading: OpenVINO may not be installed."""


@pytest.fixture
def openvino(monkeypatch):
    """OpenVINO with a CPU that has the hint and another device that has none; it loads nothing."""

    class Core:
        available_devices = ("CPU", "NPU")

        def __init__(self):
            self.told = {}

        def get_property(self, device, name):
            assert name == "SUPPORTED_PROPERTIES"
            return [HINT] if device == "CPU" else []

        def set_property(self, device, properties):
            self.told[device] = properties

        def read_model(self, model, weights):
            raise OpenedError(self.told)

    module = SimpleNamespace(Core=Core)
    monkeypatch.setitem(sys.modules, "openvino", module)
    monkeypatch.delitem(sys.modules, "yolo26_attention.compat.openvino", raising=False)
    yield module
    sys.modules.pop("yolo26_attention.compat.openvino", None)


def test_devices_that_know_the_hint_compute_in_float32(openvino):
    from yolo26_attention.compat.openvino import networks_in_float32

    original = openvino.Core
    with networks_in_float32():
        assert openvino.Core().told == {"CPU": {HINT: "f32"}}
    assert openvino.Core is original


def test_ultralytics_compiles_its_networks_so_that_the_patch_applies(openvino, tmp_path, monkeypatch):
    from ultralytics.nn.backends import openvino as upstream

    from yolo26_attention.latency.backends import load_export

    monkeypatch.setattr(upstream, "check_requirements", lambda *_: None)
    folder = tmp_path / "best_openvino_model"
    folder.mkdir()
    (folder / "best.xml").write_text("")
    with pytest.raises(OpenedError) as error:
        load_export(folder, torch.device("cpu"))
    assert error.value.args == ({"CPU": {HINT: "f32"}},)


def test_an_installed_openvino_computes_in_float32():
    real = pytest.importorskip("openvino")
    from yolo26_attention.compat.openvino import networks_in_float32

    with networks_in_float32():
        core = real.Core()
    opset = real.opset13
    given = opset.parameter([1, 4], real.Type.f32)
    compiled = core.compile_model(real.Model([opset.add(given, given)], [given]), "CPU")
    assert compiled.get_property(HINT) == real.Type.f32
