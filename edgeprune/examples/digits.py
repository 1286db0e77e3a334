"""A small convolutional network for handwritten digits, trained here and now: the recipe of `edgeprune demo`.

The data are the 1,797 digits of 8 x 8 pixels that scikit-learn carries with it (Alpaydin and Kaynak, 1998).
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SEED = 0
EPOCHS = 30
TEST_DIGITS = 360


def digits():
    """Training images, test images, training labels, test labels; images float32 [N, 1, 8, 8] in 0..1."""
    data = load_digits()
    images = torch.from_numpy(data.images.astype(np.float32) / 16).unsqueeze(1)
    labels = torch.from_numpy(data.target.astype(np.int64))
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_DIGITS, random_state=SEED, stratify=data.target
    )
    return images[train], images[test], labels[train], labels[test]


def block(inputs, outputs, stride=1, groups=1, kernel=3):
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def network():
    """The network before training."""
    return nn.Sequential(
        block(1, 24),
        block(24, 32, stride=2),
        block(32, 32, groups=32),
        block(32, 48, kernel=1),
        block(48, 48, stride=2, groups=48),
        block(48, 64, kernel=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def model():
    """The network, trained for some seconds on shifted copies of the training digits."""
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        net = network().train()
        batches = [batch for _ in range(EPOCHS) for batch in train_data()]
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=len(batches))
        for images, labels in batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(shifted(images)), labels).backward()
            optimizer.step()
            rate.step()
    return net.eval()


def shifted(images):
    """Each batch moved by up to one pixel, so that the network learns strokes and not places."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    return padded[:, :, 1 + down : 9 + down, 1 + right : 9 + right]


def example_input():
    """One blank image."""
    return torch.zeros(1, 1, 8, 8)


def train_data():
    """Batches of 64 training digits."""
    images, _, labels, _ = digits()
    return DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)


def test_data():
    """Batches of 60 test digits, which training never sees."""
    _, images, _, labels = digits()
    return DataLoader(TensorDataset(images, labels), batch_size=60)
