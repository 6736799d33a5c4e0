"""Ultralytics' detection validator, which also stores the matches of the final validation for each image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionValidator
from ultralytics.utils import RANK, ops

from yolo26_attention.compat.ultralytics import without_flops_line, without_nms_time_limit
from yolo26_attention.data.label_cache import restrict_label_caches
from yolo26_attention.data.splits import name_of
from yolo26_attention.evaluation.detections import Detections
from yolo26_attention.training.hardware import find_device

# Training arguments that the final validation also reads.
READ_BY_VALIDATION = (
    "channels_last",
    "conf",
    "device",
    "iou",
    "max_det",
    "plots",
    "save_dir",
    "single_cls",
    "workers",
)


class MatchValidator(DetectionValidator):
    """DetectionValidator that writes its matches to a file when it validates a model outside of training.

    It stores nothing after each epoch, nor in one of several processes, which sees only a part of the images: after a
    multi-GPU training the main process calls `validate`.
    """

    path: Path | None = None
    data: Any  # Ultralytics initializes it to None

    @classmethod
    def writing_to(cls, path: Path | None) -> type["MatchValidator"]:
        """Create a subclass that writes to a file, as Ultralytics needs a class; None writes nothing."""
        return type(cls.__name__, (cls,), {"path": path})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        restrict_label_caches()
        super().__init__(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Validate as Ultralytics does, but without the time limit that would leave images without detections.

        Ultralytics fuses a checkpoint's network and prints a line about it.
        """
        with without_flops_line(), without_nms_time_limit():
            return super().__call__(*args, **kwargs)

    def init_metrics(self, model: torch.nn.Module) -> None:
        """Prepare as Ultralytics does before the first image."""
        super().init_metrics(model)
        self.kept: list[tuple[str, tuple[int, int], Tensor, Tensor]] = []

    def _process_batch(self, preds: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """Match one image's detections; store its boxes in pixels of the original image."""
        if self.path is not None and not self.training and RANK == -1:
            shape = batch["ori_shape"]
            boxes = self.scale_preds(preds, batch)["bboxes"].cpu()
            objects: Any = ops.scale_boxes(batch["imgsz"], batch["bboxes"].clone(), shape, batch["ratio_pad"])
            self.kept.append((batch["im_file"], shape, boxes, objects.cpu()))
        return super()._process_batch(preds, batch)

    def get_stats(self) -> dict[str, Any]:
        """Return Ultralytics' metrics, after writing the matches, which they discard."""
        if self.path is not None and self.kept:
            self._detections().write(self.path)
        return super().get_stats()

    def _detections(self) -> Detections:
        stats = self.metrics.stats
        files, shapes, boxes, objects = zip(*self.kept, strict=True)
        images, first, index = np.unique(
            np.array([name_of(file, self.data["path"]) for file in files]), return_index=True, return_inverse=True
        )
        conf = np.concatenate(stats["conf"])
        order = np.argsort(-conf)  # Ultralytics' own call on the same array, so that ties have the order of its mAP
        return Detections(
            images=images,
            shapes=np.array(shapes)[first],
            image=np.repeat(index, [len(own) for own in stats["conf"]])[order],
            cls=np.concatenate(stats["pred_cls"]).astype(np.int64)[order],
            conf=conf.astype(np.float32)[order],
            boxes=torch.cat(boxes).float().numpy()[order],
            tp=np.concatenate(stats["tp"])[order],
            object_image=np.repeat(index, [len(own) for own in stats["target_cls"]]),
            object_cls=np.concatenate(stats["target_cls"]).astype(np.int64),
            object_boxes=torch.cat(objects).float().numpy().reshape(-1, 4),
        )


def validate(
    checkpoint: Path,
    arguments: Mapping[str, Any],
    training: Mapping[str, Any],
    matches: Path,
    split: Literal["val", "test"] = "val",
) -> dict[str, float]:
    """Compute Ultralytics' metrics of a checkpoint on a split, as its training validated it on one device.

    Args:
        checkpoint: of the network.
        arguments: Ultralytics' arguments of its training.
        training: what that training decided: `training.decided`.
        matches: where the matches are written.
        split: of the data set; Ultralytics' plots are of `val` alone.
    """
    options = {name: arguments[name] for name in READ_BY_VALIDATION}
    metrics = YOLO(checkpoint).val(
        validator=MatchValidator.writing_to(matches),
        data=arguments["data"],
        imgsz=arguments["imgsz"],
        batch=_batch(arguments, training),
        quantize=16 if _in_half(arguments, training) else None,
        split=split,
        **options | {"plots": options["plots"] and split == "val"},
    )
    results: dict[str, float] = metrics.results_dict
    return results


def _batch(arguments: Mapping[str, Any], training: Mapping[str, Any]) -> int:
    """Images per batch: images of a batch are padded to one shape, so it has a part in the score."""
    if "val_batch" in training:
        return int(training["val_batch"])
    batch = training.get("batch", arguments["batch"])  # an earlier version recorded only the training's
    return int(batch // max(training.get("gpus", 1), 1) * 2) if batch >= 1 else 16


def _in_half(arguments: Mapping[str, Any], training: Mapping[str, Any]) -> bool:
    """Whether Ultralytics validates in fp16, which it does with any mixed precision unless on a CPU."""
    return training.get("precision", "fp32") != "fp32" and find_device(arguments["device"]).type != "cpu"
