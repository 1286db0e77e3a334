"""Attention in all the ways people write it; each network is a few thousand weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from tests.support.zoo import IMAGE, SEQUENCE, TOKENS

__all__ = ["ATTENTION"]


class RawQkv(nn.Module):
    """One linear layer for query, key and value, and the scale kept as an attribute, as in timm."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.proj, self.norm = (
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, width = x.shape
        q, k, v = (
            self.qkv(self.norm(x))
            .reshape(n, tokens, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        scores = (q @ k.transpose(-2, -1) * self.scale).softmax(-1)
        return x + self.proj((scores @ v).transpose(1, 2).reshape(n, tokens, width))


class VisionTransformer(nn.Module):
    """Patches, a class token, positions, two blocks and a head on the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.zeros(1, 1, 16))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 5, 16))
        self.a, self.b = RawQkv(), RawQkv()
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.b(self.a(x)))[:, 0])


class SeparateLinears(nn.Module):
    """Query, key and value of their own, columns counted by torch: its own class follows a cut of columns."""

    def __init__(self, is_causal: bool = False) -> None:
        super().__init__()
        self.is_causal = is_causal
        self.q, self.k, self.v = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(8, 16)
        self.out, self.fc = nn.Linear(16, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (f(x).unflatten(-1, (2, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.is_causal)
        return self.fc(F.relu(self.out(y.transpose(1, 2).flatten(2))).mean(1))


class OneHead(nn.Module):
    """No heads: query and key are one group, values another."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.fc = (
            nn.Linear(8, 12),
            nn.Linear(8, 12),
            nn.Linear(8, 10),
            nn.Linear(10, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.softmax(self.q(x) @ self.k(x).mT / self.q.out_features**0.5, -1)
        return self.fc((scores @ self.v(x)).mean(1))


class CrossAttention(nn.Module):
    """nn.MultiheadAttention between two inputs, weights returned as well."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(8, 16), nn.Linear(8, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        keys = self.right(y)
        mixed, weights = self.attention(self.left(x), keys, keys)
        return self.fc(mixed.mean(1)), weights


class EncoderLayer(nn.Module):
    """torch's own transformer layer, normalised after, with dropout and a mask for padding."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 24, 0.1, batch_first=True)
        self.fc = nn.Linear(16, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer(self.table(tokens), src_key_padding_mask=tokens == 0).mean(1))


class RelativeBias(nn.Module):
    """A learnt bias for every head and pair of tokens: heads stay, columns go."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.bias = nn.Linear(8, 24), nn.Parameter(0.1 * torch.randn(2, 6, 6))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = torch.softmax(q @ k.mT * 0.5 + self.bias, -1) @ v
        return self.fc(y.transpose(1, 2).reshape(n, tokens, 8).mean(1))


class SharedKeys(nn.Module):
    """Grouped-query attention: two heads of keys and values serve four of queries, so heads go in pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.fc = nn.Linear(8, 16), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, _ = x.shape
        q = self.q(x).view(n, tokens, 4, 4).transpose(1, 2)
        k, v = (
            f(x).view(n, tokens, 2, 1, 4).expand(n, tokens, 2, 2, 4).reshape(n, tokens, 4, 4).transpose(1, 2)
            for f in (self.k, self.v)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return self.fc(y.transpose(1, 2).reshape(n, tokens, 16).mean(1))


class NormedQuery(nn.Module):
    """Queries and keys normalised head by head with one scale: heads stay, columns go."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.q_norm, self.k_norm = nn.Linear(8, 24), nn.LayerNorm(4), nn.RMSNorm(4)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)
        return self.fc(y.transpose(1, 2).reshape(n, tokens, 8).mean(1))


class Einsum(nn.Module):
    """Scores and values by einsum, heads never before tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.fc = (
            nn.Linear(8, 16),
            nn.Linear(8, 16),
            nn.Linear(8, 16),
            nn.Linear(16, 5),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (f(x).reshape(x.shape[0], x.shape[1], 4, 4) for f in (self.q, self.k, self.v))
        scores = (torch.einsum("bqhd,bkhd->bhqk", q, k) / 2).softmax(-1)
        return self.fc(torch.einsum("bhqk,bkhd->bqhd", scores, v).flatten(2).mean(1))


class Mixer(nn.Module):
    """Tokens mixed for each channel, then channels for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm1, self.norm2 = nn.Conv2d(3, 12, 4, 4), nn.LayerNorm(12), nn.LayerNorm(12)
        self.token1, self.token2 = nn.Linear(4, 10), nn.Linear(10, 4)
        self.up, self.down, self.fc = nn.Linear(12, 20), nn.Linear(20, 12), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.token2(F.gelu(self.token1(self.norm1(x).mT))).mT
        return self.fc((x + self.down(F.gelu(self.up(self.norm2(x))))).mean(1))


def _causal() -> nn.Module:
    return SeparateLinears(is_causal=True)


ATTENTION: Mapping[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...]]] = {
    "VisionTransformer": (VisionTransformer, IMAGE),
    "SeparateLinears": (SeparateLinears, SEQUENCE),
    "Causal": (_causal, SEQUENCE),
    "OneHead": (OneHead, SEQUENCE),
    "CrossAttention": (CrossAttention, (*SEQUENCE, torch.zeros(1, 5, 8))),
    "EncoderLayer": (EncoderLayer, TOKENS),
    "RelativeBias": (RelativeBias, SEQUENCE),
    "SharedKeys": (SharedKeys, SEQUENCE),
    "NormedQuery": (NormedQuery, SEQUENCE),
    "Einsum": (Einsum, SEQUENCE),
    "Mixer": (Mixer, IMAGE),
}
