"""Mechanisms from timm, with this program's option names, checked before timm receives them.

Each function builds timm's own module, (B, channels, H, W) to the same; attention/options_timm.py describes the
options. All raise ValueError with option, value and a way out if an option does not fit.
"""

import math
from collections.abc import Callable

from jaxtyping import Float
from timm.layers import Attention2d, create_attn, make_divisible
from torch import Tensor, nn

from yolo26_attention.attention.options import check_heads, check_kernel

GATES = ("sigmoid", "hard_sigmoid")


def se(
    channels: int, *, reduction: int = 16, divisor: int = 8, maxpool: bool = False, gate: str = "sigmoid"
) -> nn.Module:
    """Squeeze and excitation (Hu et al. 2018)."""
    _check_gate(gate)
    _check_reduction(reduction, channels, divisor, own=16)
    return create_attn("se", channels, rd_ratio=1 / reduction, rd_divisor=divisor, add_maxpool=maxpool, gate_layer=gate)


def ese(channels: int, *, maxpool: bool = False, gate: str = "hard_sigmoid") -> nn.Module:
    """Effective squeeze and excitation (Lee and Park 2020)."""
    _check_gate(gate)
    return create_attn("ese", channels, add_maxpool=maxpool, gate_layer=gate)


def eca(channels: int, *, kernel_att: int | None = None, gate: str = "sigmoid") -> nn.Module:
    """Efficient channel attention (Wang et al. 2020)."""
    return _channel_convolution("eca", channels, kernel_att, gate)


def ceca(channels: int, *, kernel_att: int | None = None, gate: str = "sigmoid") -> nn.Module:
    """Efficient channel attention on a ring of channels (timm)."""
    return _channel_convolution("ceca", channels, kernel_att, gate)


def cbam(channels: int, *, kernel_att: int = 7, reduction: int = 16, gate: str = "sigmoid") -> nn.Module:
    """Convolutional block attention module (Woo et al. 2018)."""
    _check_gate(gate)
    check_kernel("kernel_att", kernel_att)
    _check_reduction(reduction, channels, own=16)
    return create_attn("cbam", channels, rd_ratio=1 / reduction, spatial_kernel_size=kernel_att, gate_layer=gate)


def lcbam(channels: int, *, kernel_att: int = 7, reduction: int = 16) -> nn.Module:
    """CBAM with mean and maximum added first (timm)."""
    check_kernel("kernel_att", kernel_att)
    _check_reduction(reduction, channels, own=16)
    return create_attn("lcbam", channels, rd_ratio=1 / reduction, spatial_kernel_size=kernel_att)


def coord(
    channels: int, *, reduction: int = 16, divisor: int = 8, shortcut: bool = False, gate: str = "sigmoid"
) -> nn.Module:
    """Coordinate attention (Hou et al. 2021)."""
    _check_gate(gate)
    _check_reduction(reduction, channels * 2 / 3, divisor, own=16)
    return create_attn(
        "coord", channels, rd_ratio=1 / reduction, rd_divisor=divisor, has_skip=shortcut, gate_layer=gate
    )


def scoord(
    channels: int, *, reduction: int = 4, divisor: int = 8, shortcut: bool = False, gate: str = "sigmoid"
) -> nn.Module:
    """Coordinate attention, simplified (timm)."""
    _check_gate(gate)
    _check_reduction(reduction, channels * 2 / 3, divisor, own=4)
    return create_attn(
        "scoord", channels, rd_ratio=1 / reduction, rd_divisor=divisor, has_skip=shortcut, gate_layer=gate
    )


def ela(channels: int, *, kernel_att: int = 7, shortcut: bool = False, gate: str = "sigmoid") -> nn.Module:
    """Efficient local attention (Xu and Wan 2024)."""
    _check_gate(gate)
    check_kernel("kernel_att", kernel_att)
    return create_attn("ela", channels, kernel_size=kernel_att, has_skip=shortcut, gate_layer=gate)


def strip(
    channels: int, *, kernel_att: int = 3, use_conv: bool = True, shortcut: bool = False, gate: str = "sigmoid"
) -> nn.Module:
    """Strip attention (timm)."""
    _check_gate(gate)
    check_kernel("kernel_att", kernel_att)
    if not use_conv and kernel_att != 3:
        raise ValueError(f"{kernel_att=} has no effect with use_conv=False; leave it at 3")
    return create_attn("strip", channels, kernel_size=kernel_att, use_conv=use_conv, has_skip=shortcut, gate_layer=gate)


def sk(
    channels: int,
    *,
    kernel_att: int = 5,
    keep_3x3: bool = True,
    split_input: bool = True,
    groups: int = 1,
    reduction: int = 16,
    divisor: int = 8,
) -> nn.Module:
    """Selective kernel (Li et al. 2019)."""
    check_kernel("kernel_att", kernel_att, least=3)
    if kernel_att == 3 and not keep_3x3:
        raise ValueError(f"{keep_3x3=} has no effect with kernel_att=3; leave it at True")
    if split_input and channels % 2:
        raise ValueError(f"{split_input=} cannot halve the {channels} channels; set it to False")
    _check_divides("groups", groups, channels // 2 if split_input else channels)
    _check_reduction(reduction, channels, divisor, own=16)
    module = create_attn(
        "sk",
        channels,
        kernel_size=[3, kernel_att],
        keep_3x3=keep_3x3,
        split_input=split_input,
        groups=groups,
        rd_ratio=1 / reduction,
        rd_divisor=divisor,
    )
    module.register_forward_pre_hook(refuse_single_image)
    return module


def splat(
    channels: int, *, kernel_att: int = 3, radix: int = 2, groups: int = 1, reduction: int = 4, norm: bool = False
) -> nn.Module:
    """Split attention (Zhang et al. 2020)."""
    check_kernel("kernel_att", kernel_att)
    _check_divides("radix", radix, channels)
    _check_divides("groups", groups, channels // radix)
    _check_reduction(reduction, channels * radix, 32, own=4)
    squeezed = make_divisible(channels * radix / reduction, 8, 32)
    if squeezed % groups:
        raise ValueError(
            f"{groups=} does not divide the {squeezed} squeezed channels; try {math.gcd(squeezed, groups)}"
        )
    module = create_attn(
        "splat",
        channels,
        kernel_size=kernel_att,
        radix=radix,
        groups=groups,
        rd_ratio=1 / reduction,
        norm_layer=nn.BatchNorm2d if norm else None,
    )
    if norm:
        module.register_forward_pre_hook(refuse_single_image)
    return module


def gc(channels: int, *, reduction: int = 8, use_attn: bool = True, gate: str = "sigmoid") -> nn.Module:
    """Global context that scales (Cao et al. 2019)."""
    _check_gate(gate)
    _check_reduction(reduction, channels, own=8)
    return create_attn("gc", channels, rd_ratio=1 / reduction, use_attn=use_attn, gate_layer=gate)


def gca(channels: int, *, reduction: int = 8, use_attn: bool = True) -> nn.Module:
    """Global context that is added (Cao et al. 2019)."""
    _check_reduction(reduction, channels, own=8)
    return create_attn("gca", channels, rd_ratio=1 / reduction, use_attn=use_attn)


def nl(channels: int, *, reduction: int = 8, divisor: int = 8, use_scale: bool = True) -> nn.Module:
    """Non-local block (Wang et al. 2018)."""
    _check_reduction(reduction, channels, divisor, own=8)
    return create_attn("nl", channels, rd_ratio=1 / reduction, rd_divisor=divisor, use_scale=use_scale)


def lambda_layer(channels: int, *, heads: int = 4, kernel_att: int = 9, dim_head: int = 16) -> nn.Module:
    """Lambda layer with local positions (Bello 2021)."""
    check_heads(heads, channels)
    check_kernel("kernel_att", kernel_att)
    if dim_head < 1:
        raise ValueError(f"{dim_head=} must be at least 1; try 16")
    module = create_attn("lambda", channels, num_heads=heads, r=kernel_att, dim_head=dim_head)
    module.conv_lambda.__class__ = AnyFormatConv3d
    return module


class AnyFormatConv3d(nn.Conv3d):
    """A Conv3d that tolerates channels_last, which Ultralytics sets on networks for inference on a CPU.

    torch refuses that four-dimensional format for a weight with five dimensions, so the weight is converted as four.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        def as_four(tensor: Tensor) -> Tensor:
            return fn(tensor.flatten(0, 1)).reshape(tensor.shape) if tensor.ndim == 5 else fn(tensor)

        return super()._apply(as_four, recurse)

    def _get_name(self) -> str:
        return nn.Conv3d.__name__  # the name in timm's module


def attention2d(channels: int, *, heads: int = 4, bias: bool = True) -> nn.Module:
    """Multi-head attention over the whole map (Vaswani et al. 2017)."""
    check_heads(heads, channels)
    return Attention2d(channels, num_heads=heads, bias=bias)


def refuse_single_image(module: nn.Module, inputs: tuple[Float[Tensor, "batch channels height width"], ...]) -> None:
    """Forward pre-hook of modules whose batch norm gets one value per channel and image.

    A module-level function, because checkpoints pickle it by name.
    """
    if module.training and inputs[0].shape[0] == 1:
        raise ValueError(
            f"{type(module).__name__} cannot train on a batch of one image, which gives its batch norm one value per "
            "channel; choose trainer.batch so that no batch, including the last of an epoch, has one image"
        )


def _channel_convolution(key: str, channels: int, kernel_att: int | None, gate: str) -> nn.Module:
    _check_gate(gate)
    if kernel_att is None:
        return create_attn(key, channels, gate_layer=gate)
    check_kernel("kernel_att", kernel_att)
    if kernel_att > channels:
        raise ValueError(f"{kernel_att=} is wider than the {channels} channels; try {channels - 1 + channels % 2}")
    # If timm gets the channels, it computes the kernel from them and ignores its argument.
    return create_attn(key, None, kernel_size=kernel_att, gate_layer=gate)


def _check_gate(gate: str) -> None:
    if gate not in GATES:
        raise ValueError(f"{gate=} is unknown; try {' or '.join(GATES)}")


def _check_divides(name: str, value: int, channels: int) -> None:
    try:
        check_heads(value, channels)
    except ValueError as error:
        raise ValueError(str(error).replace("heads", name, 1)) from None


def _check_reduction(reduction: int, channels: float, divisor: int = 1, *, own: int) -> None:
    """Refuse a reduction whose result timm would raise to its minimum, unless it is timm's default."""
    if divisor < 1:
        raise ValueError(f"{divisor=} must be at least 1; try 8")
    if reduction < 1:
        raise ValueError(f"{reduction=} must be at least 1; try {own}")
    if reduction != own and channels / reduction < divisor:
        most = int(channels // divisor)
        way_out = f"reduction={most}" if most else f"reduction={own}, timm's own"
        raise ValueError(
            f"{reduction=} leaves {channels / reduction:.3g} channels, fewer than the minimum of {divisor}; "
            f"try {way_out}"
        )
