"""Ultralytics' detection trainer, extended to keep the graft throughout.

It adds to Ultralytics: the graft, once the stock model is built and loaded; a journal of epochs and of events that
change the experiment; an early end if the loss is not finite (finite.py); and exact resumption (resuming.py).
"""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from ultralytics.cfg import get_cfg
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import LOCAL_RANK, LOGGER, RANK
from ultralytics.utils.torch_utils import unwrap_model

from yolo26_attention.compat.pytorch import guard_hooks
from yolo26_attention.compat.ultralytics import amp_check_at_hand, fuse_grafts, keep_random_stream
from yolo26_attention.config.schema import GraftOptimizerConfig, Select
from yolo26_attention.data.label_cache import restrict_label_caches
from yolo26_attention.detector.freezing import (
    FrozenBuffers,
    freeze_batch_norms,
    frozen_paths,
    graft_gradients,
    restore_gradients,
)
from yolo26_attention.detector.grafted import grafted_scalars, network_line, placebo_matches
from yolo26_attention.detector.grafting import graft
from yolo26_attention.detector.not_finite import LARGE, overflowing
from yolo26_attention.detector.same_graft import load_graft
from yolo26_attention.detector.specification import Graft
from yolo26_attention.detector.stock import build_stock, loaded_tensors
from yolo26_attention.detector.trust import Trust, known_classes_only
from yolo26_attention.evaluation.flops import count_parameters
from yolo26_attention.files.atomic import atomic
from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import Epoch, Kind, epoch_seconds, read_journal
from yolo26_attention.files.model import LoadedTensors, ParameterGroup, PlaceboMatch
from yolo26_attention.files.start import TrainingStart
from yolo26_attention.files.typed import plain
from yolo26_attention.training.decided import decided
from yolo26_attention.training.finite import FiniteLoss
from yolo26_attention.training.gpu_workers import end_with_run
from yolo26_attention.training.hardware import training_precision
from yolo26_attention.training.largest_step import halve_until_it_fits
from yolo26_attention.training.out_of_memory import memory_explained
from yolo26_attention.training.param_groups import describe, regroup, set_own_decay
from yolo26_attention.training.shared_batch import shared_batch
from yolo26_attention.training.step_budget import epochs_of_steps
from yolo26_attention.training.time_left import time_left
from yolo26_attention.training.validator import MatchValidator

log = logging.getLogger(__name__)


class Grafting(FiniteLoss):
    """Mixin that adds the graft to any of Ultralytics' trainers; it precedes the trainer among the base classes.

    Ultralytics' multi-GPU launcher rebuilds the trainer from its class and arguments alone, so the settings are class
    attributes of a subclass that `configured` creates.
    """

    grafts: tuple[Graft, ...] = ()
    threads: int | None = None
    graft_options: GraftOptimizerConfig = GraftOptimizerConfig()
    steps: int | None = None
    trust: Trust = Trust()  # for classes in the starting checkpoint
    run_process: int | None = None  # ID of the process that called `configured`
    last_batch: int = 0  # of the step budget, counted over all epochs
    batch_folder: Path | None = None  # folder of batch sizes for a share of the memory; None stores none
    select: Select = Select.best
    frozen_buffers: FrozenBuffers | None = None
    learns: Mapping[str, bool] = MappingProxyType({})  # for every parameter of the graft, whether it is trained
    loaded: LoadedTensors | None = None  # what the starting checkpoint gave
    placebo: Mapping[str, PlaceboMatch] = MappingProxyType({})  # by place
    groups: Sequence[ParameterGroup] = ()  # of the optimizer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Set the number of CPU threads after Ultralytics, which sets its own when it selects the device."""
        if LOCAL_RANK != -1 and self.run_process is not None:
            end_with_run(self.run_process)
        restrict_label_caches()
        keep_random_stream()
        fuse_grafts()  # before the final validation, so that it is the same whatever ran earlier in this process
        super().__init__(*args, **kwargs)
        if self.args.compile:
            guard_hooks()
            torch.compiler.reset()  # after a number of compilations per process it would run the network uncompiled
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.graft_options.frozen:
            self.add_callback("on_train_batch_end", _restore_frozen)
        if self.steps is not None:
            self.add_callback("on_train_batch_end", _stop_after_last_step)

    @classmethod
    def configured(
        cls,
        grafts: tuple[Graft, ...],
        journal: Path | None = None,
        threads: int | None = None,
        graft_options: GraftOptimizerConfig | None = None,
        steps: int | None = None,
        state_file: Path | None = None,
        trust: Trust | None = None,
        batch_folder: Path | None = None,
        select: Select = Select.best,
    ) -> type:
        """Create a subclass with the given settings.

        Args:
            grafts: the grafts of the network; none for the baseline.
            journal: journal file, one JSON object per line.
            threads: CPU threads; None leaves Ultralytics' choice.
            graft_options: how the graft's parameters are optimized; None for Ultralytics' defaults.
            steps: optimizer steps after which training ends; None trains for the given epochs.
            state_file: file of the exact state, to resume from; None stores none.
            trust: whose classes the starting checkpoint may hold; None for this program's own.
            batch_folder: folder of batch sizes for a share of the GPU's memory; None stores none.
            select: the epoch whose network becomes best.pt.
        """
        settings: dict[str, Any] = {"grafts": grafts, "journal": journal, "threads": threads, "steps": steps}
        settings |= {"graft_options": graft_options or GraftOptimizerConfig(), "state_file": state_file}
        settings |= {"trust": trust or Trust(), "batch_folder": batch_folder, "select": select}
        settings["run_process"] = os.getpid()
        return type(cls.__name__, (cls,), settings)

    def train(self) -> Any:
        """Train as Ultralytics does.

        Raises:
            MemoryFullError: if the device has too little memory.
        """
        with memory_explained(self):
            return super().train()

    def setup_model(self) -> Any:
        """Set up the model as Ultralytics does, which loads the starting checkpoint."""
        with known_classes_only("model.weights", self.args.pretrained, self.trust):
            checkpoint = super().setup_model()
        self.learns = graft_gradients(self.model)
        self.args.freeze = frozen_paths(self.model, self.args.freeze)
        return checkpoint

    def get_model(
        self,
        cfg: str | dict[str, Any] | None = None,
        weights: nn.Module | None = None,
        verbose: bool = True,
    ) -> DetectionModel:
        """Build and load the stock model, then graft; a grafted checkpoint then also fills the graft's values.

        Ultralytics' table of layers, which it would print before the graft, gives way to one line.
        """
        with known_classes_only("model", None, self.trust):  # otherwise Ultralytics evaluates the checkpoint's own YAML
            model: DetectionModel = super().get_model(cfg, None if self.resume else weights, verbose=False)
        stock, parameters = list(model.state_dict()), count_parameters(model)
        loaded = loaded_tensors(model, weights) if weights is not None and not self.resume else []
        graft(model, *self.grafts)
        if verbose and RANK in {-1, 0}:
            LOGGER.info(network_line(Path(str(self.args.model)).stem, parameters, model))
        kept = model.state_dict()
        if self.resume and weights is not None:
            model.load_state_dict(weights.float().state_dict())
        else:
            self.loaded = LoadedTensors(
                loaded=sum(name in kept for name in loaded),
                total=len(stock),
                lost=[name for name in stock if name not in kept],
                graft_loaded=len(load_graft(model, weights)) if weights is not None else 0,
            )
            self.placebo = {place: PlaceboMatch(**match) for place, match in placebo_matches(model).items()}
            self.note(Kind.WEIGHTS, **plain(self.loaded))
            self.note(Kind.GRAFT, placebo=plain(self.placebo))
        return model

    def _setup_train(self) -> None:
        """Hand over what the training begins with, once everything is built."""
        with amp_check_at_hand(partial(build_stock, "yolo26n", 80, 3)):
            super()._setup_train()
        self._hand_over()
        if self.device.type == "cuda" and RANK == -1 and self.args.multi_scale and self._state is None:
            halve_until_it_fits(self)
        if self.device.type == "cuda" and RANK in {-1, 0} and training_precision(self) == "fp16":
            self._warn_of_overflow()

    def _warn_of_overflow(self) -> None:
        """Name the attention that may overflow in half precision, before anything is trained."""
        side = 4 * self.stride
        images = torch.zeros(1, self.data["channels"], side, side, device=self.device)
        if sites := overflowing(unwrap_model(self.model), images, torch.float16):
            log.warning(
                "the attention at %s outputs non-finite values in fp16 for activations of mean %g; the gradient scaler "
                "skips such steps, and a latency in fp16 would be refused: trainer.amp=bf16 and latency.precision=bf16 "
                "avoid both",
                *(", ".join(sites), LARGE),
            )

    def _hand_over(self) -> None:
        """Write training.json for the run's record, and journal what Ultralytics decided if that has changed."""
        if self.journal is None or RANK not in {-1, 0}:
            return
        path = RunFolder(self.journal.parent).start
        before = TrainingStart.read(path)
        if before is None and self._state is not None:  # the run began before there was a training.json
            before = TrainingStart.from_journal(read_journal(self.journal))
        if self.loaded is not None:
            loaded, placebo = self.loaded, dict(self.placebo)
        elif before is not None:  # a resumed multi-GPU training fills its model from the last checkpoint
            loaded, placebo = before.weights, before.placebo
        else:
            raise ValueError(f"{path} is gone, so this run cannot resume; remove its folder to train it anew")
        now = TrainingStart(loaded, placebo, list(self.groups), decided(self))
        if before is None or before.decided != now.decided:
            self.note(Kind.TRAINING, decided=now.decided)
        now.write(path)

    def build_optimizer(self, model: nn.Module, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Build Ultralytics' optimizer, and apply `optimizer.attention` to the graft's parameters."""
        changed = restore_gradients(unwrap_model(model), self.learns)
        if self.world_size > 1 and any(self.learns[name] for name in changed):
            raise ValueError(
                f"Ultralytics freezes {changed[0]} because of its name, so its values would differ between GPUs; "
                "rename that attribute of your module"
            )
        if self.graft_options.frozen and self.frozen_buffers is None:
            self.frozen_buffers = FrozenBuffers(unwrap_model(model))
        optimizer: torch.optim.Optimizer = super().build_optimizer(model, *args, **kwargs)
        regroup(optimizer, unwrap_model(model), self.graft_options, self.batch_size, self.args.nbs)
        self.groups = describe(optimizer, unwrap_model(model))
        self.note(Kind.OPTIMIZER, groups=plain(self.groups))
        return optimizer

    def optimizer_step(self) -> None:
        """Restore the buffers of a frozen graft before Ultralytics' step, which also averages the weights."""
        _restore_frozen(self)
        super().optimizer_step()

    def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
        """Build Ultralytics' loader, and convert a step budget to epochs, whose length is known only now."""
        loader = super().get_dataloader(dataset_path, batch_size, rank, mode)
        listed = getattr(loader.dataset, "label_files", [])
        if listed and (dropped := len(listed) - len(loader.dataset.im_files)):
            self.note(Kind.IMAGES_DROPPED, split=mode, dropped=dropped, of=len(listed))
        if self.steps is not None and mode == "train":
            accumulate = max(round(self.args.nbs / self.batch_size), 1)
            epochs, self.last_batch = epochs_of_steps(self.steps, len(loader), accumulate, self.args.warmup_epochs)
            self.epochs = self.args.epochs = epochs
        return loader

    def _model_train(self) -> None:
        """Set the train mode; Ultralytics freezes batch norms by name, but the graft's batch norms follow the graft."""
        super()._model_train()
        freeze_batch_norms(unwrap_model(self.model), self.args.freeze, self.graft_options.frozen)

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Write the epoch to Ultralytics' results.csv and, with the graft's scalars, to the journal."""
        super().save_metrics(metrics)
        values = {name: float(value) for name, value in metrics.items()}
        self.note(Kind.EPOCH, **vars(Epoch(self.epoch + 1, values, grafted_scalars(unwrap_model(self.model)))))
        if self.journal is not None and (left := time_left(self, epoch_seconds(read_journal(self.journal)))):
            LOGGER.info(left)

    def final_eval(self) -> None:
        """Score best.pt, which with select=last is the network of the last epoch."""
        if self.select == Select.last and RANK in {-1, 0} and self.last.exists():
            with atomic(self.best) as partial:
                shutil.copyfile(self.last, partial)
        super().final_eval()

    def _build_train_pipeline(self) -> None:
        """Journal the halved batch when Ultralytics rebuilds its loaders after running out of memory."""
        rebuilt = self.optimizer is not None
        super()._build_train_pipeline()
        if rebuilt:
            set_own_decay(self.optimizer, self.graft_options, self.batch_size, self.args.nbs)
            self.note(Kind.BATCH_HALVED, batch=self.batch_size)
            self._hand_over()


class GraftTrainer(Grafting, DetectionTrainer):
    """DetectionTrainer that grafts attention onto its model and stores the matches of best.pt."""

    def auto_batch(self, *args: Any, **kwargs: Any) -> int:
        """Batch size for a share of the GPU's memory, found once with the stock network for all variants."""
        if self.resumed_batch is not None:
            return self.resumed_batch
        what = {
            "model": self.args.model if os.path.isabs(self.args.model) else Path(self.args.model).stem,
            "classes": self.data["nc"],
            "channels": self.data["channels"],
            "images": str(self.data["train"]),
            "fraction": self.args.fraction,
            "share": self.batch_size,
            "imgsz": self.args.imgsz,
            "multi_scale": self.args.multi_scale,
            "amp": self.args.amp,
        }
        self.found_batch = shared_batch(self.batch_folder, what, self._batch_of_stock)
        return self.found_batch

    def _batch_of_stock(self) -> int:
        grafted = self.model.to("cpu")
        stock = build_stock(str(self.args.model), self.data["nc"], self.data["channels"])
        self.model = stock.to(self.device)
        try:
            with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                batch: int = super().auto_batch()
        finally:
            self.model = grafted.to(self.device)
        return batch

    def get_validator(self) -> MatchValidator:
        """Build Ultralytics' validator; after the training it writes matches.npz beside the journal."""
        validator = MatchValidator.writing_to(self.journal and RunFolder(self.journal.parent).detections)
        return validator(self.test_loader, save_dir=self.save_dir, args=copy(self.args), _callbacks=self.callbacks)


def _restore_frozen(trainer: Grafting) -> None:
    if trainer.frozen_buffers is not None:
        trainer.frozen_buffers.restore()


def _stop_after_last_step(trainer: Grafting) -> None:
    trainer.stop = trainer.stop or trainer.epoch * len(trainer.train_loader) + trainer.batches >= trainer.last_batch


def check_arguments(arguments: dict[str, Any]) -> None:
    """Check the trainer's arguments by Ultralytics' own rules.

    Raises:
        ValueError: naming the argument that Ultralytics refuses.
    """
    try:
        get_cfg(overrides=arguments)
    except (TypeError, SyntaxError) as error:
        raise ValueError(str(error)) from error
