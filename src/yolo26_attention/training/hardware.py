"""What a training runs on, and what a change of it means for a training that is resumed there."""

from collections.abc import Mapping
from typing import Any

import torch
from ultralytics.utils.torch_utils import select_device

# What another value means for the numbers of a resumed training.
MEANINGS = {
    "device": "other kernels round differently, and random numbers drawn on the device differ",
    "gpu": "another GPU type chooses other kernels, which round differently",
    "gpus": "batches are split, and batch norms estimated, over another number of images",
    "precision": "epochs before and after were trained in different precisions",
    "workers": "augmentation draws other random numbers: each loader process has a stream of its own",
}


def hardware(trainer: Any) -> dict[str, Any]:
    """What decides whether a training can be resumed exactly, of a trainer that is set up.

    Returns:
        device: cpu, cuda or mps; gpu: product name, or None; gpus: number of processes that train; precision: fp32,
        fp16 or bf16; workers: loader processes per GPU, of which Ultralytics starts at most one per batch and per core.
    """
    device = trainer.device
    return {
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "gpus": max(trainer.world_size, 1),
        "precision": training_precision(trainer),
        "workers": trainer.train_loader.num_workers,
    }


def training_precision(trainer: Any) -> str:
    """fp32, fp16 or bf16: what Ultralytics uses, which may disable the mixed precision that `amp` asks for."""
    return ("bf16" if trainer.args.amp == "bf16" else "fp16") if trainer.amp else "fp32"


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Differences between two results of `hardware`: for each, `before`, `now`, and `means` for exact resuming.

    What an earlier version of the program did not keep is unknown, hence no difference.
    """
    different = [key for key in MEANINGS if key in before and before[key] != now[key]]
    if "device" in different:  # the name of the GPU says nothing more
        different = [key for key in different if key != "gpu"]
    return {key: {"before": before[key], "now": now[key], "means": MEANINGS[key]} for key in different}


def find_device(name: str | None) -> torch.device:
    """Find the device that Ultralytics would choose for `trainer.device`.

    Raises:
        ValueError: if it does not exist; the message lists those that do.
    """
    try:
        device: torch.device = select_device(name or "", verbose=False)
    except (ValueError, AssertionError) as error:
        available = ["cpu", *(str(index) for index in range(torch.cuda.device_count()))]
        raise ValueError(f"trainer.device={name} does not exist; this machine has {', '.join(available)}") from error
    return device
