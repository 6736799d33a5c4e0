"""A module that is to join a network, and how it is run to find out whether it can."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from yolo26_attention.detector.blame import defined, last_line

# Sides of a map in units of what one pixel of the coarsest level covers. Training takes square images, validation
# rectangular ones that may be one unit larger.
SQUARE, ODD, RECTANGULAR = (2, 2), (3, 3), (2, 3)
CLOSE = 1e-3  # of the largest value; a sum in another order differs by far less


class UnfitError(ValueError):
    """What is wrong with a module, and what to do; who knows its site adds that."""


@dataclass(frozen=True)
class Use:
    """What a run does with a module beside training and evaluating it on a CPU.

    Args:
        device: that it computes on, as torch names it.
        amp: in half precision there.
        runtime: "onnx" or "openvino" if its latency is measured on an export, "compiled" if compiled as one whole.
        lone: which batch of the training has a single image, in words; "" for none.
    """

    device: str = "cpu"
    amp: bool = False
    runtime: str | None = None
    lone: str = ""


@dataclass(frozen=True)
class Candidate:
    """A module, and the maps that it will be given.

    Args:
        module: as it was built.
        in_channels: of its input.
        channels: of its output.
        unit: pixels a side of its map for one pixel of the network's coarsest map.
        needs: what is demanded of its output's shape, in words.
    """

    module: nn.Module
    in_channels: int
    channels: int
    unit: int
    needs: str = "it must keep height and width"

    @property
    def name(self) -> str:
        """Of its class."""
        return type(self.module).__name__

    def unfit(self, problem: str, way_out: str, *, forward: bool = True) -> UnfitError:
        """An error that names the line of its forward, or of its class, unless the problem has a line of its own."""
        kind = type(self.module)
        place = "" if ", line " in problem else defined(kind.forward if forward else kind)
        return UnfitError(f"{self.name} {problem}{f' ({place})' if place else ''}; {way_out}")

    def map(self, sides: Sequence[int], batch: int) -> Tensor:
        """Random maps (batch, in_channels, H, W)."""
        return torch.randn(batch, self.in_channels, sides[0] * self.unit, sides[1] * self.unit)

    def run(self, module: nn.Module, x: Tensor) -> Tensor:
        """Its output, if it is one tensor of the right shape and type with finite values, and x is as it was.

        Raises:
            UnfitError: otherwise.
        """
        mode = "in training mode" if module.training else "in evaluation mode"
        before = x.detach().clone()
        y = self.attempt(module, x, mode)
        self._check_output(y, x, mode)
        if not torch.equal(before, x.detach()):
            raise self.unfit(
                f"changes its input in place {mode}",
                "other layers read that map too: use operations that make a new tensor (no x += y, no inplace=True on "
                "the input)",
            )
        output: Tensor = y
        return output

    def attempt(self, module: nn.Module, x: Tensor, how: str) -> Any:
        """Its output, whatever it is.

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
            raise self.unfit(f"puts out a {type(y).__name__} {mode}", "its output must be one tensor in both modes")
        expected = (x.shape[0], self.channels, *x.shape[2:])
        if tuple(y.shape) != expected:
            raise self.unfit(f"turns a map of {tuple(x.shape)} into {tuple(y.shape)} {mode}", self.needs)
        if y.dtype != x.dtype:
            raise self.unfit(
                f"puts out {y.dtype} for {x.dtype} {mode}", "create tensors with the dtype of the input: dtype=x.dtype"
            )
        if y.device != x.device:
            raise self.unfit(
                f"puts out a tensor on {y.device} for one on {x.device} {mode}", "create tensors with device=x.device"
            )
        if not y.isfinite().all():
            raise self.unfit(
                f"puts out values that are not finite for a random map of {tuple(x.shape)} {mode}",
                "look for divisions by zero, logarithms and roots of negative numbers, and for parameters that are "
                "not initialised (torch.empty)",
            )


def close(first: Tensor, second: Tensor) -> bool:
    """Whether two outputs are equal but for rounding."""
    return bool((first - second).abs().max() <= CLOSE * first.abs().max().clamp(min=1e-6))
