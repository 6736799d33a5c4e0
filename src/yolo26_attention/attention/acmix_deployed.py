"""ACmix with everything that depends on its weights alone computed once."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from yolo26_attention.attention.acmix_convolution import compose, most_dense_channels, taps_inside
from yolo26_attention.attention.window import window_attention

if TYPE_CHECKING:
    from yolo26_attention.attention.acmix import ACmix

# Shape legend: B batch, I input channels, C channels, H height, W width, P pixels, N heads, D channels
# per head, T taps (positions of the convolution's kernel)


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

    projection: Tensor
    scale: Tensor
    offsets: Tensor
    kernel: Tensor
    taps: Tensor
    bias: Tensor

    def __init__(self, trained: "ACmix"):
        super().__init__()
        self.heads, self.window, self.stride = trained.heads, trained.kernel_att, trained.stride
        self.dilation, self.implementation = trained.dilation, trained.implementation
        self.side, self.channels = trained.kernel_conv, trained.out_channels
        self.attends, self.convolves = trained.paths != "convolution", trained.paths != "attention"
        like = trained.conv1.weight
        few = trained.in_channels <= most_dense_channels(like.device)
        self.grouped = self.convolves and self.attends and not few
        rates = _rates(trained)
        with torch.no_grad():
            constants = self._projections(trained, rates[0]) if self.attends else {}
            constants |= self._convolution(trained, rates[1]) if self.convolves else {}
        for name, value in constants.items():
            self.register_buffer(name, value.to(like), persistent=False)
        self._size: Any = None
        self._offset_map = self._edge_map = like.new_empty(0)

    def _projections(self, trained: "ACmix", rate: float) -> dict[str, Tensor]:
        layers = trained.conv1, trained.conv2, trained.conv3
        weight = torch.cat([_exact(layer.weight).flatten(1) for layer in layers])
        biases = [_exact(layer.bias) for layer in layers]
        scale = torch.ones(3, self.channels, 1, dtype=torch.float64)
        scale[2] = rate
        # Coefficients of 1, x and y in what is added to q, k and v: softmax cancels the bias of k.
        offsets = torch.zeros(3, 3, self.channels, dtype=torch.float64)
        offsets[0, 0], offsets[0, 2] = biases[0], biases[2] * rate
        if trained.position:
            offsets[1:, 1] = -_exact(trained.conv_p.weight).flatten(1).t().repeat(1, self.heads)
        if self.grouped:
            # The projections in the order of the convolution's groups, which reads them without the rate.
            by_group = weight.unflatten(0, (3 * self.heads, -1)).transpose(0, 1).flatten(0, 1)
            return {"projection": by_group, "scale": scale.view(3 * self.heads, -1), "offsets": offsets.flatten(1)}
        return {"projection": weight * scale.flatten(0, 1), "offsets": offsets.flatten(1)}

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
        return {"kernel": kernel.contiguous(memory_format=torch.channels_last), "taps": taps, "bias": bias}

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch {self.channels} -(-height//{self.stride}) -(-width//{self.stride})"]:
        offsets, edge = self._maps(x)
        if not self.attends:
            return self._convolve(x, 1).add_(edge)
        projected = F.linear(x.permute(0, 2, 3, 1), self.projection)  # (B, H, W, 3C)
        if self.grouped:
            by_head = projected.unflatten(-1, (-1, 3 * self.heads)).transpose(-1, -2)
            qkv = torch.addcmul(offsets, by_head, self.scale.to(by_head.dtype)).flatten(-2)
        else:
            qkv = projected.add_(offsets)
        q, k, v = qkv.permute(0, 3, 1, 2).chunk(3, 1)
        attended = window_attention(
            q[..., :: self.stride, :: self.stride],
            k,
            v,
            heads=self.heads,
            window=self.window,
            stride=self.stride,
            dilation=self.dilation,
            implementation=self.implementation,
        )
        if not self.convolves:
            return attended
        if self.grouped:
            convolved = self._convolve(projected.permute(0, 3, 1, 2), self.channels // self.heads)
        else:
            convolved = self._convolve(x, 1)
        return convolved.add_(edge).add_(attended)

    def _convolve(self, x: Tensor, groups: int) -> Tensor:
        return F.conv2d(x, self.kernel, None, self.stride, self.side // 2, groups=groups)

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is added to the projections, (H, W, 3C) or by head, and to the convolution, (C, H, W)."""
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        if torch.jit.is_tracing():
            return self._offset(x, dtype), self._edge(x, dtype)
        key = tuple(x.shape[2:]), dtype, x.device
        if self._size != key:
            with torch.no_grad():
                self._offset_map, self._edge_map = self._offset(x, dtype), self._edge(x, dtype)
            self._size = key
        return self._offset_map, self._edge_map

    def _offset(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        if not self.attends:
            return x.new_empty(0)
        constant, along_x, along_y = self.offsets.to(torch.promote_types(self.offsets.dtype, torch.float32))
        rows, columns = (coordinates(x, dim, along_x.dtype) for dim in (2, 3))
        offset = (constant + rows[:, None] * along_y)[:, None] + columns[:, None] * along_x
        return (offset.unflatten(-1, (3 * self.heads, -1)) if self.grouped else offset).to(dtype)

    def _edge(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        if not self.convolves:
            return x.new_empty(0)
        wide = torch.promote_types(self.taps.dtype, torch.float32)
        inside = taps_inside(x, self.side, self.stride).to(wide)
        return (inside @ self.taps.to(wide) + self.bias.to(wide)).permute(2, 0, 1).to(dtype)

    def _apply(self, *args: Any, **kwargs: Any) -> "DeployedACmix":
        self._size = None  # the maps are computed again where the constants are now
        moved: DeployedACmix = super()._apply(*args, **kwargs)
        return moved

    def __getstate__(self) -> dict[str, Any]:
        empty = self._offset_map.new_empty(0)
        return {**self.__dict__, "_size": None, "_offset_map": empty, "_edge_map": empty}


def coordinates(x: Float[Tensor, "..."], dim: int, dtype: torch.dtype) -> Float[Tensor, " side"]:
    """Coordinates of the pixels along one side of a map, from -1 to 1; -1 on a side of one pixel."""
    # Tensors keep an exported size dynamic.
    index = torch.arange(x.shape[dim], device=x.device, dtype=dtype)
    return 2 * index / index[-1].clamp(min=1) - 1


def _rates(trained: "ACmix") -> tuple[float, float]:
    if trained.paths != "both":
        return 1.0, 1.0
    rate1 = float(trained.rate1)
    return rate1, 1 - rate1 if trained.combine == "complement" else float(trained.rate2)


def _exact(parameter: Tensor | None) -> Tensor:
    assert parameter is not None, "ACmix builds its projections with a bias"
    return parameter.detach().cpu().double()
