"""Options of every attention mechanism, free of torch so that `--help` and completion stay quick.

Each class holds exactly the keyword arguments of the class that `_target_` names, which is called with the channels of
a site as its first argument.
"""

from dataclasses import dataclass
from enum import Enum


class Paths(Enum):
    """Which of ACmix's two paths contribute."""

    both = "both"
    attention = "attention"
    convolution = "convolution"


class Combine(Enum):
    """How ACmix adds its two paths: the strategies that Pan et al. (2022) compare in their ablation."""

    learned = "learned"
    complement = "complement"
    sum = "sum"
    fixed = "fixed"


class Shift(Enum):
    """How ACmix's shift convolution starts, and whether it learns."""

    learned = "learned"
    fixed = "fixed"
    random = "random"


class Implementation(Enum):
    """Which implementation computes the windowed attention; auto takes the first that can run."""

    auto = "auto"
    tiled = "tiled"
    triton = "triton"
    shifted = "shifted"


@dataclass
class BaselineConfig:
    """No attention: the stock model, built along the same path as every variant."""

    name: str = "baseline"


@dataclass
class ACmixConfig:
    """Options of `src.attention.acmix.ACmix`."""

    name: str = "acmix"
    _target_: str = "src.attention.acmix.ACmix"
    heads: int = 4
    kernel_att: int = 7
    kernel_conv: int = 3
    dilation: int = 1
    paths: Paths = Paths.both
    combine: Combine = Combine.learned
    rate1: float = 0.5
    rate2: float = 0.5
    shift: Shift = Shift.learned
    position: bool = True
    implementation: Implementation = Implementation.auto


ATTENTION_SCHEMAS = {"baseline": BaselineConfig, "acmix": ACmixConfig}
