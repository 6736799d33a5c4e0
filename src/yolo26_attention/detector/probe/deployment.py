"""Check that a module computes the same when deployed: fused with the network, exported, or compiled."""

import copy
import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from ultralytics.nn.tasks import BaseModel

from yolo26_attention.compat.pytorch import AnyBatchNorm
from yolo26_attention.detector.blame import last_line
from yolo26_attention.detector.probe.candidate import ODD, SQUARE, Candidate, close

RUNTIMES = {"onnxruntime": "onnx", "tensorrt": "onnx", "openvino": "openvino", "compiled": "compiled"}


class Alone(BaseModel):
    """A module as a whole network, for Ultralytics' `fuse`."""

    def __init__(self, module: nn.Module):
        nn.Module.__init__(self)
        self.model = nn.Sequential(module)

    def is_fused(self) -> bool:
        """Always False, because the network has not been fused yet."""
        return False

    def info(self, *args: Any, **kwargs: Any) -> None:
        """Print nothing."""


def check_fusing(candidate: Candidate, trained: nn.Module) -> None:
    """Fuse it as the network is for validation, measurement and export, with perturbed batch norms.

    Raises:
        UnfitError: if its output changes.
    """
    module = copy.deepcopy(trained).eval()
    for part in module.modules():
        if isinstance(part, AnyBatchNorm):
            _disturb(part)
    x = candidate.map(ODD, 1)
    way_out = (
        "Ultralytics replaces the forward of every Conv that has a bn, and of its subclasses; inherit "
        "from nn.Module and contain a Conv instead, or rename its batch norm"
    )
    with torch.no_grad():
        before = candidate.run(module, x)
        try:
            network: Any = Alone(module).eval()
            network.fuse(verbose=False)
            after = module(x)
        except (Exception, SystemExit) as error:
            raise candidate.unfit(
                f"fails once the network is fused, as in validation: {last_line(error)}", way_out
            ) from error
    if not isinstance(after, Tensor) or after.shape != before.shape or not close(before, after):
        raise candidate.unfit("gives another output once the network is fused, as in validation", way_out)


def check_export(candidate: Candidate, trained: nn.Module, runtime: str) -> None:
    """Export it alone, or compile it as a whole.

    Raises:
        UnfitError: if that fails.
    """
    module = copy.deepcopy(trained).eval()
    x = candidate.map(SQUARE, 1)
    attempt = {"onnx": _onnx, "openvino": _openvino, "compiled": _compiled}[runtime]
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            attempt(module, x)
    except (Exception, SystemExit) as error:
        raise candidate.unfit(
            f"cannot be deployed by latency.backend ({runtime}): {last_line(error)}",
            "use other operations, or another latency.backend",
        ) from error


def _disturb(norm: Any) -> None:
    with torch.no_grad():
        for values, low, high in (
            (norm.weight, 0.5, 1.5),
            (norm.bias, -1, 1),
            (norm.running_mean, -1, 1),
            (norm.running_var, 0.5, 1.5),
        ):
            if values is not None:
                values.uniform_(low, high)


def _onnx(module: nn.Module, x: Tensor) -> None:
    import onnx
    from ultralytics.utils.export.engine import best_onnx_opset, torch2onnx

    axes = {0: "batch", 2: "height", 3: "width"}
    file: Any = io.BytesIO()
    torch2onnx(module, x, file, opset=best_onnx_opset(onnx), dynamic={"images": axes, "output0": axes})


def _openvino(module: nn.Module, x: Tensor) -> None:
    import openvino

    openvino.convert_model(module, example_input=x)


def _compiled(module: nn.Module, x: Tensor) -> None:
    torch.compile(module, backend="eager", fullgraph=True, dynamic=False)(x)
