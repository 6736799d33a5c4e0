"""Options of the mechanisms from timm; attention/from_timm.py has the functions. Does not import torch.

A mechanism that squeezes its channels keeps channels / reduction, rounded to a multiple of `divisor` and never below
`divisor`. Defaults are timm's unless a class says otherwise.
"""

from dataclasses import dataclass
from enum import Enum


class Gate(Enum):
    """Function that maps an attention score to a factor between 0 and 1."""

    sigmoid = "sigmoid"
    hard_sigmoid = "hard_sigmoid"


@dataclass
class SEConfig:
    """Squeeze and excitation: channels weighted from their means (Hu et al. 2018)."""

    name: str = "se"
    _target_: str = "yolo26_attention.attention.from_timm.se"
    reduction: int = 16
    divisor: int = 8  # with 64 channels, reduction=8 and 16 are therefore the same
    maxpool: bool = False  # squeeze half the mean and half the maximum, instead of the mean
    gate: Gate = Gate.sigmoid


@dataclass
class ESEConfig:
    """Effective squeeze and excitation: one layer without a bottleneck (Lee and Park 2020)."""

    name: str = "ese"
    _target_: str = "yolo26_attention.attention.from_timm.ese"
    maxpool: bool = False  # squeeze half the mean and half the maximum, instead of the mean
    gate: Gate = Gate.hard_sigmoid


@dataclass
class ECAConfig:
    """Efficient channel attention: a convolution along the channels' means (Wang et al. 2020)."""

    name: str = "eca"
    _target_: str = "yolo26_attention.attention.from_timm.eca"
    kernel_att: int | None = None  # in channels, odd; null: from the number of channels, as in the paper
    gate: Gate = Gate.sigmoid


@dataclass
class CECAConfig:
    """Efficient channel attention (Wang et al. 2020) with circular padding of the channels; timm's variant."""

    name: str = "ceca"
    _target_: str = "yolo26_attention.attention.from_timm.ceca"
    kernel_att: int | None = None  # in channels, odd; null: from the number of channels, as in the paper
    gate: Gate = Gate.sigmoid


@dataclass
class CBAMConfig:
    """Channel attention, then spatial attention (Woo et al. 2018)."""

    name: str = "cbam"
    _target_: str = "yolo26_attention.attention.from_timm.cbam"
    kernel_att: int = 7  # side of the spatial attention's convolution in pixels, odd
    reduction: int = 16  # of the channel attention; rounded to whole channels
    gate: Gate = Gate.sigmoid  # of both attentions


@dataclass
class LCBAMConfig:
    """CBAM (Woo et al. 2018) on the sum of mean and maximum, timm's light variant.

    No gate: timm's class accepts one but ignores it.
    """

    name: str = "lcbam"
    _target_: str = "yolo26_attention.attention.from_timm.lcbam"
    kernel_att: int = 7  # side of the spatial attention's convolution in pixels, odd
    reduction: int = 16  # of the channel attention; rounded to whole channels


@dataclass
class CoordConfig:
    """Coordinate attention: a factor per row and one per column (Hou et al. 2021)."""

    name: str = "coord"
    _target_: str = "yolo26_attention.attention.from_timm.coord"
    reduction: int = 16  # two thirds of channels / reduction remain, for the size of SE
    divisor: int = 8
    shortcut: bool = False  # add the input to the output
    gate: Gate = Gate.sigmoid


@dataclass
class SimpleCoordConfig:
    """Coordinate attention (Hou et al. 2021) without norm, rows and columns added before one gate; timm's variant."""

    name: str = "scoord"
    _target_: str = "yolo26_attention.attention.from_timm.scoord"
    reduction: int = 4  # two thirds of channels / reduction remain
    divisor: int = 8
    shortcut: bool = False  # add the input to the output
    gate: Gate = Gate.sigmoid


@dataclass
class ELAConfig:
    """Efficient local attention: a depthwise convolution along rows' means and one along columns' (Xu and Wan 2024).

    As in timm, with SiLU before the gate and all channels normalised as one group.
    """

    name: str = "ela"
    _target_: str = "yolo26_attention.attention.from_timm.ela"
    kernel_att: int = 7  # length of both convolutions in pixels, odd
    shortcut: bool = False  # add the input to the output
    gate: Gate = Gate.sigmoid


@dataclass
class StripConfig:
    """Strip attention: one gate on the sum of row means and column means; timm's own, after Hou et al. 2020."""

    name: str = "strip"
    _target_: str = "yolo26_attention.attention.from_timm.strip"
    kernel_att: int = 3  # length of both depthwise convolutions in pixels, odd
    use_conv: bool = True  # false: gate the means directly; then nothing is learned, and kernel_att must stay 3
    shortcut: bool = False  # add the input to the output
    gate: Gate = Gate.sigmoid


@dataclass
class SKConfig:
    """Selective kernel: two convolutions, and a choice between them for every channel (Li et al. 2019).

    Its batch norm gets one value per channel and image, so it refuses to train on a batch of one image, including the
    last batch of an epoch: choose trainer.batch accordingly.
    """

    name: str = "sk"
    _target_: str = "yolo26_attention.attention.from_timm.sk"
    kernel_att: int = 5  # side of the larger window in pixels, odd; the smaller is 3
    keep_3x3: bool = True  # the larger window by dilation, not by more weights; must stay true with kernel_att=3
    split_input: bool = True  # each convolution sees half of the channels
    groups: int = 1  # groups of the convolutions
    reduction: int = 16
    divisor: int = 8


@dataclass
class SplatConfig:
    """Split attention: a grouped convolution whose splits compete for every channel (Zhang et al. 2020)."""

    name: str = "splat"
    _target_: str = "yolo26_attention.attention.from_timm.splat"
    kernel_att: int = 3  # side of the convolution in pixels, odd
    radix: int = 2  # splits
    groups: int = 1  # the paper's cardinality
    reduction: int = 4  # channels * radix / reduction remain, at least 32
    norm: bool = False  # batch norm as in the paper; training batches of one image are then refused, as with sk


@dataclass
class GCConfig:
    """Global context: one context for the whole map scales the channels (Cao et al. 2019)."""

    name: str = "gc"
    _target_: str = "yolo26_attention.attention.from_timm.gc"
    reduction: int = 8  # rounded to whole channels
    use_attn: bool = True  # pool by attention over the pixels; false: by their mean
    gate: Gate = Gate.sigmoid


@dataclass
class GCAConfig:
    """Global context added to every pixel, the paper's form (Cao et al. 2019).

    Its last layer starts at zero, so the module starts as the identity.
    """

    name: str = "gca"
    _target_: str = "yolo26_attention.attention.from_timm.gca"
    reduction: int = 8  # rounded to whole channels
    use_attn: bool = True  # pool by attention over the pixels; false: by their mean


@dataclass
class NonLocalConfig:
    """Non-local block: every pixel attends to all pixels, added to the input (Wang et al. 2018).

    Its norm starts at zero, so the module starts as the identity. Memory grows with (H * W)^2. The products are scaled
    after the sum, so in half precision they overflow for activations of a few dozen.
    """

    name: str = "nl"
    _target_: str = "yolo26_attention.attention.from_timm.nl"
    reduction: int = 8
    divisor: int = 8
    use_scale: bool = True  # divide the products by the square root of the channels


@dataclass
class LambdaConfig:
    """Lambda layer: summarises the context as a linear map that is applied to each query (Bello 2021).

    Local positions only, because timm's global ones need a fixed map size. Without a shortcut or a norm after it, it
    changes the scale of the features: by about 8 at the start.
    """

    name: str = "lambda"
    _target_: str = "yolo26_attention.attention.from_timm.lambda_layer"
    heads: int = 4
    kernel_att: int = 9  # side of the window of local positions in pixels, odd
    dim_head: int = 16  # channels of a query and of a key


@dataclass
class Attention2dConfig:
    """Multi-head attention of every pixel to all pixels, without positions (Vaswani et al. 2017).

    4 heads, as in the windowed mechanisms, instead of timm's 32, which give 2 channels per head at 64. It uses torch's
    fused attention: on CUDA its backward may differ between runs, as Ultralytics requests determinism with warnings
    only.
    """

    name: str = "attention2d"
    _target_: str = "yolo26_attention.attention.from_timm.attention2d"
    heads: int = 4
    bias: bool = True  # bias of the projections


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
