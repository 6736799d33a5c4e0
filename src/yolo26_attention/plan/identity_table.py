"""The options that define an experiment, and the value at which each is left out of its identity.

Each option has one of three entries: ALWAYS (included at any value), OUT (no effect on results), or a value at which it
is left out. That value is the option's default at the time it was added here, and never changes: if the default changes
later, runs at the new default get another identity, and all others keep theirs. A new option is added with its default,
so that no identity changes. An option without an entry is always included; tests/plan/test_identity.py requires an
entry for each.
"""

from enum import Enum
from typing import Any


class Part(Enum):
    """Entry of an option that is included or left out at any value."""

    ALWAYS = "always"
    OUT = "out"


ALWAYS, OUT = Part.ALWAYS, Part.OUT

PROGRAM: dict[str, Any] = {
    "seed": ALWAYS,
    "repeat": 0,
    "data": {"test_images": OUT},  # identified by the content of train and val, not by its options
    "model": {"name": ALWAYS, "weights": ALWAYS, "yaml": OUT},  # checkpoint and YAML are identified by their content
    "placement": {"sites": ALWAYS, "mode": "append", "gate": "none"},
    "placebo": {"matches": ALWAYS, "options": None, "by": "parameters"},
    # Where the run executes and writes, how it is tracked and timed.
    "tracking": OUT,
    "latency": OUT,
    "study": OUT,
    "output_dir": OUT,
    "force": OUT,
    "retry": OUT,
    "pause": OUT,
    "trust": OUT,
    "objectives": OUT,
}
OPTIMIZER: dict[str, Any] = {
    "name": ALWAYS,
    "lrf": 0.01,
    "weight_decay": 0.0005,
    "warmup_momentum": 0.8,
    "cos_lr": False,
    "attention": {"lr_factor": 1.0, "muon": True, "weight_decay": None, "frozen": False},
}
# For optimizers with a given learning rate; `auto` has none of these.
TUNED: dict[str, Any] = {"lr0": ALWAYS, "momentum": 0.937, "warmup_bias_lr": 0.1}
TRAINER: dict[str, Any] = {
    "epochs": ALWAYS,
    "batch": 16,
    "nbs": 64,
    "warmup_epochs": 3.0,
    "imgsz": 640,
    "device": OUT,
    "workers": OUT,
    "threads": OUT,
    "time": None,
    "steps": None,
    "patience": 100,
    "amp": True,
    "deterministic": True,
    "single_cls": False,
    "rect": False,
    "close_mosaic": 10,
    "fraction": 1.0,
    "freeze": None,
    "multi_scale": 0.0,
    "compile": False,
    "channels_last": None,
    "cache": False,  # ram changes the mosaics; disk does not
    "val": True,
    "select": "best",
    "plots": OUT,
    "save_period": OUT,
    "cls_remap": True,
    "conf": None,
    "iou": 0.7,
    "max_det": 300,
    "box": 7.5,
    "cls": 0.5,
    "cls_pw": 0.0,
    "dfl": 1.5,
    "hsv_h": 0.015,
    "hsv_s": 0.7,
    "hsv_v": 0.4,
    "degrees": 0.0,
    "translate": 0.1,
    "scale": 0.5,
    "shear": 0.0,
    "perspective": 0.0,
    "flipud": 0.0,
    "fliplr": 0.5,
    "bgr": 0.0,
    "mosaic": 1.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "copy_paste": 0.0,
    "copy_paste_mode": "flip",
}
ATTENTION: dict[str, dict[str, Any]] = {
    "baseline": {},
    "placebo": {"shortcut": True},
    "mix": {"grafts": ALWAYS},  # each entry by the table of its own attention
    "acmix": {
        "heads": 4,
        "kernel_att": 7,
        "kernel_conv": 3,
        "dilation": 1,
        "paths": "both",
        "combine": "learned",
        "rate1": 0.5,
        "rate2": 0.5,
        "shift": "learned",
        "position": True,
        "implementation": "auto",
    },
    "sasa": {"heads": 4, "kernel_att": 7, "dilation": 1, "position": True, "implementation": "auto"},
    "neighbourhood": {"heads": 4, "kernel_att": 7, "dilation": 1, "implementation": "auto"},
    "simam": {"e_lambda": 0.0001},
    "se": {"reduction": 16, "divisor": 8, "maxpool": False, "gate": "sigmoid"},
    "ese": {"maxpool": False, "gate": "hard_sigmoid"},
    "eca": {"kernel_att": None, "gate": "sigmoid"},
    "ceca": {"kernel_att": None, "gate": "sigmoid"},
    "cbam": {"kernel_att": 7, "reduction": 16, "gate": "sigmoid"},
    "lcbam": {"kernel_att": 7, "reduction": 16},
    "coord": {"reduction": 16, "divisor": 8, "shortcut": False, "gate": "sigmoid"},
    "scoord": {"reduction": 4, "divisor": 8, "shortcut": False, "gate": "sigmoid"},
    "ela": {"kernel_att": 7, "shortcut": False, "gate": "sigmoid"},
    "strip": {"kernel_att": 3, "use_conv": True, "shortcut": False, "gate": "sigmoid"},
    "sk": {"kernel_att": 5, "keep_3x3": True, "split_input": True, "groups": 1, "reduction": 16, "divisor": 8},
    "splat": {"kernel_att": 3, "radix": 2, "groups": 1, "reduction": 4, "norm": False},
    "gc": {"reduction": 8, "use_attn": True, "gate": "sigmoid"},
    "gca": {"reduction": 8, "use_attn": True},
    "nl": {"reduction": 8, "divisor": 8, "use_scale": True},
    "lambda": {"heads": 4, "kernel_att": 9, "dim_head": 16},
    "attention2d": {"heads": 4, "bias": True},
    "area": {"heads": None, "area": 4},
    "psa": {"heads": 4, "attn_ratio": 0.5, "shortcut": True},
}
