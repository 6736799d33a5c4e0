"""Tries the largest images of a training before its first epoch.

With `multi_scale`, the size of a batch is drawn, so that the largest one may come, and run out of memory, at any time.
"""

import copy
import math
from typing import Any

import torch
from ultralytics.utils import LOGGER
from ultralytics.utils.torch_utils import autocast, unwrap_model

from yolo26_attention.training.random_streams import random_streams, set_random_streams


def halve_until_it_fits(trainer: Any) -> None:
    """Halve the batch of a trainer that is set up until a step with its largest images fits into the memory.

    Ultralytics does the same in the first epoch (8.4.190), when the batch is too large for the images that it draws.

    Raises:
        RuntimeError: PyTorch's error, if not even a batch of one image fits.
    """
    while True:
        try:
            try_largest_step(trainer)
            return
        except torch.OutOfMemoryError:
            if trainer.batch_size < 2:
                raise
        before = trainer.batch_size
        trainer.args.batch = trainer.batch_size = before // 2
        LOGGER.warning(
            f"a batch of {before} images of {_largest_size(trainer)} px does not fit into the memory of "
            f"{trainer.device}; reducing to batch={trainer.batch_size}"
        )
        trainer._clear_memory()
        trainer._build_train_pipeline()
        trainer.validator.dataloader = trainer.test_loader


def try_largest_step(trainer: Any) -> None:
    """Run a forward and a backward pass of a copy of the network; the training does not notice.

    The images are black and have as many objects as the training images on average.

    Raises:
        torch.OutOfMemoryError: if the memory is too small.
    """
    streams = random_streams(trainer.device)
    try:
        network = copy.deepcopy(unwrap_model(trainer.model)).train()
        with autocast(torch.bfloat16 if trainer.args.amp == "bf16" else trainer.amp, device=trainer.device.type):
            loss, _ = network(_batch(trainer))
        loss.sum().backward()
    finally:
        set_random_streams(streams, trainer.device)
    del network, loss
    trainer._clear_memory()


def _largest_size(trainer: Any) -> int:
    largest: int = int(trainer.args.imgsz * (1 + trainer.args.multi_scale)) // trainer.stride * trainer.stride
    return largest


def _batch(trainer: Any) -> dict[str, torch.Tensor]:
    """The largest batch, as the loss takes it."""
    labels = trainer.train_loader.dataset.labels
    objects = max(math.ceil(sum(len(label["cls"]) for label in labels) / len(labels)), 1)
    count, size, device = trainer.train_loader.batch_size, _largest_size(trainer), trainer.device
    return {
        "img": torch.zeros(count, trainer.data["channels"], size, size, device=device),
        "cls": torch.zeros(count * objects, 1, device=device),
        "bboxes": torch.full((count * objects, 4), 0.5, device=device),
        "batch_idx": torch.arange(count, device=device).repeat_interleave(objects).float(),
    }
