"""The patch of ONNX Runtime's sessions."""

import pytest
import torch

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def opened(monkeypatch):
    """Providers of the sessions that are opened, in place of opening them."""
    opened = []

    class OpenedError(Exception):
        """Ends the loading: there is no GPU here."""

    def session(*args, providers=None, **kwargs):
        opened.append(providers)
        raise OpenedError

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return opened, OpenedError


def test_sessions_on_a_gpu_do_not_round_to_tf32(opened, monkeypatch):
    from yolo26_attention.compat.onnxruntime import sessions_without_tf32

    seen, opened_error = opened
    session = onnxruntime.InferenceSession
    with pytest.raises(opened_error), sessions_without_tf32():
        onnxruntime.InferenceSession("x.onnx", None, providers=[("CUDAExecutionProvider", {"device_id": 1}), "CPU"])
    assert seen == [[("CUDAExecutionProvider", {"device_id": 1, "use_tf32": "0"}), "CPU"]]
    assert onnxruntime.InferenceSession is session


def test_ultralytics_opens_its_sessions_so_that_the_patch_applies(opened, tmp_path, monkeypatch):
    """On a CPU, by the very call that it makes on a GPU with other providers."""
    from yolo26_attention.compat import onnxruntime as patch
    from yolo26_attention.latency.backends import load_export

    seen, opened_error = opened
    monkeypatch.setattr(patch, "CUDA", "CPUExecutionProvider")
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(opened_error):
        load_export(tmp_path / "x.onnx", torch.device("cpu"))
    assert seen == [[("CPUExecutionProvider", {"use_tf32": "0"})]]
