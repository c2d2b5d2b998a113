"""The transformer parts that the networks share: positions, encoder, attention pooling, middle-token decoder.

Layers are stock post-norm PyTorch layers; positions are added once, at the input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoid_table(length: int, d_model: int) -> Tensor:
    """(length, d_model) positions of Vaswani et al. 2017: sine in even channels, cosine in odd ones."""
    channel = torch.arange(d_model, dtype=torch.float64)
    rate = 10000.0 ** (-2 * (channel // 2) / d_model)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * rate
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """(B,) diffusion times → (B, dim), dim even: all cosines, then all sines."""
    half = dim // 2
    rate = torch.exp(torch.arange(half, device=t.device) * (-math.log(10000) / half))
    angle = t.float()[:, None] * rate
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class TimeEmbedding(nn.Sequential):
    """(B,) diffusion times → (B, d_model)."""

    def __init__(self, d_model: int) -> None:
        super().__init__(nn.Linear(d_model, d_model), nn.SiLU(), nn.Linear(d_model, d_model))
        self.d_model = d_model

    def forward(self, t: Tensor) -> Tensor:
        return super().forward(timestep_embedding(t, self.d_model))


def encoder(*, d_model: int, heads: int, feedforward: int, layers: int, dropout: float) -> nn.TransformerEncoder:
    """Stock post-norm ReLU encoder over (B, N, d_model), each layer with its own initial weights."""
    layer = nn.TransformerEncoderLayer(d_model, heads, feedforward, dropout, batch_first=True)
    return with_own_weights(nn.TransformerEncoder(layer, layers, enable_nested_tensor=False))


def with_own_weights(stack: nn.Module) -> nn.Module:
    """Draw every matrix anew: PyTorch's stacks start as copies of one layer, all with the same weights."""
    for parameter in stack.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    return stack


class SequenceEncoder(nn.Module):
    """Linear, positions, transformer encoder: (B, N, input_dim) → (B, N, d_model), N up to max_length."""

    def __init__(
        self,
        *,
        input_dim: int,
        max_length: int,
        d_model: int,
        heads: int,
        feedforward: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(input_dim, d_model)
        self.register_buffer("positions", sinusoid_table(max_length, d_model), persistent=False)
        self.encoder = encoder(d_model=d_model, heads=heads, feedforward=feedforward, layers=layers, dropout=dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Encode x; mask (B, N), True = padding.

        Raises:
            ValueError: the sequence is longer than max_length.
        """
        if x.shape[1] > len(self.positions):
            raise ValueError(f"a sequence of {x.shape[1]} does not fit {len(self.positions)} positions")
        x = self.project(x) + self.positions[: x.shape[1]]
        return self.encoder(x, src_key_padding_mask=mask)


class AttentionPooling(nn.Module):
    """Self-attention pooling (Safari et al. 2020): (B, N, d_model) → (B, d_model)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(d_model, d_model), nn.Mish(), nn.Linear(d_model, 1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        score = self.score(x)
        if mask is not None:
            score = score.masked_fill(mask[..., None], -1e5)
        return (score.softmax(1) * x).sum(1)


class MiddleTokenDecoder(nn.Module):
    """A transformer decoder of which only the middle token is wanted.

    The last layer works on that token alone, and the first self-attention, which sees no memory yet, once for all
    frames; in eval mode the result is the one of a stock ``nn.TransformerDecoder``.
    """

    def __init__(self, *, d_model: int, heads: int, feedforward: int, layers: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerDecoderLayer(d_model, heads, feedforward, dropout, batch_first=True)
        self.layers = with_own_weights(nn.TransformerDecoder(layer, layers)).layers
        self.norm = nn.LayerNorm(d_model)

    def forward(self, target: Tensor, memory: Tensor) -> Tensor:
        """Target (B, W, d_model), the same for all frames; memory (B, L, W, d_model) → (B, L, d_model)."""
        batch, frames, tokens, _ = memory.shape
        memory = memory.flatten(0, 1)
        for depth, layer in enumerate(self.layers):
            x = target if depth < len(self.layers) - 1 else target[:, tokens // 2, None]
            x = layer.norm1(x + layer.dropout1(layer.self_attn(x, target, target, need_weights=False)[0]))
            if depth == 0:
                x = x.repeat_interleave(frames, dim=0)
            target = _listen(layer, x, memory)
        return self.norm(target[:, 0]).unflatten(0, (batch, frames))


def _listen(layer: nn.TransformerDecoderLayer, x: Tensor, memory: Tensor) -> Tensor:
    """What a decoder layer does after its self-attention."""
    heard = layer.multihead_attn(x, memory, memory, need_weights=False)[0]
    x = layer.norm2(x + layer.dropout2(heard))
    thought = layer.linear2(layer.dropout(layer.activation(layer.linear1(x))))
    return layer.norm3(x + layer.dropout3(thought))
