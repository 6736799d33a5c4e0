"""What each argument of Ultralytics' `yolo train` is called here, or why there is no such option.

Arguments are those of ultralytics/cfg/default.yaml (8.4.190); a test compares them with the installed version.
"""

from dataclasses import fields

from yolo26_attention.config.schema import TrainerConfig, TunedOptimizerConfig

OURS = {"name", "attention", "threads", "steps", "select"}  # options here that `yolo train` does not have
KEYS = {
    **{field.name: f"optimizer.{field.name}" for field in fields(TunedOptimizerConfig) if field.name not in OURS},
    **{field.name: f"trainer.{field.name}" for field in fields(TrainerConfig) if field.name not in OURS},
    "seed": "seed",
}
_OTHER_TASK = "belongs to {}; this program trains detection"
_EXPORT = "belongs to exports: python -m src.export {}=..."
_PREDICTION = "belongs to prediction, not to training"
OTHERWISE = {
    "task": "this program trains detection; leave it out",
    "mode": "the command determines it: python -m src.train, src.export, src.profile",
    "model": "name a network with model=yolo26n, your own with model.yaml=PATH, a checkpoint with model.weights=PATH",
    "data": "give a data set of your own with data.yaml=PATH, one that is known by name with data=NAME",
    "pretrained": "start from a checkpoint with model.weights=PATH; without it, training starts from random values",
    "optimizer": "choose optimizer=musgd, sgd, adamw or auto",
    "project": "output_dir=DIR is the folder of all output; tracking.project=NAME is the project of Weights & Biases",
    "name": "a run is named after its configuration; name a set of runs with study=NAME",
    "exist_ok": "force=true trains a finished run again and keeps the old one",
    "resume": "the same command continues an interrupted run; leave it out",
    "save": "every run keeps best.pt; leave it out",
    "verbose": "leave it out; AP by class is always in record.json",
    "split": "runs are validated on the val: images of the data set's YAML; change them there",
    "save_json": "AP by object size is always computed, without pycocotools; leave it out",
    "cfg": "write your recipe to trainer/NAME.yaml in the folder given with -cd DIR, and choose it with trainer=NAME",
    "profile": "python -m src.profile measures a network",
    "quantize": "training with quantization is not offered; python -m src.export int8=true quantizes a trained network",
    "distill_model": "distillation is not offered: the teacher would be a second difference between the variants",
    "dis": "distillation is not offered: the teacher would be a second difference between the variants",
    **{key: _OTHER_TASK.format("segmentation") for key in ("overlap_mask", "mask_ratio", "retina_masks")},
    **{key: _OTHER_TASK.format("classification") for key in ("dropout", "auto_augment", "erasing")},
    **{key: _OTHER_TASK.format("pose estimation") for key in ("pose", "kobj", "rle")},
    "angle": _OTHER_TASK.format("oriented boxes"),
    **{key: _OTHER_TASK.format("depth estimation") for key in ("dlog", "dgrad", "dlam")},
    **{key: _EXPORT.format(key) for key in ("format", "dynamic", "simplify", "opset", "nms")},
    "optimize": "belongs to an export format that this program does not offer",
    "workspace": "belongs to Ultralytics' own export to TensorRT",
    "dnn": "belongs to inference with OpenCV; see latency.backend for the runtimes here",
    "agnostic_nms": "not offered: a box suppresses only boxes of its own class, as by default in Ultralytics",
    "augment": "belongs to prediction: test-time augmentation",
    **dict.fromkeys(
        (
            *("source", "vid_stride", "stream_buffer", "visualize", "classes", "embed", "show", "save_frames"),
            *("save_txt", "save_conf", "save_crop", "show_labels", "show_conf", "show_boxes", "line_width", "tracker"),
        ),
        _PREDICTION,
    ),
}
NEAREST_OPTIMIZER = "not offered, as nobody has tried it on a graft here; the nearest is optimizer=adamw"
OTHER_OPTIMIZERS = ("Adam", "Adamax", "NAdam", "RAdam", "RMSprop")


def answer(key: str) -> str | None:
    """Answer a key that is no option here but an argument of `yolo train`; None for any other key.

    Args:
        key: as given, with or without a group: `lr0`, `trainer.lr0`.
    """
    name = key.rpartition(".")[2]
    if name == "weights":
        return OTHERWISE["pretrained"]
    if name in KEYS and KEYS[name] != key:
        return f"did you mean {KEYS[name]}?"
    return OTHERWISE.get(name)


def table() -> list[str]:
    """Every argument of `yolo train` as a Markdown table, in alphabetical order."""
    rows = {name: f"`{key}`" for name, key in KEYS.items()} | OTHERWISE
    return ["| `yolo train` | here |", "| --- | --- |", *(f"| `{name}` | {rows[name]} |" for name in sorted(rows))]
