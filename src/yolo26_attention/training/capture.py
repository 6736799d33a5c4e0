"""Take the exact state of a trainer at the end of an epoch, and put it into another one.

Based on ultralytics/engine/trainer.py (8.4.190).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultralytics.utils import RANK
from ultralytics.utils.torch_utils import unwrap_model

from yolo26_attention.files.atomic import write_atomically
from yolo26_attention.files.journal import restore_journal
from yolo26_attention.training.hardware import hardware
from yolo26_attention.training.random_streams import loader_position, random_streams
from yolo26_attention.training.state import TrainingState

if TYPE_CHECKING:
    from yolo26_attention.training.resuming import Resuming

RESULTS, JOURNAL = "results.csv", "journal"


def capture(trainer: Resuming, seeded_by_epoch: bool) -> TrainingState:
    """Take the complete state of a training.

    Args:
        trainer: at the end of an epoch.
        seeded_by_epoch: whether every epoch starts its random streams anew, so that none need be kept.
    """
    model = unwrap_model(trainer.model)
    return TrainingState(
        epoch=trainer.epoch,
        epochs=trainer.epochs,
        done=bool(trainer.stop),
        seconds=time.time() - trainer.train_time_start,
        batch_size=trainer.batch_size,
        found_batch=trainer.found_batch,
        last_opt_step=trainer.last_opt_step,
        mosaic_closed=trainer.mosaic_closed,
        model=model.state_dict(),
        criterion=_numbers({name: v for name, v in vars(model.criterion).items() if isinstance(v, int | float)}),
        ema=trainer.ema.ema.state_dict(),
        updates=trainer.ema.updates,
        gradients={name: p.grad for name, p in model.named_parameters() if p.grad is not None},
        optimizer=trainer.optimizer.state_dict(),
        scheduler=trainer.scheduler.state_dict(),
        scaler=trainer.scaler.state_dict(),  # empty if the training needs none
        hardware=hardware(trainer),
        stopper=_numbers(vars(trainer.stopper)),
        fitness=_numbers({"best_fitness": trainer.best_fitness, "fitness": trainer.fitness}),
        metrics=_numbers(trainer.metrics),
        loss_names=trainer.loss_names,
        best_before=trainer.best.exists() and trainer.best_fitness != trainer.fitness,
        validator={"plots": trainer.validator.args.plots, "quantize": trainer.validator.args.quantize},
        streams=None if seeded_by_epoch else random_streams(trainer.device),
        loader=None if seeded_by_epoch else loader_position(trainer.train_loader),
        texts={name: file.read_text(encoding="utf-8") for name, file in _texts(trainer).items()},
    )


def restore(trainer: Resuming, state: TrainingState) -> None:
    """Put a state into a trainer that was built for a fresh start.

    Raises:
        KeyError, RuntimeError, ValueError: if the state does not fit.
    """
    trainer.epoch, trainer.start_epoch = state.epoch, state.epoch + 1
    if state.batch_size != trainer.batch_size:  # halved in the first epoch, after running out of memory
        trainer.args.batch = trainer.batch_size = state.batch_size
        trainer._build_train_pipeline()
        trainer.validator.dataloader = trainer.test_loader
    if trainer.args.time:
        trainer.epochs = trainer.args.epochs = state.epochs
        trainer._setup_scheduler()
    model: Any = unwrap_model(trainer.model)
    model.load_state_dict(state.model)
    model.criterion = model.init_criterion()
    vars(model.criterion).update(state.criterion)
    trainer.ema.ema.load_state_dict(state.ema)
    trainer.ema.updates = state.updates
    for saved, group in zip(state.optimizer["param_groups"], trainer.optimizer.param_groups, strict=True):
        if "fused" in group:
            saved["fused"] = group["fused"]  # the current device chooses the kernel
    trainer.optimizer.load_state_dict(state.optimizer)
    trainer.scheduler.load_state_dict(state.scheduler)
    if state.scaler:  # otherwise the training began without one, and this one starts at its initial scale
        trainer.scaler.load_state_dict(state.scaler)
    vars(trainer.stopper).update(state.stopper)
    vars(trainer).update(state.fitness)
    trainer.metrics, trainer.loss_names = state.metrics, tuple(state.loss_names)
    vars(trainer.validator.args).update(state.validator)
    trainer.last_opt_step, trainer.found_batch = state.last_opt_step, state.found_batch
    if RANK in {-1, 0}:
        _restore_texts(trainer, state.texts)


def _texts(trainer: Resuming) -> dict[str, Path]:
    """The existing files that grow each epoch."""
    files = {RESULTS: trainer.csv, JOURNAL: trainer.journal}
    return {name: file for name, file in files.items() if file is not None and file.exists()}


def _restore_texts(trainer: Resuming, texts: Mapping[str, str]) -> None:
    """Restore the files to the state's epoch: later lines are dropped, lines lost in a power cut come back."""
    write_atomically(trainer.csv, texts[RESULTS])
    if trainer.journal is not None:
        restore_journal(trainer.journal, texts[JOURNAL])


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert NumPy scalars to Python numbers, which a state can hold."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
