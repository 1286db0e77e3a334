"""A GRU over a sequence of feature vectors, classifying the mean of its states."""

import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(8, 20, batch_first=True)
        self.head = nn.Linear(20, 4)

    def forward(self, x):
        states, _ = self.rnn(x)
        return self.head(states.mean(dim=1))


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
