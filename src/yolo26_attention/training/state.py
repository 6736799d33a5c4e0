"""The exact state of a training at the end of an epoch, and its file, which is replaced atomically.

Ultralytics' last.pt does not allow exact resumption: it holds the averaged weights and the optimizer in half precision,
and no random states. This state holds everything in full precision. It is the single source for resuming: it is written
first, by one rename, and last.pt and best.pt follow from it. It has the name of its run's folder, which contains the
run's identity, so that the state of another run is refused.
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


class ForeignStateError(ValueError):
    """The state belongs to another run; the message says what to do."""


def previous(path: Path) -> Path:
    """Path of the state before the newest one, a backup in case the newest cannot be read."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state; the existing one becomes the previous state.

    Raises:
        OSError: if it cannot be written; the existing states stay.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "run": path.parent.name, **state}, buffer)
    new = path.with_name(f"{path.name}.partial")
    write_atomically(new, buffer.getbuffer())
    if path.exists():
        os.replace(path, previous(path))
    os.replace(new, path)
    sync_folder(path.parent)


def read_state(path: Path) -> dict[str, Any]:
    """Read a state and verify every byte.

    Raises:
        ForeignStateError: if it belongs to another run. States of earlier versions do not tell.
        ValueError: if the file is damaged, or another version of this program wrote it.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not verify the checksums that it writes
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum in {damaged}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state.get("format")
    except (OSError, EOFError, RuntimeError, AttributeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
    if found != FORMAT:
        raise ValueError(f"{path} has format {found}, this version of the program reads {FORMAT}")
    if (run := state.get("run", path.parent.name)) != path.parent.name:
        raise ForeignStateError(
            f"{path} is the state of run {run}, not of {path.parent.name}: the folder was copied or renamed; give it "
            f"its name back, or move it away to train {path.parent.name} from the start"
        )
    return state


def settle(path: Path, best: Path) -> list[str]:
    """Keep the newest readable state and delete damaged and half-written files.

    Args:
        path: path of the state.
        best: checkpoint of the best epoch, which a state needs unless that epoch is its own.

    Returns:
        Descriptions of the damaged files; `path` does not exist if there is nothing to resume from.

    Raises:
        ForeignStateError: if the newest readable state belongs to another run; it stays where it is.
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
        except ForeignStateError:
            raise
        except ValueError as error:
            problems.append(str(error))
            candidate.unlink()
        else:
            os.replace(candidate, path)
            break
    return problems


def remove_previous(path: Path) -> None:
    """Remove the previous state of a run that failed, unless the newest one is damaged."""
    if damage(path) is None:
        previous(path).unlink(missing_ok=True)


def remove_state(path: Path) -> None:
    """Remove both states of a finished run."""
    for file in (path, previous(path)):
        file.unlink(missing_ok=True)


def damage(checkpoint: Path) -> str | None:
    """Describe why a checkpoint of Ultralytics cannot be read; None if it is intact."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        return f"{checkpoint} cannot be read ({error})"
    return None if damaged is None else f"{checkpoint} cannot be read (wrong checksum in {damaged})"


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
