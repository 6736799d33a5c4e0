"""Backends: what cannot run is refused with what would; what runs computes what PyTorch computes."""

import copy
import shutil
from functools import partial
from pathlib import Path

import onnxruntime
import pytest
import torch
import ultralytics

from yolo26_attention.attention.acmix import ACmix
from yolo26_attention.latency import backends
from yolo26_attention.latency.backends import NEEDED_BY_INT8, check_backend, check_format, deploy
from yolo26_attention.latency.networks import CapturedGraphs, Compiled, InPrecision, predictions
from yolo26_attention.latency.parity import check_parity

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("backend", "precision", "device", "message"),
    [
        pytest.param("cuda_graph", "fp32", CPU, r"backend=cuda_graph runs on cuda, .* use eager, compiled", id="graph"),
        pytest.param("tensorrt", "fp32", CPU, r"backend=tensorrt runs on cuda, but this run is on cpu", id="tensorrt"),
        pytest.param("openvino", "fp32", CUDA, r"backend=openvino runs on cpu", id="openvino"),
        pytest.param("eager", "fp16", CPU, r"precision=fp16 is not possible .* use fp32 or bf16", id="half"),
        pytest.param("onnxruntime", "bf16", CPU, r"precision=bf16 is not possible .* use fp32", id="bf16"),
    ],
)
def test_impossible_is_refused_with_what_works(backend, precision, device, message):
    with pytest.raises(ValueError, match=message):
        check_backend(backend, precision, device)


@pytest.mark.parametrize(
    ("backend", "device", "line"),
    [
        pytest.param(
            "onnxruntime", CPU, r"needs onnx, onnxslim, onnxruntime; .*pip install -e '.\[export\]'", id="onnx"
        ),
        pytest.param("openvino", CPU, r"needs openvino; .*pip install -e '.\[openvino\]'", id="openvino"),
        pytest.param("tensorrt", CUDA, r"needs onnx, .*tensorrt; .*pip install -e '.\[tensorrt\]'", id="tensorrt"),
    ],
)
def test_missing_package_is_refused_with_the_line_that_installs_it(backend, device, line, monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=line):
        check_backend(backend, "fp32", device)


def test_onnxruntime_without_cuda(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ValueError, match="pip install onnxruntime-gpu"):
        check_backend("onnxruntime", "fp32", CUDA)


def test_compiled_without_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ValueError, match=r"needs a C\+\+ compiler .* apt-get install g\+\+"):
        check_backend("compiled", "fp32", CPU)


@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
def test_possible_passes(backend):
    check_backend(backend, "fp32", CPU)


def test_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"format=onxx is unknown; .* onnx, openvino, engine"):
        check_format("onxx")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it works")
def test_engine_without_gpu():
    with pytest.raises(ValueError, match="needs a CUDA device"):
        check_format("engine")


def test_eight_bits_name_the_package_that_they_need(monkeypatch):
    installed = {"openvino"}
    monkeypatch.setattr(backends, "find_spec", lambda name: object() if name in installed else None)
    assert check_format("openvino") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"^int8=true with format=openvino needs nncf; .* pip install 'nncf>=2"):
        check_format("openvino", int8=True)
    installed.add("nncf")
    assert check_format("openvino", int8=True) == torch.device("cpu")


def test_the_requirements_of_eight_bits_are_those_of_ultralytics():
    folder = Path(ultralytics.__file__).parent
    for file in ("engine/exporter.py", "utils/export/engine.py"):
        assert any(
            f'"{requirement[1:-1]}"' in (folder / file).read_text() for _, requirement in NEEDED_BY_INT8.values()
        )


def test_a_deployed_network_has_folded_constants_and_the_given_one_has_not(grafted, tmp_path):
    deployed = deploy(copy.deepcopy(grafted), "eager", "fp32", CPU, imgsz=64, batch=1, folder=tmp_path)
    networks = deployed.network.backend.model, grafted
    folded = [[hasattr(m, "deployed") for m in model.modules() if isinstance(m, ACmix)] for model in networks]
    assert folded == [[True], [False]]


def test_eager_computes_what_the_network_does(grafted, tmp_path):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    deployed = deploy(copy.deepcopy(grafted), "eager", "fp32", CPU, imgsz=64, batch=1, folder=tmp_path)
    with torch.no_grad():
        found, expected = predictions(deployed.network(x)), predictions(grafted(x))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert deployed.file is None


def test_bf16_answers_in_float32_and_nearly_the_same(grafted, images, tmp_path):
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    deployed = deploy(copy.deepcopy(grafted), "eager", "bf16", CPU, imgsz=64, batch=1, folder=tmp_path)
    with torch.no_grad():
        assert predictions(deployed.network(x)).dtype == torch.float32
        parity = check_parity(deployed, grafted, "eager", "bf16", [x], None)
    assert 1e-4 < parity.largest_difference < 0.1
    assert isinstance(deployed.network.backend.model, InPrecision)


SHAPES = [(1, 3, 64, 64), (2, 3, 96, 64), (1, 3, 32, 128), (1, 3, 160, 96)]


@pytest.mark.parametrize("fmt", ["onnx", "torchscript"])
def test_a_dynamic_export_computes_the_same_at_any_size(fmt, grafted, tmp_path):
    file = backends.export(grafted, fmt, imgsz=64, folder=tmp_path, dynamic=True)
    exported = backends.load_export(file, CPU).network
    for shape in SHAPES:
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            found, expected = predictions(exported(x)), predictions(grafted(x))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("fmt", ["onnx", "torchscript"])
def test_an_export_of_one_size_refuses_others_also_with_as_many_pixels(fmt, grafted, tmp_path):
    file = backends.export(grafted, fmt, imgsz=64, folder=tmp_path)
    exported = backends.load_export(file, CPU).network
    exported(torch.rand(SHAPES[0]))
    for shape in SHAPES[1:]:
        with pytest.raises((RuntimeError, onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument)) as refused:
            exported(torch.rand(shape))
        assert "64" in str(refused.value)


def test_export_leaves_the_network_as_it_was(stock, tmp_path, monkeypatch):
    given = []

    class Exporter:
        def __init__(self, overrides):
            given.append(overrides)

        def __call__(self, model):
            assert model is not stock
            torch.set_num_threads(3)
            return str(tmp_path / "best.onnx")

    monkeypatch.setattr(backends, "Exporter", Exporter)
    before, threads = set(vars(stock)), torch.get_num_threads()
    assert backends.export(stock, "onnx", imgsz=64, folder=tmp_path, name="best") == tmp_path / "best.onnx"
    assert set(vars(stock)) == before
    assert torch.get_num_threads() == threads
    assert (given[0]["format"], given[0]["imgsz"]) == ("onnx", 64)
    assert given[0]["batch"] == 1
    assert not {"quantize", "dynamic"} & set(given[0])
    backends.export(stock, "engine", imgsz=64, folder=tmp_path, batch=16, half=True)
    assert (given[1]["quantize"], given[1]["batch"]) == (16, 16)


@pytest.mark.parametrize(
    ("fmt", "options", "message"),
    [
        pytest.param(
            "torchscript", {"opset": 17}, r"opset=17 is not an option of format=torchscript; .* onnx", id="opset"
        ),
        pytest.param("ncnn", {"dynamic": True}, r"dynamic=True is not an option of format=ncnn", id="dynamic"),
        pytest.param(
            "torchscript", {"int8": True}, r"int8=true is not possible with format=torchscript; use", id="int8"
        ),
        pytest.param("onnx", {"int8": True, "half": True}, r"half=true and int8=true exclude each other", id="both"),
    ],
)
def test_an_option_that_a_format_does_not_take_is_refused(fmt, options, message):
    with pytest.raises(ValueError, match=message):
        backends.export_arguments(fmt, options)


def test_options_are_those_of_ultralytics():
    asked = {
        "dynamic": False,
        "batch": 1,
        "half": False,
        "int8": True,
        "simplify": False,
        "nms": None,
        "data": "d.yaml",
    }
    assert backends.export_arguments("onnx", asked) == {
        "simplify": False,
        "quantize": 8,
        "data": "d.yaml",
        "batch": 1,
    }
    assert backends.export_arguments("onnx", asked | {"int8": False, "half": True}) == {
        "simplify": False,
        "quantize": 16,
        "batch": 1,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "precision", "largest"),
    [
        pytest.param("onnxruntime", "fp32", 1e-3, id="onnxruntime"),
        pytest.param("openvino", "fp32", 1e-3, id="openvino"),
        pytest.param("openvino", "bf16", 0.1, id="openvino-bf16"),
        pytest.param("compiled", "fp32", 1e-3, id="compiled"),
    ],
)
def test_backend_computes_what_pytorch_does_for_other_batches_too(backend, precision, largest, grafted, tmp_path):
    if backend == "openvino":
        pytest.importorskip("openvino")
    draw = torch.Generator().manual_seed(0)
    inputs = [torch.rand(shape, generator=draw) for shape in ((1, 3, 64, 64), (2, 3, 64, 64))]
    deployed = deploy(copy.deepcopy(grafted), backend, precision, CPU, imgsz=64, batch=2, folder=tmp_path)
    with torch.no_grad():
        parity = check_parity(deployed, grafted, backend, precision, inputs, None)
    assert 0 < parity.largest_difference < largest


@pytest.mark.slow
def test_compiled_stock_does_not_answer_for_the_grafted_network(stock, grafted, monkeypatch):
    """Dynamo overlooks hooks unless told otherwise, and runs what it compiled for another network of the class."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    networks = [Compiled(copy.deepcopy(model)) for model in (stock, grafted, stock)]
    with torch.inference_mode():
        answers = [network(x) for network in networks]
        assert torch.equal(answers[1], predictions(grafted(x)))
    assert torch.equal(answers[0], answers[2])
    assert not torch.equal(answers[0], answers[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backend", ["eager", "compiled", "cuda_graph"])
@pytest.mark.parametrize(
    ("precision", "largest"), [pytest.param("fp32", 1e-2, id="fp32"), pytest.param("fp16", 0.1, id="fp16")]
)
def test_backend_on_a_gpu(backend, precision, largest, grafted, tmp_path):
    inputs = [torch.rand(shape, device="cuda") for shape in ((1, 3, 64, 64), (2, 3, 64, 64))]
    deployed = deploy(copy.deepcopy(grafted).cuda(), backend, precision, CUDA, imgsz=64, batch=2, folder=tmp_path)
    with torch.inference_mode():
        parity = check_parity(
            deployed, grafted, backend, precision, [x.half() if precision == "fp16" else x for x in inputs], None
        )
    assert parity is None or parity.largest_difference < largest


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_captured_graph_answers_for_each_input():
    network = torch.nn.Conv2d(3, 4, 3).cuda()
    graphs = CapturedGraphs(network)
    with torch.inference_mode():
        for shape in ((1, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 8)):
            x = torch.rand(shape, device="cuda")
            torch.testing.assert_close(graphs(x), network(x))
    assert len(graphs.graphs) == 2
