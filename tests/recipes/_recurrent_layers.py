"""An LSTM and a GRU upon it, of whose last step a sequence is classified."""

import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.lower = nn.LSTM(8, 10, batch_first=True)
        self.upper = nn.GRU(10, 9, batch_first=True)
        self.head = nn.Linear(9, 4)

    def forward(self, x):
        states, _ = self.upper(self.lower(x)[0])
        return self.head(states[:, -1])


def model():
    torch.manual_seed(0)
    return Network().eval()


def example_input():
    return torch.zeros(1, 16, 8)


def _batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(16, 16, 8, generator=generator), torch.randint(0, 4, (16,), generator=generator))
        for _ in range(count)
    ]


def train_data():
    return _batches(4, seed=1)


def test_data():
    return _batches(2, seed=2)
