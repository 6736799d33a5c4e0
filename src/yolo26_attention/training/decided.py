"""The settings that Ultralytics decides when training starts, as plain values for the record.

Ultralytics changes what the configuration asks for: it chooses the batch for a share of the memory, disables mixed
precision or compilation where they fail, shortens the warm-up, raises the limit of detections, and more.
Read from ultralytics/engine/trainer.py (8.4.190).
"""

from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.utils.data import SequentialSampler
from ultralytics.utils.torch_utils import unwrap_model

from yolo26_attention.detector.freezing import graft_gradients
from yolo26_attention.detector.sites import layers_of
from yolo26_attention.training.hardware import training_precision


def decided(trainer: Any) -> dict[str, Any]:
    """Collect the decisions of a trainer that is set up but has not begun.

    Returns:
        images: training images; val_images: validation images; val_batch: of these, images per batch on one device.
        batch: images per batch, over all GPUs; batches: per epoch; last_batch_dropped: whether an incomplete one is.
        accumulate: batches per optimizer step after the warm-up; warmup_batches: its length.
        shuffled: false if `rect` keeps the images in order.
        epochs: maximum; mosaic_epochs: those with mosaic, mixup, cutmix or copy_paste, before `close_mosaic`.
        imgsz: smallest and largest size of training images, in pixels.
        optimizer, lr0, momentum, warmup_bias_lr: as used, also if the optimizer is `auto`.
        precision: fp32, fp16 or bf16; compiled, channels_last, deterministic.
        gpus; workers: processes per GPU that load training images; threads: of PyTorch; cache: ram, disk or null.
        max_det: maximum number of detections per image.
        frozen: number of frozen stock parameters by layer, and names of the graft's frozen parameters.
    """
    args, loader, model = trainer.args, trainer.train_loader, unwrap_model(trainer.model)
    stride, reach, gpus = trainer.stride, args.multi_scale, trainer.world_size
    return {
        "images": len(loader.dataset),
        "val_images": len(trainer.test_loader.dataset),
        "val_batch": trainer.batch_size // max(gpus, 1) * 2,
        "batch": loader.batch_size * max(gpus, 1),
        "batches": len(loader),
        "last_batch_dropped": bool(loader.drop_last),
        "accumulate": trainer.accumulate,
        "warmup_batches": trainer._get_warmup_iterations(len(loader)),
        "shuffled": not isinstance(loader.sampler, SequentialSampler),
        "epochs": trainer.epochs,
        "mosaic_epochs": _mosaic_epochs(trainer),
        "imgsz": [
            max(stride, int(args.imgsz * (1 - reach))) // stride * stride,
            int(args.imgsz * (1 + reach)) // stride * stride,
        ],
        "optimizer": type(trainer.optimizer).__name__,
        "lr0": args.lr0,
        "momentum": _momentum(trainer),
        "warmup_bias_lr": args.warmup_bias_lr,
        "precision": training_precision(trainer),
        "compiled": any(hasattr(module, "_orig_mod") for module in trainer.model.modules()),
        "channels_last": layers_of(model)[0].conv.weight.is_contiguous(memory_format=torch.channels_last),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gpus": gpus,
        "workers": loader.num_workers,
        "threads": torch.get_num_threads(),
        "cache": loader.dataset.cache,
        "max_det": args.max_det,
        "frozen": _frozen(model),
    }


def _mosaic_epochs(trainer: Any) -> int:
    args = trainer.args
    mixes = args.copy_paste > 0 or (not args.rect and max(args.mosaic, args.mixup, args.cutmix) > 0)
    return max(trainer.epochs - args.close_mosaic, 0) if mixes else 0


def _momentum(trainer: Any) -> float:
    """AdamW's first beta, or the momentum after the warm-up, which replaces the one that `auto` chooses."""
    group = trainer.optimizer.param_groups[0]
    if "momentum" not in group:
        return float(group["betas"][0])
    warms_up = trainer._get_warmup_iterations(len(trainer.train_loader)) > 0
    return float(trainer.args.momentum if warms_up else group["momentum"])


def _frozen(model: nn.Module) -> dict[str, Any]:
    learns = graft_gradients(model)
    stock = [name for name, p in model.named_parameters() if not p.requires_grad and name not in learns]
    layers = Counter(name.split(".")[1] for name in stock)
    return {"layers": dict(layers), "attention": [name for name, value in learns.items() if not value]}
