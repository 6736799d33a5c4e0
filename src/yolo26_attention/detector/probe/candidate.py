"""A module to graft, and how the probe runs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from yolo26_attention.detector.blame import defined, last_line

# Sides of a map in units of one pixel of the coarsest level. Training uses square images, validation rectangular ones
# that may be one unit larger.
SQUARE, ODD, RECTANGULAR = (2, 2), (3, 3), (2, 3)
CLOSE = 1e-3  # relative to the largest value; reordered sums differ far less


class UnfitError(ValueError):
    """The problem of a module and the way out; the caller adds the site."""


@dataclass(frozen=True)
class Use:
    """The use of a module in a run, beyond training and evaluation on a CPU.

    Args:
        device: torch's name of the device.
        amp: whether it runs in half precision there.
        runtime: "onnx" or "openvino" if the latency is measured on an export, "compiled" if compiled as a whole.
        lone: description of a training batch with a single image; "" for none.
    """

    device: str = "cpu"
    amp: bool = False
    runtime: str | None = None
    lone: str = ""


@dataclass(frozen=True)
class Candidate:
    """A module and the maps that it will receive.

    Args:
        module: the module as built.
        in_channels: channels of its input.
        channels: channels of its output.
        unit: pixels per side of its map for one pixel of the network's coarsest map.
        needs: description of the required output shape.
    """

    module: nn.Module
    in_channels: int
    channels: int
    unit: int
    needs: str = "it must keep height and width"

    @property
    def name(self) -> str:
        """Name of its class."""
        return type(self.module).__name__

    def unfit(self, problem: str, way_out: str, *, forward: bool = True) -> UnfitError:
        """Build an error with the line of its forward or its class, unless the problem already has a line."""
        kind = type(self.module)
        place = "" if ", line " in problem else defined(kind.forward if forward else kind)
        return UnfitError(f"{self.name} {problem}{f' ({place})' if place else ''}; {way_out}")

    def map(self, sides: Sequence[int], batch: int) -> Tensor:
        """Random maps (batch, in_channels, H, W)."""
        return torch.randn(batch, self.in_channels, sides[0] * self.unit, sides[1] * self.unit)

    def run(self, module: nn.Module, x: Tensor) -> Tensor:
        """Return its output and check it: one finite tensor of the right shape and dtype, and x unchanged.

        Raises:
            UnfitError: if a check fails.
        """
        mode = "in training mode" if module.training else "in evaluation mode"
        before = x.detach().clone()
        y = self.attempt(module, x, mode)
        self._check_output(y, x, mode)
        if not torch.equal(before, x.detach()):
            raise self.unfit(
                f"changes its input in place {mode}",
                "other layers read that map too: use operations that create new tensors (no x += y, no inplace=True on "
                "the input)",
            )
        output: Tensor = y
        return output

    def attempt(self, module: nn.Module, x: Tensor, how: str) -> Any:
        """Return its output without checks.

        Raises:
            UnfitError: if it fails.
        """
        try:
            return module(x)
        except (Exception, SystemExit) as error:
            raise self.unfit(
                f"failed on a map of {tuple(x.shape)} {how}: {last_line(error)}",
                "maps are square in training, rectangular in validation, and of any size",
            ) from error

    def _check_output(self, y: Any, x: Tensor, mode: str) -> None:
        if not isinstance(y, Tensor):
            raise self.unfit(f"returns a {type(y).__name__} {mode}", "its output must be one tensor in both modes")
        expected = (x.shape[0], self.channels, *x.shape[2:])
        if tuple(y.shape) != expected:
            raise self.unfit(f"changes a map of {tuple(x.shape)} to {tuple(y.shape)} {mode}", self.needs)
        if y.dtype != x.dtype:
            raise self.unfit(
                f"returns {y.dtype} for {x.dtype} {mode}", "create tensors with the dtype of the input: dtype=x.dtype"
            )
        if y.device != x.device:
            raise self.unfit(
                f"returns a tensor on {y.device} for one on {x.device} {mode}", "create tensors with device=x.device"
            )
        if not y.isfinite().all():
            raise self.unfit(
                f"returns non-finite values for a random map of {tuple(x.shape)} {mode}",
                "check divisions by zero, logarithms and roots of negative numbers, and uninitialised parameters "
                "(torch.empty)",
            )


def close(first: Tensor, second: Tensor) -> bool:
    """Whether two outputs are equal up to rounding."""
    return bool((first - second).abs().max() <= CLOSE * first.abs().max().clamp(min=1e-6))
