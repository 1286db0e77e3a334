"""Small torch networks, one for every way channels can be coupled; each is a few thousand weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from tests.support.zoo_sequences import Attention, Recurrent, Temporal, Values

__all__ = ["IMAGE", "NETWORKS", "SEQUENCE", "TOKENS", "Head", "build", "build_from"]

IMAGE = (torch.zeros(1, 3, 8, 8),)
SIGNAL = (torch.zeros(1, 4, 16),)
SEQUENCE = (torch.zeros(1, 6, 8),)
TOKENS = (torch.zeros(1, 6, dtype=torch.int64),)


class Head(nn.Module):
    """Global average pooling and a classifier."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.mean((2, 3)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.inner, self.outer = nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(12, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        return self.head(x + self.outer(F.relu6(self.inner(x))))


class PaddedShortcut(nn.Module):
    """ResNet's shortcut of option A: new channels are zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grow = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, 2, padding=1)
        self.head = Head(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        return self.head(F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)) + self.grow(x))


class Dense(nn.Module):
    """Concatenation of everything before, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
        self.norm, self.c = nn.BatchNorm2d(12), nn.Conv2d(12, 8, 3, padding=1)
        self.head = Head(20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = F.relu(self.a(x))
        ab = self.norm(torch.cat([a, self.b(a)], 1))
        return self.head(torch.cat([ab, F.relu(self.c(ab))], 1))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.up, self.merge = nn.ConvTranspose2d(12, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = F.relu(self.down(x))
        deep = F.relu(self.deep(F.max_pool2d(skip, 2)))
        return self.out(F.relu(self.merge(torch.cat([self.up(deep), skip], 1))))


class MobileInverted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand, self.n1 = nn.Conv2d(3, 16, 1, bias=False), nn.BatchNorm2d(16)
        self.depth, self.n2 = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.project = nn.Conv2d(16, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.n1(self.expand(x)))
        return self.head(self.project(F.relu6(self.n2(self.depth(x)))))


class DepthMultiplier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 24, 3, groups=8)
        self.mix = nn.Conv2d(24, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.mix(F.relu(self.depth(F.relu(self.stem(x))))))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 24, 3, padding=1, groups=4)
        self.mix = nn.Conv2d(24, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.mix(F.relu(self.grouped(F.relu(self.stem(x))))))


class ChannelShuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 1)
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.head = Head(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = F.relu(self.stem(x)).chunk(2, 1)
        x = torch.cat([self.left(left), self.right(right)], 1)
        n, c, h, w = x.shape
        return self.head(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))


class RelativeSlice(nn.Module):
    """A split at half of however many channels there are."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 16, 1), nn.Conv2d(8, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        half = x.shape[1] // 2
        return self.head(self.mix(x[:, :half] * torch.sigmoid(x[:, half:])))


class HardSlice(nn.Module):
    """Channel numbers written into the code: the sliced layer must be frozen, the next need not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(self.mix(torch.cat([x[:, 6:], x[:, :6]], 1)))


class HardFlatten(nn.Module):
    """A flatten to a number that is written into the code."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc1, self.fc2 = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(256, 8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(F.relu(self.fc1(F.relu(self.stem(x)).view(-1, 256))))


class Flatten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2)
        self.fc1, self.fc2 = nn.Linear(128, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(torch.tanh(self.fc1(torch.flatten(self.pool(F.relu(self.stem(x))), 1))))


class Permuted(nn.Module):
    """Channels last, then flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.token, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 12), nn.Linear(192, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.token(self.stem(x).permute(0, 2, 3, 1)))
        return self.fc(x.reshape(x.shape[0], -1))


class PixelShuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.out = nn.Conv2d(3, 16, 1), nn.PixelShuffle(2), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(F.relu(self.up(self.stem(x))))


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze, self.excite = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)
        self.mix = nn.Conv2d(16, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardswish(self.stem(x))
        gate = self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1))))
        return self.head(self.mix(x * F.hardsigmoid(gate)))


class SpatialGate(nn.Module):
    """One gate for all channels: its single channel stays."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate, self.mix = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 1, 1), nn.Conv2d(8, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(self.mix(x * torch.sigmoid(self.gate(x))))


class Shared(nn.Module):
    """One layer applied twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.twice = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.twice(F.relu(self.twice(self.stem(x))))))


class TiedWeights(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 1), nn.Conv2d(8, 12, 1)
        self.b.weight = self.a.weight
        self.head = Head(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(self.a(x) * self.b(x))


class LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.scale = nn.Conv2d(3, 8, 1), nn.Parameter(torch.ones(8, 1, 1))
        self.gain, self.mix = nn.Parameter(torch.ones(1)), nn.Conv2d(8, 8, 1)
        self.slope, self.head = nn.PReLU(8), Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.slope(self.mix(self.stem(x) * self.scale * self.gain)))


class Unknown(nn.Module):
    """An operator without a rule freezes what it touches and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.b(torch.cumsum(self.a(x), 1))))


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    **{
        kind.__name__: (kind, IMAGE)
        for kind in (
            Residual, PaddedShortcut, Dense, UNet, MobileInverted, DepthMultiplier, Grouped, ChannelShuffle,
            RelativeSlice, HardSlice, HardFlatten, Flatten, Permuted, PixelShuffle, SqueezeExcite, SpatialGate,
            Shared, TiedWeights, LayerScale, Unknown,
        )
    },
    "Temporal": (Temporal, SIGNAL),
    "Recurrent": (Recurrent, SEQUENCE),
    "Attention": (Attention, TOKENS),
    "Values": (Values, SEQUENCE),
}  # fmt: skip


def build(name: str, seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A network with seeded weights and batch-norm statistics, and its example inputs."""
    return build_from(NETWORKS, name, seed)


def build_from(
    networks: Mapping[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]], name: str, seed: int = 0
) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """As `build`, of another zoo."""
    kind, inputs = networks[name]
    torch.set_num_threads(1)  # such small work only waits for other threads
    torch.manual_seed(seed)
    network = kind()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
        for parameter in network.parameters():
            if parameter.dim() == 1 or parameter.numel() <= 48:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return network.eval(), inputs
