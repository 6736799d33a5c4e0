"""The identity of a run before identities had a version. Frozen, so that those runs are still found.

It was a hash over all options of that time, at any value, with the module paths of classes.
"""

from collections.abc import Mapping
from typing import Any

from yolo26_attention.files.digest import json_digest
from yolo26_attention.plan.identity import differing, images_in_memory
from yolo26_attention.plan.identity_table import ATTENTION, OPTIMIZER, PROGRAM, TRAINER, TUNED

OUT = ("tracking", "latency", "study", "output_dir", "force", "retry", "pause", "trust", "objectives")
TRAINER_OUT = ("device", "workers", "threads", "cache", "plots", "save_period")
GROUPS = ("attention", "placement", "model", "data", "optimizer", "trainer", "placebo", "seed")
TRAINER_KEYS = (
    "epochs batch nbs warmup_epochs imgsz time steps patience amp deterministic single_cls rect close_mosaic fraction "
    "freeze multi_scale compile channels_last val cls_remap conf iou max_det box cls cls_pw dfl hsv_h hsv_s hsv_v "
    "degrees translate scale shear perspective flipud fliplr bgr mosaic mixup cutmix copy_paste copy_paste_mode"
).split()
OPTIMIZER_KEYS = "name lrf weight_decay warmup_momentum cos_lr attention".split()
TUNED_KEYS = "lr0 momentum warmup_bias_lr".split()
GRAFT_KEYS = "lr_factor muon weight_decay frozen".split()
PLACEMENT_KEYS = "sites mode gate".split()
PLACEBO_KEYS = "matches options by".split()
TARGETS = {
    "acmix": "src.attention.acmix.ACmix",
    "sasa": "src.attention.sasa.SASA",
    "neighbourhood": "src.attention.neighbourhood.NeighbourhoodAttention",
    "simam": "src.attention.simam.SimAM",
    "area": "src.detector.from_ultralytics.AreaAttention",
    "psa": "src.detector.from_ultralytics.psa",
    "placebo": "src.attention.placebo.Placebo",
    "lambda": "src.attention.from_timm.lambda_layer",
    **{
        name: f"src.attention.from_timm.{name}"
        for name in "se ese eca ceca cbam lcbam coord scoord ela strip sk splat gc gca nl attention2d".split()
    },
}
OPTIONS = {
    "placebo": ["shortcut"],
    "acmix": "heads kernel_att kernel_conv dilation paths combine rate1 rate2 shift position implementation".split(),
    "sasa": "heads kernel_att dilation position implementation".split(),
    "neighbourhood": "heads kernel_att dilation implementation".split(),
    "simam": ["e_lambda"],
    "area": "heads area".split(),
    "psa": "heads attn_ratio shortcut".split(),
    "lambda": "heads kernel_att dim_head".split(),
    "attention2d": "heads bias".split(),
    "se": "reduction divisor maxpool gate".split(),
    "ese": "maxpool gate".split(),
    "eca": "kernel_att gate".split(),
    "ceca": "kernel_att gate".split(),
    "cbam": "kernel_att reduction gate".split(),
    "lcbam": "kernel_att reduction".split(),
    "coord": "reduction divisor shortcut gate".split(),
    "scoord": "reduction divisor shortcut gate".split(),
    "ela": "kernel_att shortcut gate".split(),
    "strip": "kernel_att use_conv shortcut gate".split(),
    "sk": "kernel_att keep_3x3 split_input groups reduction divisor".split(),
    "splat": "kernel_att radix groups reduction norm".split(),
    "gc": "reduction use_attn gate".split(),
    "gca": "reduction use_attn".split(),
    "nl": "reduction divisor use_scale".split(),
}


class NewerOptionError(ValueError):
    """A newer option has a value other than that of the old behaviour."""


def identity_v0(config: Mapping[str, Any], data: str, weights: str | None) -> str | None:
    """Compute the twelve hexadecimal digits; None if the same options meant another training then, or several.

    Args:
        config: the current resolved configuration as plain values.
        data: fingerprint of the data set by the old method.
        weights: fingerprint of the starting checkpoint; None for a random start.
    """
    try:
        content = _content(config)
    except NewerOptionError:
        return None
    if _means_another_training(content) or images_in_memory(config["trainer"]):
        return None
    content |= {"data": data, "model": {"name": config["model"]["name"], "weights": weights}}
    return json_digest(content)[:12]


def _means_another_training(content: Mapping[str, Any]) -> bool:
    """Frozen layers also froze the graft then, and the batch size that was found was not recorded."""
    trainer = content["trainer"]
    freezes_graft = content["attention"]["name"] != "baseline" and trainer["freeze"] is not None
    return freezes_graft or trainer["batch"] < 1


def _content(config: Mapping[str, Any]) -> dict[str, Any]:
    name = config["attention"]["name"]
    groups = {key: value for key, value in config.items() if key not in OUT}
    content = _as_then(groups, GROUPS, PROGRAM)
    content["attention"] = _attention(config["attention"])
    trainer = {key: value for key, value in config["trainer"].items() if key not in TRAINER_OUT}
    content["trainer"] = _as_then(trainer, TRAINER_KEYS, TRAINER)
    tuned = TUNED_KEYS if "lr0" in config["optimizer"] else []
    content["optimizer"] = _as_then(config["optimizer"], [*OPTIMIZER_KEYS, *tuned], {**OPTIMIZER, **TUNED})
    graft = content["optimizer"].pop("attention")
    del content["placebo"], content["placement"]
    if name == "placebo":
        placebo = {key: value for key, value in config["placebo"].items() if key != "source"}
        content["placebo"] = _as_then(placebo, PLACEBO_KEYS, PROGRAM["placebo"])
    if name != "baseline":
        content["placement"] = _as_then(config["placement"], PLACEMENT_KEYS, PROGRAM["placement"])
        content["optimizer"]["attention"] = _as_then(graft, GRAFT_KEYS, OPTIMIZER["attention"])
    return content


def _attention(values: Mapping[str, Any]) -> dict[str, Any]:
    name = values["name"]
    if name == "baseline" or name not in TARGETS:
        return dict(values)
    options = {key: value for key, value in values.items() if key not in {"name", "_target_"}}
    return {"name": name, "_target_": TARGETS[name], **_as_then(options, OPTIONS[name], ATTENTION[name])}


def _as_then(values: Mapping[str, Any], keys: list[str] | tuple[str, ...], table: Mapping[str, Any]) -> dict[str, Any]:
    """The options that existed then; a newer option must have the value of the old behaviour.

    Raises:
        NewerOptionError: if it has another value.
    """
    newer = {key: value for key, value in values.items() if key not in keys}
    if differing(newer, table):
        raise NewerOptionError(str(newer))
    return {key: values.get(key, table.get(key)) for key in keys}
