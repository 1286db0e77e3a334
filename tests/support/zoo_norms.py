"""Normalisations and other statistics over channels; each network is a few thousand weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from tests.support.zoo import IMAGE, SEQUENCE, Head

__all__ = ["NORMS"]


class GroupNormed(nn.Module):
    """Channels normalised in four groups, then all together, then each alone; a residual around them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 1)
        self.four, self.one, self.each = nn.GroupNorm(4, 16), nn.GroupNorm(1, 16), nn.GroupNorm(8, 8)
        self.mix, self.head = nn.Conv2d(16, 8, 1), Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.four(self.stem(x)))
        return self.head(F.relu(self.each(self.mix(x + self.one(self.inner(x))))))


class ConvNext(nn.Module):
    """Channels last, normalised, widened and scaled, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 32), nn.Linear(32, 8)
        self.gamma, self.head = nn.Parameter(torch.ones(8)), Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        return self.head(x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2))


class NormedMaps(nn.Module):
    """LayerNorm over channels and pixels at once, with a scale for each; instance norm after."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 1), nn.LayerNorm([8, 8, 8])
        self.mix, self.instance, self.head = nn.Conv2d(8, 8, 1), nn.InstanceNorm2d(8, affine=True), Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.instance(self.mix(self.norm(self.stem(x))))))


class PlainNorms(nn.Module):
    """Norms without parameters, one by the root mean square, and one written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.fc = (
            nn.Linear(8, 12),
            nn.Linear(12, 16),
            nn.Linear(16, 12),
            nn.Linear(12, 5),
        )
        self.plain, self.root = nn.LayerNorm(12, elementwise_affine=False), nn.RMSNorm(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.c(self.root(self.b(self.plain(self.a(x)))))
        x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5)
        return self.fc(x.mean(1))


class SpatialAttention(nn.Module):
    """A gate made of the mean and the largest of all channels, as in CBAM."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, 8, 1), nn.Conv2d(2, 1, 3, padding=1)
        self.mix, self.head = nn.Conv2d(8, 8, 1), Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return self.head(self.mix(x * torch.sigmoid(self.gate(pooled))))


NORMS: Mapping[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    "GroupNormed": (GroupNormed, IMAGE),
    "ConvNext": (ConvNext, IMAGE),
    "NormedMaps": (NormedMaps, IMAGE),
    "PlainNorms": (PlainNorms, SEQUENCE),
    "SpatialAttention": (SpatialAttention, IMAGE),
}
