"""A recipe that trains and deploys in a moment."""

from __future__ import annotations

__all__ = ["TINY_RECIPE"]

TINY_RECIPE = """
import torch
def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 5)).eval()
def example_input(): return torch.zeros(1, 16)
def train_data():
    generator = torch.Generator().manual_seed(1)
    return [(torch.rand(8, 16, generator=generator), torch.arange(8) % 5) for _ in range(4)]
test_data = train_data
"""
