"""A small text classifier: token and position embeddings, two transformer encoder layers, mean pooling.

Sentences are made up: each topic has words of its own, which are mixed with words that any topic uses.
"""

import torch
from torch import nn

WORDS, LENGTH, TOPICS, OWN_WORDS = 96, 12, 4, 12


class Network(nn.Module):
    def __init__(self, width=32, heads=4):
        super().__init__()
        self.embed = nn.Embedding(WORDS, width)
        self.positions = nn.Parameter(0.02 * torch.randn(1, LENGTH, width))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, batch_first=True, norm_first=True)
                for _ in range(2)
            )
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, TOPICS)

    def forward(self, tokens):
        x = self.blocks(self.embed(tokens) + self.positions)
        return self.head(self.norm(x).mean(dim=1))


def _sentences(count, generator):
    """Tokens [count, LENGTH] and topics [count]; half of the words are the topic's own."""
    topics = torch.randint(0, TOPICS, (count,), generator=generator)
    own = topics[:, None] * OWN_WORDS + torch.randint(0, OWN_WORDS, (count, LENGTH), generator=generator)
    any_word = torch.randint(0, WORDS, (count, LENGTH), generator=generator)
    is_own = torch.rand(count, LENGTH, generator=generator) < 1 / 2
    return torch.where(is_own, own, any_word), topics


def _batches(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return [_sentences(32, generator) for _ in range(count)]


def model():
    torch.manual_seed(0)
    network = Network()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for tokens, topics in _batches(80, seed=3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(tokens), topics).backward()
        optimizer.step()
    return network.eval()


def example_input():
    return torch.zeros(1, LENGTH, dtype=torch.int64)


def train_data():
    return _batches(16, seed=1)


def test_data():
    return _batches(16, seed=2)
