"""Small torch networks over signals and sequences; see `tests.support.zoo`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Attention", "Recurrent", "Temporal", "Values"]


class Temporal(nn.Module):
    """Dilated causal 1-D convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(4, 8, 3), nn.Conv1d(8, 8, 3, dilation=2)
        self.up, self.out = nn.ConvTranspose1d(8, 8, 2, 2, groups=8), nn.Conv1d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a(F.pad(x, (2, 0))))
        return self.out(self.up(F.relu(self.b(F.pad(x, (4, 0))))))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 12)
        self.lstm = nn.LSTM(12, 8, num_layers=2, batch_first=True)
        self.gru = nn.GRU(8, 8, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.lstm(F.relu(self.inner(x)))[0]
        return self.fc(self.gru(x)[0][:, -1])


class Attention(nn.Module):
    """A transformer block: embedding, heads and hidden layer are pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.position = nn.Embedding(20, 8), nn.Parameter(torch.zeros(1, 6, 8))
        self.attention, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)
        self.up, self.down, self.fc = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens) + self.position
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.fc((x + self.down(F.gelu(self.up(x)))).mean(1))


class Values(nn.Module):
    """Attention twice, as one operator and as products; values are wider than keys, so that heads stay."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 16)
        self.again, self.fc = nn.Linear(16, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, _ = x.shape
        q, k, v = (f(x).view(n, tokens, 2, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, -1)
        scores = torch.softmax(q @ k.transpose(-1, -2), -1).mean(1)
        return self.fc((scores @ self.again(y)).mean(1))
