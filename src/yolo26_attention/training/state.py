"""The exact state of a training at the end of an epoch, and its file, which is replaced atomically.

Ultralytics' last.pt does not allow exact resumption: it holds the averaged weights and the optimizer in half precision,
and no random states. This state holds everything in full precision. It is the single source for resuming: it is written
first, by one rename, and last.pt and best.pt follow from it. It has the name of its run's folder, which contains the
run's identity, so that the state of another run is refused.
"""

import io
import os
import pickle
import zipfile
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolo26_attention.files.atomic import remove_partial, sync_folder, write_atomically

FORMAT = 1


class ForeignStateError(ValueError):
    """The state belongs to another run or another version of the program; the message says what to do."""


@dataclass
class TrainingState:
    """Everything that a training needs to resume exactly, at the end of an epoch.

    The values are plain or tensors, so that reading them runs no code.

    Attributes:
        epoch: the completed epoch, counted from 0; epochs: their number; done: whether it was the last one.
        seconds: time trained so far.
        batch_size: images per batch; found_batch: the one found for a share of the memory.
        last_opt_step: batch of the last optimizer step, counted over all epochs.
        mosaic_closed: whether the loader has stopped making mosaics.
        model, ema: values of the trained and of the averaged network; updates: number of averagings.
        criterion: attributes of the loss that change each epoch.
        gradients: accumulated and not yet used, by parameter.
        optimizer, scheduler, scaler, stopper, validator: their states.
        fitness: of the best and of the last epoch; metrics: of the last validation.
        loss_names: names of the loss items.
        best_before: whether best.pt is that of an earlier epoch.
        streams: of `random_streams`; loader: of `loader_position`; None if every epoch starts them anew.
        texts: content of the files that grow each epoch, by name.
        hardware: of `hardware.hardware`; empty in states of earlier versions.
    """

    epoch: int
    epochs: int
    done: bool
    seconds: float
    batch_size: int
    last_opt_step: int
    mosaic_closed: bool
    model: dict[str, Tensor]
    criterion: dict[str, Any]
    ema: dict[str, Tensor]
    updates: int
    gradients: dict[str, Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    scaler: dict[str, Any]
    stopper: dict[str, Any]
    fitness: dict[str, Any]
    metrics: dict[str, Any]
    loss_names: tuple[str, ...]
    best_before: bool
    validator: dict[str, Any]
    streams: dict[str, Any] | None
    loader: dict[str, Any] | None
    texts: dict[str, str]
    found_batch: int | None = None
    hardware: dict[str, Any] = field(default_factory=dict)


def previous(path: Path) -> Path:
    """Path of the state before the newest one, a backup in case the newest cannot be read."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_state(path: Path, state: TrainingState) -> None:
    """Write a state; the existing one becomes the previous state.

    Raises:
        OSError: if it cannot be written; the existing states stay.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "run": path.parent.name, **vars(state)}, buffer)
    new = path.with_name(f"{path.name}.partial")
    write_atomically(new, buffer.getbuffer())
    if path.exists():
        os.replace(path, previous(path))
    os.replace(new, path)
    sync_folder(path.parent)


def read_state(path: Path) -> TrainingState:
    """Read a state and verify every byte.

    Raises:
        ForeignStateError: if it belongs to another run, or lacks something. States of earlier versions do not name
            their run.
        ValueError: if the file is damaged, or another version of this program wrote it.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not verify the checksums that it writes
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum in {damaged}")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = content.get("format")
    except (OSError, EOFError, RuntimeError, AttributeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from error
    if found != FORMAT:
        raise ValueError(f"{path} has format {found}, this version of the program reads {FORMAT}")
    if (run := content.get("run", path.parent.name)) != path.parent.name:
        raise ForeignStateError(
            f"{path} is the state of run {run}, not of {path.parent.name}: the folder was copied or renamed; give it "
            f"its name back, or move it away to train {path.parent.name} from the start"
        )
    required = [each.name for each in fields(TrainingState) if MISSING is each.default is each.default_factory]
    if missing := [name for name in required if name not in content]:
        raise ForeignStateError(
            f"{path} does not fit this version of the program (it has no {', '.join(missing)}); delete it to train the "
            "run from the start"
        )
    return TrainingState(**{each.name: content[each.name] for each in fields(TrainingState) if each.name in content})


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
            if state.best_before and (problem := damage(best)):
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
