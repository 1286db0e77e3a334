"""A network that another tool has pruned: each layer has its zeros in another pattern, some in a degenerate one."""

import torch
from torch import nn


def _mask(kind, rows, columns, generator):
    def some(*shape, share):
        return torch.rand(*shape, generator=generator) < share

    if kind == "shared":
        return some(-(-rows // 16), columns, share=0.25).repeat_interleave(16, 0)[:rows]
    if kind == "blocks":
        small = some(-(-rows // 2), -(-columns // 4), share=0.25)
        return small.repeat_interleave(2, 0).repeat_interleave(4, 1)[:rows, :columns]
    if kind == "singles":
        return some(rows, columns, share=0.06)
    if kind == "few":
        return some(rows, columns, share=0.7)
    if kind == "one":
        return torch.arange(rows * columns).reshape(rows, columns) == 5
    if kind == "rows":
        return (torch.arange(rows) % 3 > 0)[:, None] & some(rows, columns, share=0.3)
    return torch.ones(rows, columns, dtype=torch.bool)


def _thin(layer, kind, generator):
    rows = layer.weight.detach().movedim(1, -1)
    mask = _mask(kind, len(rows), rows[0].numel(), generator).reshape(rows.shape).movedim(-1, 1)
    layer.weight.data.mul_(mask)
    return layer


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.shared = _thin(nn.Conv2d(32, 40, 3, padding=1), "shared", generator)
        self.blocks = _thin(nn.Conv2d(40, 32, 1), "blocks", generator)
        self.singles = _thin(nn.Conv2d(32, 33, 3, 2, 1), "singles", generator)
        self.few = _thin(nn.Conv2d(33, 24, 1), "few", generator)
        self.rows = _thin(nn.Conv2d(24, 21, 1), "rows", generator)
        self.one = _thin(nn.Conv2d(21, 8, 1), "one", generator)
        self.wide = _thin(nn.Linear(21 * 16, 32), "shared", generator)
        self.last = nn.Linear(40, 5)

    def forward(self, x):
        for layer in (self.first, self.shared, self.blocks, self.singles, self.few, self.rows):
            x = torch.relu(layer(x))
        pooled = torch.relu(self.one(x)).mean((2, 3))
        return self.last(torch.cat([torch.relu(self.wide(x.flatten(1))), pooled], 1))


def model():
    torch.manual_seed(0)
    return Network().eval()


def example_input():
    return torch.zeros(1, 3, 8, 8)


def _batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(16, 3, 8, 8, generator=generator), torch.randint(0, 5, (16,), generator=generator))
        for _ in range(count)
    ]


def train_data():
    return _batches(2, seed=1)


def test_data():
    return _batches(1, seed=2)
