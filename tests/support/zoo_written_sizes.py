"""Networks with numbers of channels written into their code: pruned, they are exported graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from tests.support.zoo import IMAGE, SEQUENCE, Head

__all__ = ["WRITTEN_SIZES"]


class WrittenSizes(nn.Module):
    """Views, splits, slices, expands and pads to numbers; batch norm, dropout, groups and two outputs besides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.depth, self.drop = nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.Dropout2d(0.5)
        self.a, self.b, self.c = nn.Conv2d(5, 8, 1), nn.Conv2d(7, 8, 1), nn.Conv2d(16, 8, 1)
        self.bias, self.fc1, self.fc2 = (
            nn.Parameter(torch.randn(1, 8, 1, 1)),
            nn.Linear(512, 12),
            nn.Linear(12, 5),
        )
        self.head = Head(8)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.drop(self.depth(F.relu(self.norm(self.stem(x)))))
        left, right = torch.split(x, [5, 7], 1)
        left, right = self.a(left), self.b(right)
        both = torch.cat([left[:, 0:4], right[:, 4:], F.pad(left[:, 4:], (0, 0, 0, 0, 0, 4))], 1)
        y = F.relu(self.c(both) + self.bias.expand(-1, 8, 8, 8))
        flat = F.dropout(self.fc1(y.view(-1, 512)), 0.2, self.training)
        return {"flat": self.fc2(flat), "pooled": self.head(y)}


class WrittenState(nn.Module):
    """A recurrent layer whose first state is made of a written size, and a channel picked by number."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.gru, self.fc = nn.Linear(8, 12), nn.GRU(12, 10, batch_first=True), nn.Linear(10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.inner(x))
        out, _ = self.gru(x, torch.zeros(1, x.shape[0], 10))
        return self.fc(out[:, -1]) + x[:, :, 3].mean(1, keepdim=True)


class FixedBatch(nn.Module):
    """Written for one sample: it keeps its class or all its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(48, 12), nn.Linear(12, 8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.b(F.relu(self.a(x.reshape(1, 48))).view(1, 12))
        return self.fc(F.relu(x))


WRITTEN_SIZES: Mapping[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    "WrittenSizes": (WrittenSizes, IMAGE),
    "WrittenState": (WrittenState, SEQUENCE),
    "FixedBatch": (FixedBatch, SEQUENCE),
}
