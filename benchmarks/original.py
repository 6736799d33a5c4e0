"""ACmix as everybody computes it, with k * k unfolded copies of every map: the yardstick of benchmarks.acmix."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UnfoldACmix(nn.Module):
    """ACmix of Pan et al. (2022) in the unfold form; same parameters as `ACmix` with its defaults."""

    def __init__(self, channels: int, *, heads: int = 4, kernel_att: int = 7, kernel_conv: int = 3):
        super().__init__()
        d, taps = channels // heads, kernel_conv**2
        self.heads, self.kernel_att = heads, kernel_att
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.conv_p = nn.Conv2d(2, d, 1)
        self.fc = nn.Conv2d(3 * heads, taps, 1, bias=False)
        self.dep_conv = nn.Conv2d(taps * d, channels, kernel_conv, padding=kernel_conv // 2, groups=d, bias=False)
        self.rate1 = nn.Parameter(torch.tensor([0.5]))
        self.rate2 = nn.Parameter(torch.tensor([0.5]))

    def windows(self, x: Tensor) -> Tensor:
        """(X, D, H, W) to its windows, (X, D, kernel_att^2, H, W)."""
        padded = F.pad(x, (self.kernel_att // 2,) * 4, mode="reflect")
        return F.unfold(padded, self.kernel_att).view(*x.shape[:2], -1, *x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        q, k, v = self.conv1(x), self.conv2(x), self.conv3(x)
        q_att, k_att, v_att = (y.reshape(batch * self.heads, -1, height, width) for y in (q, k, v))
        columns = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype).expand(height, width)
        rows = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype)
        rows = rows.unsqueeze(1).expand(height, width)
        pe = self.conv_p(torch.stack([columns, rows]).unsqueeze(0))
        keys = self.windows(k_att) + pe.unsqueeze(2) - self.windows(pe)
        scale = q_att.shape[1] ** -0.5
        weights = torch.softmax(((q_att * scale).unsqueeze(2) * keys).sum(1), 1)
        attention = (weights.unsqueeze(1) * self.windows(v_att)).sum(2).view_as(q)
        maps = torch.cat([y.view(batch, self.heads, -1, height * width) for y in (q, k, v)], 1)
        mixed = self.fc(maps).transpose(1, 2).reshape(batch, -1, height, width)
        return self.rate1 * attention + self.rate2 * self.dep_conv(mixed)
