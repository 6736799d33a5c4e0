"""ACmix with everything that depends on its weights alone computed once."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from yolo26_attention.attention.acmix_convolution import compose, most_dense_channels, taps_inside
from yolo26_attention.attention.window import window_attention
from yolo26_attention.attention.window_grid import whole_is_cheaper
from yolo26_attention.attention.window_tiled import FORWARD_WEIGHT
from yolo26_attention.attention.window_whole import repetition_mask

if TYPE_CHECKING:
    from yolo26_attention.attention.acmix import ACmix

# Shape legend: B batch, I input channels, C channels, H height, W width, P pixels, N heads, D channels
# per head, T taps (positions of the convolution's kernel)


WHOLE = ("auto", "tiled")  # implementations that compute a small map as a whole


class DeployedACmix(nn.Module):
    """The forward pass of an ACmix in evaluation: one product for q, k and v, and one convolution.

    The two rates are part of the weights. The position, with the biases of q, k and v, is one map that is added to the
    projections; the bias of the convolution, with its correction at the border, is one map that is added to the result.
    Both maps are kept for the last size, and computed again for another size, device or dtype.

    Constants are buffers that are in no state dict. They are computed in float64.

    Args:
        trained: the module, of which nothing is kept.

    Source: Pan et al. 2022, section 4; multiplying the weights first changes only the rounding.
    """

    projection: Float[Tensor, "in_channels projected"]
    scale: Float[Tensor, "projected_heads head_channels"]
    offsets: Float[Tensor, "coefficients projected"]
    kernel: Float[Tensor, "channels inputs side side"]
    taps: Float[Tensor, "taps channels"]
    bias: Float[Tensor, " channels"]

    def __init__(self, trained: "ACmix"):
        super().__init__()
        self.heads, self.window, self.stride = trained.heads, trained.kernel_att, trained.stride
        self.dilation, self.implementation = trained.dilation, trained.implementation
        self.side, self.channels = trained.kernel_conv, trained.out_channels
        self.attends, self.convolves = trained.paths != "convolution", trained.paths != "attention"
        like = trained.conv1.weight
        self.fixed_size = trained.fixed_size
        # Measured: ONNX Runtime takes less time for the dense form at any number of channels.
        few = trained.exported or trained.in_channels <= most_dense_channels(like.device)
        self.grouped = self.convolves and not few
        rates = _rates(trained)
        with torch.no_grad():
            constants = self._projections(trained, rates[0]) if self.attends or self.grouped else {}
            constants |= self._convolution(trained, rates[1]) if self.convolves else {}
        for name, value in constants.items():
            self.register_buffer(name, value.contiguous(memory_format=_layout(value)).to(like), persistent=False)
        self._size: Any = None
        self._offset_map = self._edge_map = like.new_empty(0)
        self._mask: Tensor | None = None

    def _projections(self, trained: "ACmix", rate: float) -> dict[str, Tensor]:
        layers = trained.conv1, trained.conv2, trained.conv3
        weight = torch.cat([_exact(layer.weight).flatten(1) for layer in layers])
        biases = [_exact(layer.bias) for layer in layers]
        scale = torch.ones(3, self.channels, 1, dtype=torch.float64)
        scale[2] = rate
        # Coefficients of 1, x and y in what is added to q, k and v: softmax cancels the bias of k.
        offsets = torch.zeros(3, 3, self.channels, dtype=torch.float64)
        offsets[0, 0], offsets[0, 2] = biases[0], biases[2] * rate
        if self.attends and trained.position:
            offsets[1:, 1] = -_exact(trained.conv_p.weight).flatten(1).t().repeat(1, self.heads)
        if self.grouped:
            # The projections in the order of the convolution's groups, which reads them without the rate.
            by_group = weight.unflatten(0, (3 * self.heads, -1)).transpose(0, 1).flatten(0, 1)
            return {"projection": by_group.t(), "scale": scale.view(3 * self.heads, -1), "offsets": offsets.flatten(1)}
        return {"projection": (weight * scale.flatten(0, 1)).t(), "offsets": offsets.flatten(1)}

    def _convolution(self, trained: "ACmix", rate: float) -> dict[str, Tensor]:
        layers = trained.conv1, trained.conv2, trained.conv3
        weight = compose(_exact(trained.fc.weight), _exact(trained.dep_conv.weight)) * rate
        groups = weight.shape[0]
        # Zero padding applies to the projections, so their biases are missing beyond the border.
        biases = torch.cat([_exact(layer.bias) for layer in layers]).view(-1, groups).t().unsqueeze(2)
        taps = torch.bmm(weight, biases).view(self.channels, -1).t()
        if not self.grouped:
            projection = torch.cat([_exact(layer.weight).flatten(1) for layer in layers])
            weight = torch.bmm(weight, projection.unflatten(0, (-1, groups)).transpose(0, 1))
        kernel = weight.flatten(0, 1).unflatten(0, (-1, self.side, self.side)).permute(0, 3, 1, 2)
        own = trained.dep_conv.bias
        bias = torch.zeros(self.channels, dtype=torch.float64) if own is None else _exact(own) * rate
        return {"kernel": kernel, "taps": taps, "bias": bias}

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch {self.channels} -(-height//{self.stride}) -(-width//{self.stride})"]:
        if torch.jit.is_tracing():
            return self._traced(x)
        offsets, edge, mask = self._maps(x)
        if not self.attends and not self.grouped:
            return self._convolve(x).add_(edge)
        # Sizes are given in full, as -1 cannot stand for one of an empty map.
        batch, channels, height, width = x.shape
        head_channels = self.channels // self.heads
        projected = torch.mm(x.permute(0, 2, 3, 1).view(-1, channels), self.projection)  # (B H W, 3C)
        if self.grouped:
            x = projected.view(batch, height, width, 3 * self.channels).permute(0, 3, 1, 2)
        if not self.attends:
            return self._convolve(x).add_(edge)
        if self.grouped:
            by_head = projected.view(batch, height, width, head_channels, 3 * self.heads).transpose(-1, -2)
            # Under autocast the projections have another dtype than the constants.
            scale = self.scale if self.scale.dtype == by_head.dtype else self.scale.to(by_head.dtype)
            qkv = torch.addcmul(offsets, by_head, scale)
        else:
            qkv = projected.view(batch, height, width, 3 * self.heads, head_channels).add_(offsets)
        attended = self._attend(qkv) if mask is None else self._attend_whole(qkv, mask)
        if not self.convolves:
            return attended
        return self._convolve(x).add_(edge).add_(attended)

    def _attend(self, qkv: Tensor) -> Tensor:
        q, k, v = qkv.flatten(-2).permute(0, 3, 1, 2).chunk(3, 1)
        return self._windows(q, k, v)

    def _windows(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return window_attention(
            q[..., :: self.stride, :: self.stride],
            k,
            v,
            heads=self.heads,
            window=self.window,
            stride=self.stride,
            dilation=self.dilation,
            implementation=self.implementation,
            fixed_size=self.fixed_size,
        )

    def _attend_whole(self, qkv: Tensor, mask: Tensor) -> Tensor:
        # As window_attention does it, without its checks and copies: on small maps the number of calls decides.
        batch, height, width, _, head_channels = qkv.shape
        q, k, v = qkv.view(batch, height * width, 3, self.heads, head_channels).permute(2, 0, 3, 1, 4).unbind()
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return out.transpose(1, 2).reshape(batch, height, width, self.channels).permute(0, 3, 1, 2)

    def _traced(self, x: Tensor) -> Tensor:
        # Exported runtimes keep the layout (B, C, H, W).
        offsets, edge = self._offset(x, x.dtype), self._edge(x, x.dtype)
        if not self.attends and not self.grouped:
            return self._convolve(x) + edge
        projected = F.conv2d(x, self.projection.t()[:, :, None, None])
        if not self.attends:
            return self._convolve(projected) + edge
        if self.grouped:
            # By index: in a trace, splitting and joining a dimension would make height and width constant.
            heads = torch.arange(3 * self.channels, device=x.device).view(-1, 3 * self.heads).t().flatten()
            projected_heads = projected.index_select(1, heads) * self.scale.view(-1, 1, 1)
        else:
            projected_heads = projected
        attended = self._windows(*(projected_heads + offsets.flatten(2).permute(2, 0, 1)).chunk(3, 1))
        if not self.convolves:
            return attended
        return self._convolve(projected if self.grouped else x) + edge + attended

    def _convolve(self, x: Tensor) -> Tensor:
        groups = self.channels // self.heads if self.grouped else 1
        return F.conv2d(x, self.kernel, None, self.stride, self.side // 2, groups=groups)

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """What is added to the projections, the convolution, and the logits of a small map; None for a larger one."""
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        key = (x.shape[2], x.shape[3]), dtype, x.device
        if self._size != key:
            with torch.no_grad():
                self._offset_map, self._edge_map = self._offset(x, dtype), self._edge(x, dtype)
                self._mask = self._whole_mask(self._offset_map, key[0])
            self._size = key
        return self._offset_map, self._edge_map, self._mask

    def _whole_mask(self, like: Tensor, size: tuple[int, int]) -> Tensor | None:
        if not self.attends or self.stride > 1 or like.device.type != "cpu" or self.implementation not in WHOLE:
            return None
        if not whole_is_cheaper(size, self.window, self.stride, self.dilation, FORWARD_WEIGHT):
            return None
        return repetition_mask(size, self.window, self.stride, self.dilation, like)

    def _offset(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        # (H, W, 3N, D)
        if not self.attends:
            return x.new_empty(0)
        constant, along_x, along_y = self.offsets.to(torch.promote_types(self.offsets.dtype, torch.float32))
        rows, columns = (coordinates(x, dim, along_x.dtype) for dim in (2, 3))
        offset = (constant + rows[:, None] * along_y)[:, None] + columns[:, None] * along_x
        return offset.unflatten(-1, (3 * self.heads, -1)).to(dtype)

    def _edge(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        # (C, H, W)
        if not self.convolves:
            return x.new_empty(0)
        wide = torch.promote_types(self.taps.dtype, torch.float32)
        inside = taps_inside(x, self.side, self.stride).to(wide)
        return (inside @ self.taps.to(wide) + self.bias.to(wide)).permute(2, 0, 1).to(dtype)

    def _apply(self, *args: Any, **kwargs: Any) -> "DeployedACmix":
        self._size = None  # the maps are computed again where the constants are now
        moved: DeployedACmix = super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        return moved

    def __getstate__(self) -> dict[str, Any]:
        empty = self._offset_map.new_empty(0)
        return {**self.__dict__, "_size": None, "_offset_map": empty, "_edge_map": empty, "_mask": None}


def coordinates(x: Float[Tensor, "..."], dim: int, dtype: torch.dtype) -> Float[Tensor, " side"]:
    """Coordinates of the pixels along one side of a map, from -1 to 1; -1 on a side of one pixel."""
    # Tensors keep an exported size dynamic.
    index = torch.arange(x.shape[dim], device=x.device, dtype=dtype)
    return 2 * index / index[-1].clamp(min=1) - 1


def _rates(trained: "ACmix") -> tuple[float, float]:
    if trained.paths != "both":
        return 1.0, 1.0
    rate1 = _number(trained.rate1)
    return rate1, 1 - rate1 if trained.combine == "complement" else _number(trained.rate2)


def _number(rate: Tensor | float) -> float:
    return rate.item() if isinstance(rate, Tensor) else rate


def _layout(constant: Tensor) -> torch.memory_format:
    return torch.channels_last if constant.dim() == 4 else torch.contiguous_format


def _exact(parameter: Tensor | None) -> Tensor:
    assert parameter is not None, "ACmix builds its projections with a bias"
    return parameter.detach().cpu().double()
