"""Ultralytics' detection validator, which also keeps what the final validation matched, image by image."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionValidator
from ultralytics.utils import RANK, ops

from yolo26_attention.compat.ultralytics import without_flops_line
from yolo26_attention.data.label_cache import restrict_label_caches
from yolo26_attention.evaluation.detections import Detections
from yolo26_attention.files.folder import RunFolder

# Arguments of a training that its last validation reads as well.
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
    """DetectionValidator that writes what it matched to a file, once a model is validated on its own.

    The validation after each epoch keeps nothing, and neither does one process of several, which sees a part of the
    images: after a multi-GPU training `validate` does it in the main process.
    """

    path: Path | None = None
    data: Any  # Ultralytics has it None at first

    @classmethod
    def writing_to(cls, path: Path | None) -> type["MatchValidator"]:
        """A subclass with its file, for where Ultralytics wants a class; None writes nothing."""
        return type(cls.__name__, (cls,), {"path": path})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        restrict_label_caches()
        super().__init__(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ultralytics' validation, which fuses a checkpoint's network and describes it in a line."""
        with without_flops_line():
            return super().__call__(*args, **kwargs)

    def init_metrics(self, model: torch.nn.Module) -> None:
        """Ultralytics' preparation before the first image."""
        super().init_metrics(model)
        self.kept: list[tuple[str, tuple[int, int], Tensor, Tensor]] = []

    def _process_batch(self, preds: dict[str, Tensor], batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """Match one image's detections; keep its boxes in pixels of the original image."""
        if self.path is not None and not self.training and RANK == -1:
            shape = batch["ori_shape"]
            boxes = self.scale_preds(preds, batch)["bboxes"].cpu()
            objects: Any = ops.scale_boxes(batch["imgsz"], batch["bboxes"].clone(), shape, batch["ratio_pad"])
            self.kept.append((batch["im_file"], shape, boxes, objects.cpu()))
        return super()._process_batch(preds, batch)

    def get_stats(self) -> dict[str, Any]:
        """Ultralytics' metrics; what they were computed from is written first, because they forget it."""
        if self.path is not None and self.kept:
            self._detections().write(self.path)
        return super().get_stats()

    def _detections(self) -> Detections:
        stats = self.metrics.stats
        files, shapes, boxes, objects = zip(*self.kept, strict=True)
        images, first, index = np.unique(
            np.array([_relative(file, self.data["path"]) for file in files]), return_index=True, return_inverse=True
        )
        conf = np.concatenate(stats["conf"])
        order = np.argsort(-conf)  # Ultralytics' own call on the same array: ties fall as they did in its mAP
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


def validate(checkpoint: Path, arguments: dict[str, Any]) -> dict[str, float]:
    """Ultralytics' metrics of a checkpoint on the validation images, with the arguments of its training.

    What it matched is written to matches.npz beside the folder of the training.
    """
    metrics = YOLO(checkpoint).val(
        validator=MatchValidator.writing_to(RunFolder(Path(arguments["save_dir"]).parent).detections),
        data=arguments["data"],
        imgsz=arguments["imgsz"],
        batch=arguments["batch"] * 2,
        **{name: arguments[name] for name in READ_BY_VALIDATION},
    )
    results: dict[str, float] = metrics.results_dict
    return results


def _relative(file: str, root: Path) -> str:
    """A name that does not depend on where the data set lies, if the image is inside of it."""
    path = Path(file)
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
