"""A network that is deployed and checked, with the images on which it is timed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from yolo26_attention.files.latency import Parity
from yolo26_attention.latency.backends import Deployed
from yolo26_attention.latency.end_to_end import EndToEnd, batches


@dataclass(frozen=True)
class Ready:
    """A network as it is timed: alone on prepared images, and from images to boxes.

    Attributes:
        deployed: the network.
        end: the way from images to boxes through it.
        images: as read from disk, (H, W, C) in BGR.
        batch: images of a call.
        parity: how it differs from PyTorch; None if it would be compared with itself.
    """

    deployed: Deployed
    end: EndToEnd
    images: Sequence[np.ndarray]
    batch: int
    parity: Parity | None = None

    @cached_property
    def groups(self) -> list[list[np.ndarray]]:
        """The batches of images through which its calls cycle."""
        return batches(self.images, self.batch)

    @cached_property
    def prepared(self) -> list[Tensor]:
        """The same for the network alone: (batch, C, H, W) each."""
        return [self.end.prepare(group) for group in self.groups]

    @property
    def alone(self) -> Callable[[int], Any]:
        """Runs the network on the batch of a number."""
        prepared = self.prepared
        return lambda number: self.deployed.network(prepared[number % len(prepared)])

    @property
    def whole(self) -> Callable[[int], Any]:
        """Takes the batch of a number from images to boxes."""
        groups = self.groups
        return lambda number: self.end(groups[number % len(groups)])
