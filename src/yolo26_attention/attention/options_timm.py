"""Options of the mechanisms from timm; attention/from_timm.py has the functions. Does not import torch.

A mechanism that squeezes its channels keeps channels / reduction, rounded to a multiple of `divisor` and never below
`divisor`. Defaults are timm's unless a class says otherwise.
"""

from dataclasses import dataclass
from enum import Enum

from yolo26_attention.attention.option_field import DIVIDES, ODD, POSITIVE, option


class Gate(Enum):
    """Function that maps an attention score to a factor between 0 and 1."""

    sigmoid = "sigmoid"
    hard_sigmoid = "hard_sigmoid"


_DIVISOR = "the number of squeezed channels is a multiple of divisor, and at least divisor"
_MAXPOOL = "squeeze by the average of mean and maximum, instead of the mean"
_GATE = "activation function of the gate"
_SHORTCUT = "add the input to the output"
_REDUCTION = "squeeze to channels / reduction"
_CHANNEL_KERNEL = "length of the convolution in channels; null: computed from the number of channels, as in the paper"
_SPATIAL_KERNEL = "side of the spatial attention's convolution in pixels"
_CHANNEL_REDUCTION = "the channel attention squeezes to channels / reduction"
_USE_ATTN = "pool by attention over the pixels; false: by their mean"


@dataclass
class SEConfig:
    """Squeeze and excitation: channels weighted from their means (Hu et al. 2018)."""

    name: str = "se"
    _target_: str = "yolo26_attention.attention.from_timm.se"
    reduction: int = option(16, _REDUCTION, "1 to channels / divisor, or 16")
    divisor: int = option(8, f"{_DIVISOR}; with 64 channels, reduction=8 and 16 are therefore the same", POSITIVE)
    maxpool: bool = option(False, _MAXPOOL)
    gate: Gate = option(Gate.sigmoid, _GATE)


@dataclass
class ESEConfig:
    """Effective squeeze and excitation: one layer without a bottleneck (Lee and Park 2020)."""

    name: str = "ese"
    _target_: str = "yolo26_attention.attention.from_timm.ese"
    maxpool: bool = option(False, _MAXPOOL)
    gate: Gate = option(Gate.hard_sigmoid, _GATE)


@dataclass
class ECAConfig:
    """Efficient channel attention: a convolution along the channels' means (Wang et al. 2020)."""

    name: str = "eca"
    _target_: str = "yolo26_attention.attention.from_timm.eca"
    kernel_att: int | None = option(None, _CHANNEL_KERNEL, f"{ODD}, at most the channels")
    gate: Gate = option(Gate.sigmoid, _GATE)


@dataclass
class CECAConfig:
    """Efficient channel attention (Wang et al. 2020) with circular padding of the channels; timm's variant."""

    name: str = "ceca"
    _target_: str = "yolo26_attention.attention.from_timm.ceca"
    kernel_att: int | None = option(None, _CHANNEL_KERNEL, f"{ODD}, at most the channels")
    gate: Gate = option(Gate.sigmoid, _GATE)


@dataclass
class CBAMConfig:
    """Channel attention, then spatial attention (Woo et al. 2018)."""

    name: str = "cbam"
    _target_: str = "yolo26_attention.attention.from_timm.cbam"
    kernel_att: int = option(7, _SPATIAL_KERNEL, ODD)
    reduction: int = option(16, _CHANNEL_REDUCTION, "1 to the channels")
    gate: Gate = option(Gate.sigmoid, "activation function of both gates")


@dataclass
class LCBAMConfig:
    """CBAM (Woo et al. 2018) on the sum of mean and maximum, timm's light variant.

    No gate: timm's class accepts one but ignores it.
    """

    name: str = "lcbam"
    _target_: str = "yolo26_attention.attention.from_timm.lcbam"
    kernel_att: int = option(7, _SPATIAL_KERNEL, ODD)
    reduction: int = option(16, _CHANNEL_REDUCTION, "1 to the channels")


@dataclass
class CoordConfig:
    """Coordinate attention: a factor per row and one per column (Hou et al. 2021)."""

    name: str = "coord"
    _target_: str = "yolo26_attention.attention.from_timm.coord"
    reduction: int = option(
        16,
        "squeeze to two thirds of channels / reduction, so that the module is as large as SE",
        "1 to 2/3 of channels / divisor, or 16",
    )
    divisor: int = option(8, _DIVISOR, POSITIVE)
    shortcut: bool = option(False, _SHORTCUT)
    gate: Gate = option(Gate.sigmoid, _GATE)


@dataclass
class SimpleCoordConfig:
    """Coordinate attention (Hou et al. 2021) without norm, rows and columns added before one gate; timm's variant."""

    name: str = "scoord"
    _target_: str = "yolo26_attention.attention.from_timm.scoord"
    reduction: int = option(4, "squeeze to two thirds of channels / reduction", "1 to 2/3 of channels / divisor, or 4")
    divisor: int = option(8, _DIVISOR, POSITIVE)
    shortcut: bool = option(False, _SHORTCUT)
    gate: Gate = option(Gate.sigmoid, _GATE)


@dataclass
class ELAConfig:
    """Efficient local attention: a depthwise convolution along rows' means and one along columns' (Xu and Wan 2024).

    As in timm, with SiLU before the gate and all channels normalised as one group.
    """

    name: str = "ela"
    _target_: str = "yolo26_attention.attention.from_timm.ela"
    kernel_att: int = option(7, "length of both convolutions in pixels", ODD)
    shortcut: bool = option(False, _SHORTCUT)
    gate: Gate = option(Gate.sigmoid, _GATE)


@dataclass
class StripConfig:
    """Strip attention: one gate on the sum of row means and column means; timm's own, after Hou et al. 2020."""

    name: str = "strip"
    _target_: str = "yolo26_attention.attention.from_timm.strip"
    kernel_att: int = option(3, "length of both depthwise convolutions in pixels", ODD)
    use_conv: bool = option(True, "false: gate the means directly; then nothing is learned, and kernel_att must stay 3")
    shortcut: bool = option(False, _SHORTCUT)
    gate: Gate = option(Gate.sigmoid, _GATE)


@dataclass
class SKConfig:
    """Selective kernel: two convolutions, and a choice between them for every channel (Li et al. 2019).

    Its batch norm gets one value per channel and image, so it refuses to train on a batch of one image, including the
    last batch of an epoch: choose trainer.batch accordingly.
    """

    name: str = "sk"
    _target_: str = "yolo26_attention.attention.from_timm.sk"
    kernel_att: int = option(5, "side of the larger window in pixels; the smaller is 3", "odd, 3 to 255")
    keep_3x3: bool = option(
        True, "enlarge the larger window by dilation, not by more weights; must stay true with kernel_att=3"
    )
    split_input: bool = option(True, "each convolution sees half of the channels")
    groups: int = option(
        1, "groups of the convolutions", "divides half of the channels, or all of them with split_input=false"
    )
    reduction: int = option(16, _REDUCTION, "1 to channels / divisor, or 16")
    divisor: int = option(8, _DIVISOR, POSITIVE)


@dataclass
class SplatConfig:
    """Split attention: a grouped convolution whose splits compete for every channel (Zhang et al. 2020)."""

    name: str = "splat"
    _target_: str = "yolo26_attention.attention.from_timm.splat"
    kernel_att: int = option(3, "side of the convolution in pixels", ODD)
    radix: int = option(2, "number of splits", DIVIDES)
    groups: int = option(
        1, "groups of the convolution, the paper's cardinality", "divides channels / radix and the squeezed channels"
    )
    reduction: int = option(
        4, "squeeze to channels * radix / reduction, at least 32", "1 to channels * radix / 32, or 4"
    )
    norm: bool = option(False, "batch norm as in the paper; training batches of one image are then refused, as with sk")


@dataclass
class GCConfig:
    """Global context: one context for the whole map scales the channels (Cao et al. 2019)."""

    name: str = "gc"
    _target_: str = "yolo26_attention.attention.from_timm.gc"
    reduction: int = option(8, _REDUCTION, "1 to the channels")
    use_attn: bool = option(True, _USE_ATTN)
    gate: Gate = option(Gate.sigmoid, _GATE)


@dataclass
class GCAConfig:
    """Global context added to every pixel, the paper's form (Cao et al. 2019).

    Its last layer starts at zero, so the module starts as the identity.
    """

    name: str = "gca"
    _target_: str = "yolo26_attention.attention.from_timm.gca"
    reduction: int = option(8, _REDUCTION, "1 to the channels")
    use_attn: bool = option(True, _USE_ATTN)


@dataclass
class NonLocalConfig:
    """Non-local block: every pixel attends to all pixels, added to the input (Wang et al. 2018).

    Its norm starts at zero, so the module starts as the identity. Memory grows with (H * W)^2. The products are scaled
    after the sum, so in half precision they overflow for activations of a few dozen.
    """

    name: str = "nl"
    _target_: str = "yolo26_attention.attention.from_timm.nl"
    reduction: int = option(
        8, "queries, keys and values have channels / reduction channels", "1 to channels / divisor, or 8"
    )
    divisor: int = option(8, _DIVISOR, POSITIVE)
    use_scale: bool = option(True, "divide the products by the square root of the channels")


@dataclass
class LambdaConfig:
    """Lambda layer: summarises the context as a linear map that is applied to each query (Bello 2021).

    Local positions only, because timm's global ones need a fixed map size. Without a shortcut or a norm after it, it
    changes the scale of the features: by about 8 at the start.
    """

    name: str = "lambda"
    _target_: str = "yolo26_attention.attention.from_timm.lambda_layer"
    heads: int = option(4, "number of heads", DIVIDES)
    kernel_att: int = option(9, "side of the window of local positions in pixels", ODD)
    dim_head: int = option(16, "channels of a query and of a key", POSITIVE)


@dataclass
class Attention2dConfig:
    """Multi-head attention of every pixel to all pixels, without positions (Vaswani et al. 2017).

    4 heads, as in the windowed mechanisms, instead of timm's 32, which give 2 channels per head at 64. It uses torch's
    fused attention: on CUDA its backward may differ between runs, as Ultralytics requests determinism with warnings
    only.
    """

    name: str = "attention2d"
    _target_: str = "yolo26_attention.attention.from_timm.attention2d"
    heads: int = option(4, "number of heads", DIVIDES)
    bias: bool = option(True, "bias of the projections")


TIMM_SCHEMAS = {
    "se": SEConfig,
    "ese": ESEConfig,
    "eca": ECAConfig,
    "ceca": CECAConfig,
    "cbam": CBAMConfig,
    "lcbam": LCBAMConfig,
    "coord": CoordConfig,
    "scoord": SimpleCoordConfig,
    "ela": ELAConfig,
    "strip": StripConfig,
    "sk": SKConfig,
    "splat": SplatConfig,
    "gc": GCConfig,
    "gca": GCAConfig,
    "nl": NonLocalConfig,
    "lambda": LambdaConfig,
    "attention2d": Attention2dConfig,
}
