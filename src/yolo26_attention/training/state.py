"""The exact state of a training at an epoch's end: what is in it, and its file, which is whole or not there.

Ultralytics' last.pt cannot be continued exactly: it holds the averaged weights and the optimizer in half precision, and
no random stream. This state holds everything in full. It is the one truth about an interrupted run: it is written
first, by one rename, and last.pt and best.pt follow from it.
"""

import hashlib
import io
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from yolo26_attention.files.atomic import remove_partial, sync_folder, write_atomically

FORMAT = 1


def previous(path: Path) -> Path:
    """Where the state before the newest one is kept, for the day the newest one cannot be read."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Put a state into its place; the one that was there becomes the previous one.

    Raises:
        OSError: if it cannot be written; the states that were there stay.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    new = path.with_name(f"{path.name}.partial")
    write_atomically(new, buffer.getbuffer())
    if path.exists():
        os.replace(path, previous(path))
    os.replace(new, path)
    sync_folder(path.parent)


def read_state(path: Path) -> dict[str, Any]:
    """A state, every byte of it checked.

    Raises:
        ValueError: if the file is damaged, or of another version of this program.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums it writes
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum in {damaged}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state.get("format")
    except (OSError, EOFError, RuntimeError, AttributeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
    if found != FORMAT:
        raise ValueError(f"{path} has format {found}, this version of the program reads {FORMAT}")
    return state


def settle(path: Path, best: Path) -> list[str]:
    """Leave the newest state that can be continued in its place, and no half-written file.

    Args:
        path: of the state.
        best: checkpoint of the best epoch, which a state relies on unless that epoch is its own.

    Returns:
        What was found damaged and dropped, in words; `path` is not there if nothing is left to go on from.
    """
    remove_partial(path.parent)
    problems = []
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            state = read_state(candidate)
            if state["best_before"] and (problem := damage(best)):
                raise ValueError(problem)
        except ValueError as error:
            problems.append(str(error))
            candidate.unlink()
        else:
            os.replace(candidate, path)
            break
    return problems


def remove_state(path: Path) -> None:
    """Remove both states: the run is finished."""
    for file in (path, previous(path)):
        file.unlink(missing_ok=True)


def damage(checkpoint: Path) -> str | None:
    """Why a checkpoint of Ultralytics cannot be read, in words; None if it is whole."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        return f"{checkpoint} cannot be read ({error})"
    return None if damaged is None else f"{checkpoint} cannot be read (wrong checksum in {damaged})"


def random_streams(device: torch.device) -> dict[str, Any]:
    """The position of every stream of random numbers of this process."""
    numpy = np.random.get_state(legacy=False)
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {"key": numpy["state"]["key"].tolist(), "pos": numpy["state"]["pos"]}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_streams(streams: dict[str, Any], device: torch.device) -> None:
    """Put every stream of random numbers where `random_streams` found it."""
    random.setstate(streams["python"])
    key = np.array(streams["numpy"]["state"]["key"], dtype=np.uint32)
    np.random.set_state({**streams["numpy"], "state": {**streams["numpy"]["state"], "key": key}})
    torch.set_rng_state(streams["torch"])
    if streams["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(streams["cuda"], device)


def loader_position(loader: Any) -> dict[str, Any]:
    """Where a loader without worker processes stands at an epoch's end.

    Beside its generator that is Ultralytics' buffer: the images read last, from which a mosaic takes its neighbours.
    """
    return {"generator": loader.generator.get_state(), "buffer": list(loader.dataset.buffer)}


def set_loader_position(loader: Any, position: dict[str, Any]) -> None:
    """Put a loader that has not been used where `loader_position` found another one."""
    iterator = loader._get_iterator()
    for _ in range(len(loader)):  # a sampler draws once more when it is asked behind its end: so stand at that end
        iterator._next_index()
    loader.iterator = iterator
    loader.generator.set_state(position["generator"])
    for index in position["buffer"]:
        loader.dataset.load_image(index)  # puts it into the buffer


def start_epoch_anew(loader: Any, *where: int) -> None:
    """Start a loader with worker processes anew, with everything random a function of `where`: seed, epoch, ..."""
    seed = int.from_bytes(hashlib.sha256(repr(where).encode()).digest()[:8])
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    loader.reset()
    loader.generator.manual_seed(seed)
    if loader.dataset.cache != "ram":
        # Only an image that is not held enters Ultralytics' buffer; without worker processes it is held for epochs.
        loader.dataset.ims = [None] * loader.dataset.ni
        # New workers would find the buffer empty, and the first mosaics of every epoch alike.
        loader.dataset.buffer = random.sample(range(loader.dataset.ni), max(loader.dataset.max_buffer_length - 1, 0))
