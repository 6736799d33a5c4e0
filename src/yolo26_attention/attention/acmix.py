"""ACmix: self-attention and convolution from the same three projections (Pan et al. 2022)."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from yolo26_attention.attention.acmix_convolution import ShiftConv, compose, dense, grouped, most_dense_channels
from yolo26_attention.attention.acmix_deployed import DeployedACmix, coordinates
from yolo26_attention.attention.options import (
    ACmixConfig,
    Combine,
    Implementation,
    Paths,
    Shift,
    check_choice,
    check_heads,
    check_idle,
    check_kernel,
)
from yolo26_attention.attention.window import window_attention
from yolo26_attention.attention.window_shifted import window_weights

# Shape legend: B batch, C channels, H height, W width, N heads, D channels per head


class ACmix(nn.Module):
    """Sum of windowed attention and a convolution that share their 1x1 projections q, k and v.

    out = rate1 * attention + rate2 * convolution, from (B, in_channels, H, W) to
    (B, out_channels, ceil(H / stride), ceil(W / stride)), for any H and W of at least 1.

    Attention: softmax over a kernel_att x kernel_att window of q_i . (k_j + pe_i - pe_j) / sqrt(D), applied to v; pe is
    a linear map of the pixel's coordinates, each from -1 to 1 over the map. Borders are reflected, repeatedly if the
    window is larger than the map. Convolution: fc mixes the 3N projections of a head's channel to kernel_conv^2 maps,
    dep_conv shifts and adds them, with zeros beyond the border of q, k and v.

    Args:
        in_channels: channels of the input.
        out_channels: channels of q, k, v and the output; those of the input if None.
        heads: N, must divide out_channels.
        kernel_att: odd side of the attention's window, in pixels.
        kernel_conv: odd side of the convolution, in pixels.
        stride: pixels of the input between neighbouring pixels of the output.
        dilation: pixels between neighbouring keys of one window; the convolution is not dilated.
        paths: which paths contribute, "both", "attention" or "convolution"; one path alone has no rate.
        combine: "learned", two rates; "complement", rate1 learned and rate2 = 1 - rate1; "sum", both 1; "fixed",
            rate1 and rate2 as given.
        rate1: weight of the attention; the initial value if it is learned.
        rate2: weight of the convolution; the initial value if it is learned.
        shift: dep_conv is "learned" from one-hot shifts, "fixed" at them, or learned from "random" values.
        position: whether the logits contain pe.
        implementation: of the windowed attention, "auto" or a name from `window.IMPLEMENTATIONS`.

    Raises:
        ValueError: if a size does not fit, or if an option has no effect with the others.

    Initial values are drawn from torch's global generator for conv1, conv2, conv3, conv_p, fc and dep_conv, in this
    order, even for layers that are not kept, so that all options share their common values.

    Source: Pan et al. 2022, section 4: two stages, two paths, learned rates; the options are the paper's ablations of
    rates and of shifts. Parameter names are those of the authors' code, whose state dicts load as they are, with
    dep_conv.bias or without. Deviations from that code only where it fails: kernel_conv other than 3, dilation, odd
    maps with stride 2, maps not larger than the border.
    conv_p.bias shifts all logits of a window equally, which softmax cancels, so its gradient is exactly zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        *,
        heads: int = ACmixConfig.heads,
        kernel_att: int = ACmixConfig.kernel_att,
        kernel_conv: int = ACmixConfig.kernel_conv,
        stride: int = 1,
        dilation: int = ACmixConfig.dilation,
        paths: str = ACmixConfig.paths.value,
        combine: str = ACmixConfig.combine.value,
        rate1: float = ACmixConfig.rate1,
        rate2: float = ACmixConfig.rate2,
        shift: str = ACmixConfig.shift.value,
        position: bool = ACmixConfig.position,
        implementation: str = ACmixConfig.implementation.value,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels
        self.heads, self.kernel_att, self.kernel_conv = heads, kernel_att, kernel_conv
        self.stride, self.dilation = stride, dilation
        self.paths, self.combine, self.shift, self.position = paths, combine, shift, position
        self.implementation = implementation
        self._check()
        self._check_effect(rate1, rate2)
        self.head_channels = self.out_channels // heads
        self._build_projections()
        if paths == "both":
            self._build_rates(rate1, rate2)

    def fold_constants(self) -> None:
        """Compute once what depends on the weights alone; later changes of the weights have no effect.

        Parameters stay, so that they are counted as before, but the module can no longer train or load weights.
        `fuse()` of a network calls this.
        """
        if not hasattr(self, "deployed"):
            self.deployed = DeployedACmix(self).train(self.training)

    def prepare_export(self, *, dynamic: bool) -> None:
        """Choose the form for exported graphs; constants that are folded already are folded again in that form.

        Args:
            dynamic: whether the graph must take maps of any height and width.
        """
        self.exported, self.fixed_size = True, not dynamic
        if hasattr(self, "deployed"):
            self.deployed = DeployedACmix(self).train(self.training)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        if hasattr(self, "deployed"):
            raise RuntimeError("this ACmix is fused for deployment and cannot load weights; load them before fuse()")
        super()._load_from_state_dict(*args, **kwargs)

    def _check(self) -> None:
        for name in ("in_channels", "out_channels", "heads", "stride", "dilation"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        check_heads(self.heads, self.out_channels)
        for name in ("kernel_att", "kernel_conv"):
            check_kernel(name, getattr(self, name))
        for name, choices in {"paths": Paths, "combine": Combine, "shift": Shift}.items():
            check_choice(name, getattr(self, name), choices)
        check_choice("implementation", self.implementation, Implementation)

    def _check_effect(self, rate1: float, rate2: float) -> None:
        convolution = ("kernel_conv", "shift")
        attention = ("kernel_att", "dilation", "position", "implementation")
        idle: tuple[str, ...] = ()
        if self.paths != "both":
            idle = ("combine", "rate1", "rate2", *(convolution if self.paths == "attention" else attention))
        elif self.combine == "sum":
            idle = ("rate1", "rate2")
        elif self.combine == "complement":
            idle = ("rate2",)
        given = {**vars(self), "rate1": rate1, "rate2": rate2}
        check_idle(given, idle, ACmixConfig, f"paths={self.paths}, combine={self.combine}")
        if self.kernel_att == 1:
            heads = ("heads",) if self.paths == "attention" else ()  # otherwise the convolution has them, too
            check_idle(given, ("dilation", "position", *heads), ACmixConfig, "kernel_att=1, a window of one key")

    rate1: nn.Parameter | float
    rate2: nn.Parameter | float
    exported = fixed_size = False
    deployed: DeployedACmix  # there only if the module is fused for deployment

    def _build_projections(self) -> None:
        channels, taps = self.out_channels, self.kernel_conv**2
        conv1, conv2, conv3 = (nn.Conv2d(self.in_channels, channels, 1) for _ in range(3))
        conv_p = nn.Conv2d(2, self.head_channels, 1)
        fc = nn.Conv2d(3 * self.heads, taps, 1, bias=False)
        dep_conv = ShiftConv(taps, channels, self.kernel_conv, groups=self.head_channels, start=self.shift)
        self.conv1, self.conv2, self.conv3 = conv1, conv2, conv3
        if self.paths != "convolution" and self.position:
            self.conv_p = conv_p
        if self.paths != "attention":
            self.fc, self.dep_conv = fc, dep_conv

    def _build_rates(self, rate1: float, rate2: float) -> None:
        if self.combine in ("learned", "complement"):
            self.rate1 = nn.Parameter(torch.tensor([float(rate1)]))
        if self.combine == "learned":
            self.rate2 = nn.Parameter(torch.tensor([float(rate2)]))
        if self.combine in ("sum", "fixed"):
            self.rate1, self.rate2 = (1.0, 1.0) if self.combine == "sum" else (float(rate1), float(rate2))

    def forward(
        self, x: Float[Tensor, "batch {self.in_channels} height width"]
    ) -> Float[Tensor, "batch {self.out_channels} -(-height//{self.stride}) -(-width//{self.stride})"]:
        if hasattr(self, "deployed") and self.training:
            raise RuntimeError("this ACmix is fused for deployment and cannot train; load its checkpoint again")
        # Windows need the channels of a pixel to be contiguous, and convolutions accept that layout.
        paths = self.deployed if hasattr(self, "deployed") else self._sum_paths
        out = paths(x.contiguous(memory_format=torch.channels_last))
        if x.is_contiguous(memory_format=torch.channels_last) or torch.jit.is_tracing():
            return out
        if x.device.type != "cpu" or len(out) == 0:
            return out.contiguous()
        # On a CPU PyTorch's fast transposition works on matrices only.
        samples = [y.flatten(1).contiguous() for y in out]
        return (torch.stack(samples) if len(samples) > 1 else samples[0]).view(out.shape)

    def _sum_paths(self, x: Tensor) -> Tensor:
        # Each path is linear in its few weights: scale these by the rates, not the maps.
        rate1: Tensor | float = 1.0
        rate2: Tensor | float = 1.0
        if self.paths == "both":
            rate1 = self.rate1
            rate2 = 1 - self.rate1 if self.combine == "complement" else self.rate2
        if self.paths == "convolution":
            return self._convolution(x, rate2, None)
        # A query's attention weights sum to 1, so the bias of v can be added to the result. A bias of the
        # keys shifts all logits of a query equally, which softmax cancels: its gradient is 0.
        bias = _bias(self.conv3) * rate1 + _bias(self.conv2) * 0.0
        attention = self._attention(x, rate1)
        if self.paths == "attention":
            return attention + bias.to(attention.dtype).view(-1, 1, 1)
        return self._convolution(x, rate2, bias).add_(attention)

    def _attention(self, x: Tensor, rate: Tensor | float) -> Tensor:
        weights = [self.conv1.weight, self.conv2.weight, self.conv3.weight * rate]
        weight = torch.cat([weight.flatten(1) for weight in weights])
        q, k, v = F.linear(x.permute(0, 2, 3, 1), weight).chunk(3, -1)
        q = q + _bias(self.conv1).to(q.dtype)
        if self.position:
            k = self._subtract_position(k)
        q = q[:, :: self.stride, :: self.stride]
        return window_attention(
            *(y.permute(0, 3, 1, 2) for y in (q, k, v)),
            heads=self.heads,
            window=self.kernel_att,
            stride=self.stride,
            dilation=self.dilation,
            implementation=self.implementation,
        )

    def _subtract_position(self, k_BHWC: Tensor) -> Tensor:
        # The logits are q_i . (k_j + pe_i - pe_j), and softmax also cancels pe_i.
        along_x, along_y = self.conv_p.weight.flatten(1).unbind(1)
        exact = torch.promote_types(along_x.dtype, torch.float32)
        y, x = (coordinates(k_BHWC, dim, exact).to(along_x.dtype) for dim in (1, 2))
        rows = y.unsqueeze(1) * along_y + _bias(self.conv_p) * 0.0
        columns = x.unsqueeze(1) * along_x
        rows, columns = (pe.to(k_BHWC.dtype).repeat(1, self.heads) for pe in (rows, columns))
        return (k_BHWC - rows.unsqueeze(1)).sub_(columns)

    def _convolution(self, x: Tensor, rate: Tensor | float, bias: Tensor | None) -> Tensor:
        layers = (self.conv1, self.conv2, self.conv3)
        projection = torch.cat([layer.weight.flatten(1) for layer in layers])
        projection_bias = torch.cat([_bias(layer) for layer in layers])
        weight = compose(self.fc.weight, self.dep_conv.weight) * rate
        if self.dep_conv.bias is not None:
            own = self.dep_conv.bias * rate
            bias = own if bias is None else bias + own
        few = self.in_channels <= most_dense_channels(x.device) and not torch.jit.is_tracing()
        path = dense if few else grouped
        return path(x, projection, projection_bias, weight, side=self.kernel_conv, stride=self.stride, bias=bias)

    def attention_weights(
        self, x: Float[Tensor, "batch {self.in_channels} height width"]
    ) -> Float[Tensor, "batch {self.heads} {self.kernel_att}**2 -(-height//{self.stride}) -(-width//{self.stride})"]:
        """Compute the attention weight of each output pixel for each key of its window.

        Keys are in row-major order from the top left of the window; keys beyond the border are reflected. The weights
        of a pixel and a head sum to 1.

        Args:
            x: the input of the module.

        Raises:
            ValueError: if paths="convolution", which has no attention.

        Source: Pan et al. 2022, section 4.2, the softmax of the logits given in the class.
        """
        if self.paths == "convolution":
            raise ValueError("paths=convolution has no attention weights")
        k = self.conv2(x)
        if self.position:
            k = self._subtract_position(k.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        q = self.conv1(x)[..., :: self.stride, :: self.stride]
        return window_weights(
            q, k, heads=self.heads, window=self.kernel_att, stride=self.stride, dilation=self.dilation
        )

    def flops(self, height: int, width: int) -> int:
        """Count the FLOPs for one map of this size, two per required multiply-add.

        The count includes the projections, kernel_att^2 keys and values per query, and 3N maps times
        kernel_conv^2 taps per channel. It excludes softmax and the extra products of an implementation
        (masked keys of a tile, the dense form of the convolution).
        """
        channels = self.out_channels
        outputs = -(-height // self.stride) * -(-width // self.stride)
        products = height * width * self.in_channels * 3 * channels
        if self.paths != "convolution":
            products += outputs * channels * 2 * self.kernel_att**2
        if self.paths != "attention":
            products += outputs * channels * 3 * self.heads * self.kernel_conv**2
        return 2 * products

    def extra_repr(self) -> str:
        names = "heads kernel_att kernel_conv stride dilation paths combine shift position".split()
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


def _bias(layer: nn.Conv2d) -> Any:
    """Bias of a projection, never None."""
    return layer.bias
