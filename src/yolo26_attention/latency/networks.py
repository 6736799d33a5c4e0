"""Wrappers that run a network in another precision, compiled, or as CUDA graphs; what keeps a trace to its size."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from yolo26_attention.attention.window_cache import noted_constants
from yolo26_attention.compat.pytorch import guard_hooks
from yolo26_attention.detector.grafted import prepare_export


class InPrecision(nn.Module):
    """A network that computes in another precision than its input and returns float32.

    Args:
        model: the network; its parameters are converted.
        dtype: dtype of the computation.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.model = model.to(dtype)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """Predictions (B, 4 + classes, anchors) of images (B, C, H, W)."""
        return predictions(self.model(x.to(self.dtype))).float()


class Compiled(nn.Module):
    """A network compiled as a whole for each shape; a graph break is an error, not a slower network.

    Args:
        model: the network.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        guard_hooks()
        self.model = model
        self.compiled = torch.compile(model, fullgraph=True, dynamic=False)
        self.shape: torch.Size | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Predictions (B, 4 + classes, anchors) of images (B, C, H, W)."""
        if x.shape != self.shape:
            self.model(x)  # the head caches the anchors of the last shape, and must not create them in the graph
            self.shape = x.shape
        return predictions(self.compiled(x))


class CapturedGraphs(nn.Module):
    """A network whose GPU work is captured once for each shape as a CUDA graph, then replayed.

    Args:
        model: the network, on a CUDA device.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor, list[Tensor]]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Predictions (B, 4 + classes, anchors) of images (B, C, H, W); the next call overwrites them."""
        if x.shape not in self.graphs:
            self.graphs[x.shape] = self._capture(x)
        graph, given, answer, _ = self.graphs[x.shape]
        given.copy_(x)
        graph.replay()
        return answer

    def _capture(self, x: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor, list[Tensor]]:
        given = x.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # in these calls libraries choose their kernels and allocate memory
            for _ in range(3):
                self.model(given)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with noted_constants() as constants, torch.cuda.graph(graph):
            answer = predictions(self.model(given))
        # The head drops the anchors of this shape when another one comes, and windowed attention the masks and indices
        # that it has not used for long, but the graph keeps reading them.
        kept = constants + [
            value for module in self.model.modules() for value in vars(module).values() if isinstance(value, Tensor)
        ]
        return graph, given, answer, kept


def predictions(answer: Any) -> Tensor:
    """The predictions in a detection network's output, which may also contain the head's raw maps."""
    return answer if isinstance(answer, Tensor) else answer[0]


@contextmanager
def prepared_export(network: nn.Module, fmt: str, *, dynamic: bool) -> Iterator[None]:
    """Give the attention its form for exported graphs; within the block a TorchScript trace is held to its size.

    Args:
        network: the network that is exported in the block.
        fmt: Ultralytics' name of the format.
        dynamic: whether the graph must take images of any height and width.
    """
    prepare_export(network, dynamic=dynamic)
    hook = network.register_forward_pre_hook(hold_size) if fmt == "torchscript" and not dynamic else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


def hold_size(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Forward pre-hook by which a traced network refuses images (B, C, H, W) of another size than that of its trace.

    The trace holds the anchors of one size: an image of another shape with as many pixels would get wrong boxes.
    """
    x, *others = inputs
    return x.expand(-1, -1, int(x.shape[2]), int(x.shape[3])), *others
