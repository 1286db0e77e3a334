"""A temporal convolutional network: dilated causal 1-D convolutions with residuals."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.pad = nn.ConstantPad1d((2 * dilation, 0), 0.0)
        self.conv = nn.Conv1d(channels, channels, 3, dilation=dilation)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x):
        return F.relu(x + self.norm(self.conv(self.pad(x))))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(4, 16, 5, stride=2, padding=2)
        self.body = nn.Sequential(Block(16, 1), Block(16, 2), Block(16, 4))
        self.pool = nn.MaxPool1d(2)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.pool(self.body(F.leaky_relu(self.stem(x), 0.1))).mean(dim=2))


def model():
    torch.manual_seed(0)
    return Network().eval()


def example_input():
    return torch.zeros(1, 4, 64)


def _batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(16, 4, 64, generator=generator), torch.randint(0, 3, (16,), generator=generator))
        for _ in range(count)
    ]


def train_data():
    return _batches(4, seed=1)


def test_data():
    return _batches(2, seed=2)
