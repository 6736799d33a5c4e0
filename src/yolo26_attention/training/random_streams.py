"""Random generators and the position of a loader: saved, restored, or started anew for an epoch."""

import hashlib
import random
from typing import Any

import numpy as np
import torch


def random_streams(device: torch.device) -> dict[str, Any]:
    """The state of every random generator of this process."""
    numpy = np.random.get_state(legacy=False)
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {"key": numpy["state"]["key"].tolist(), "pos": numpy["state"]["pos"]}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_streams(streams: dict[str, Any], device: torch.device) -> None:
    """Restore every random generator to the state from `random_streams`."""
    random.setstate(streams["python"])
    key = np.array(streams["numpy"]["state"]["key"], dtype=np.uint32)
    np.random.set_state({**streams["numpy"], "state": {**streams["numpy"]["state"], "key": key}})
    torch.set_rng_state(streams["torch"])
    if streams["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(streams["cuda"], device)


def loader_position(loader: Any) -> dict[str, Any]:
    """The position of a loader without worker processes at the end of an epoch.

    It has the generator and Ultralytics' buffer: the last images read, from which mosaics take their other images.
    """
    return {"generator": loader.generator.get_state(), "buffer": list(loader.dataset.buffer)}


def set_loader_position(loader: Any, position: dict[str, Any]) -> None:
    """Set an unused loader to a position from `loader_position`."""
    iterator = loader._get_iterator()
    for _ in range(len(loader)):  # a sampler draws again when it is asked past its end, so stop exactly there
        iterator._next_index()
    loader.iterator = iterator
    loader.generator.set_state(position["generator"])
    for index in position["buffer"]:
        loader.dataset.load_image(index)  # fills the buffer


def start_epoch_anew(loader: Any, *where: int) -> None:
    """Restart a loader with worker processes so that all its randomness depends only on `where`: seed, epoch, ..."""
    seed = int.from_bytes(hashlib.sha256(repr(where).encode()).digest()[:8])
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    loader.reset()
    loader.generator.manual_seed(seed)
    if loader.dataset.cache != "ram":
        # Only an image that is not held enters Ultralytics' buffer; without worker processes it stays held for epochs.
        loader.dataset.ims = [None] * loader.dataset.ni
        # With the empty buffer of new workers, the first mosaics of every epoch would be alike.
        loader.dataset.buffer = random.sample(range(loader.dataset.ni), max(loader.dataset.max_buffer_length - 1, 0))
