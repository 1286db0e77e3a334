"""A small U-Net: two levels, skip connections, transposed convolutions and nearest upsampling."""

import torch
import torch.nn.functional as F
from torch import nn


def stage(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.middle = stage(1, 8), stage(8, 16), stage(16, 24)
        self.up2 = nn.ConvTranspose2d(24, 16, 2, stride=2)
        self.merge2 = stage(32, 16)
        self.up1 = nn.Upsample(scale_factor=2, mode="nearest")
        self.merge1 = stage(24, 8)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        fine = self.down1(x)
        coarse = self.down2(F.max_pool2d(fine, 2))
        x = self.middle(F.max_pool2d(coarse, 2))
        x = self.merge2(torch.cat([self.up2(x), coarse], dim=1))
        x = self.merge1(torch.cat([self.up1(x), fine], dim=1))
        return self.head(x)


def model():
    torch.manual_seed(0)
    return Network().eval()


def example_input():
    return torch.zeros(1, 1, 16, 16)


def _batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(16, 1, 16, 16, generator=generator),
            torch.randint(0, 3, (16, 16, 16), generator=generator),
        )
        for _ in range(count)
    ]


def train_data():
    return _batches(4, seed=1)


def test_data():
    return _batches(2, seed=2)


def metric(model, data):
    """Share of the pixels whose class is right."""
    hits = pixels = 0
    for x, y in data:
        hits += int((model(x).argmax(1) == y).sum())
        pixels += y.numel()
    return hits / pixels
