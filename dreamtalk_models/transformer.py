"""The transformer parts that the networks share: positions, encoder, attention pooling, middle-token decoder.

Layers are stock post-norm PyTorch layers; positions are added once, at the input.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


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


def dropout(x: Tensor, chance: float, training: bool) -> Tensor:
    """Stock dropout, drawn faster on CPUs: one 64-bit number decides on four values, the chance in steps of 1/65536."""
    if not training or not chance or x.device.type != "cpu":
        return functional.dropout(x, chance, training)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= round(chance * 2**16) - 2**15
    return x * kept.to(x.dtype).mul_(1 / (1 - chance))


class Dropout(nn.Dropout):
    """:func:`dropout` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


def with_fast_dropout(stack: nn.Module) -> nn.Module:
    """Put :class:`Dropout` where stock layers have their own."""
    for module in list(stack.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
    return stack


def encoder(*, d_model: int, heads: int, feedforward: int, layers: int, dropout: float) -> nn.TransformerEncoder:
    """Stock post-norm ReLU encoder over (B, N, d_model), each layer with its own initial weights."""
    layer = nn.TransformerEncoderLayer(d_model, heads, feedforward, dropout, batch_first=True)
    return with_fast_dropout(with_own_weights(nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)))


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
        return self.encode(self.project(x), mask)

    def encode(self, projected: Tensor, mask: Tensor | None = None) -> Tensor:
        """As :meth:`forward`, of what `project` gave."""
        return self.encoder(projected + self.positions[: projected.shape[1]], src_key_padding_mask=mask)


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
    """A transformer decoder of which only the middle token is wanted, heard in several styles at once.

    The last layer works on that token alone, and the first self-attention, which sees no memory yet, once for all
    frames; what is drawn from the memory serves all styles. In eval mode the result is the one of a stock
    ``nn.TransformerDecoder``.
    """

    def __init__(self, *, d_model: int, heads: int, feedforward: int, layers: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerDecoderLayer(d_model, heads, feedforward, dropout, batch_first=True)
        self.layers = with_fast_dropout(with_own_weights(nn.TransformerDecoder(layer, layers))).layers
        self.norm = nn.LayerNorm(d_model)

    def forward(self, target: Tensor, memory: Tensor) -> Tensor:
        """Target (B, S, W, d_model), one for each style and the same for all frames; memory (B, L, W, d_model), the
        same for all styles → (B, L, S, d_model)."""
        batch, styles, tokens, _ = target.shape
        frames = memory.shape[1]
        memory = memory.flatten(0, 1)
        x = target.flatten(0, 1)
        for depth, layer in enumerate(self.layers):
            last = depth == len(self.layers) - 1
            attention = attend_with_few if last else attend
            asking = x[:, tokens // 2, None] if last else x
            x = layer.norm1(asking + layer.dropout1(attention(layer.self_attn, asking, x)))
            x = x.reshape(-1, styles * asking.shape[1], x.shape[2])
            heard = layer.dropout2(attention(layer.multihead_attn, x, memory))
            x = layer.norm2((x[:, None] + heard.unflatten(0, (len(x), -1))).flatten(0, 1))
            thought = linear(layer.dropout(linear(x, *_of(layer.linear1), relu=True)), *_of(layer.linear2))
            x = layer.norm3(x + layer.dropout3(thought)).reshape(-1, asking.shape[1], x.shape[2])
        return self.norm(x).reshape(batch, frames, styles, -1)


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, relu: bool = False) -> Tensor:
    """Stock linear layer, and a ReLU on it; in float32 without gradients by oneDNN, which adds the bias and cuts at
    zero while it multiplies. Weight and bias must be contiguous.
    """
    plain = torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type) or x.dtype != torch.float32
    if plain or x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        y = functional.linear(x, weight, bias)
        return functional.relu(y, inplace=True) if relu else y
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu" if relu else "none", [], "")


class MLP(nn.Sequential):
    """Linear layers with a ReLU after each but the last: (..., sizes[0]) → (..., sizes[-1])."""

    def __init__(self, *sizes: int) -> None:
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
        super().__init__(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(linear(x, *_of(self[0]), relu=True))

    def rest(self, x: Tensor) -> Tensor:
        """As :meth:`forward`, from what the first layer gave, cut at zero."""
        *between, last = list(self)[2::2]
        for layer in between:
            x = linear(x, *_of(layer), relu=True)
        return linear(x, *_of(last))


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks of up to 31 MiB, with their pages, instead of asking the system for new ones.

    It takes the largest block it has unmapped as the measure of what to keep (``mallopt``, M_MMAP_THRESHOLD).
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


def attend(attention: nn.MultiheadAttention, query: Tensor, memory: Tensor) -> Tensor:
    """Multi-head attention of stock weights: query (N, Q, d), memory (M, K, d) → (M, Q, d).

    Where M is a multiple of N, each query listens to M / N memories in turn.
    """
    heads = attention.num_heads
    of_query, of_memory = _projections(attention)
    q = linear(query, *of_query).unflatten(2, (heads, -1)).transpose(1, 2)
    k, v = linear(memory, *of_memory).unflatten(2, (2, heads, -1)).permute(2, 0, 3, 1, 4)
    q = q[:, None].expand(-1, len(memory) // len(query), -1, -1, -1).flatten(0, 1)
    if q.device.type == "cpu":  # the fused one is slow on few tokens, and so is a softmax over the last dimension
        share = dropout((k @ (q.contiguous() / q.shape[3] ** 0.5).mT).softmax(2), attention.dropout, attention.training)
        heard = share.mT @ v
    else:
        heard = functional.scaled_dot_product_attention(q, k, v, dropout_p=attention.dropout * attention.training)
    return linear(heard.transpose(1, 2).flatten(2), *_of(attention.out_proj))


def attend_with_few(attention: nn.MultiheadAttention, query: Tensor, memory: Tensor) -> Tensor:
    """As :func:`attend`, cheaper where there are fewer queries than memory tokens.

    Keys and values are never made: the key matrix is applied to the queries, the value matrix to what they heard. The
    keys' bias is the same for all tokens, so the softmax cancels it.
    """
    heads = attention.num_heads
    of_query, (weight, bias) = _projections(attention)
    key, value = weight.unflatten(0, (2, heads, -1))  # (heads, d / heads, d)
    q = functional.linear(query, *of_query).unflatten(2, (heads, -1)) / key.shape[1] ** 0.5
    q = torch.einsum("nqhc,hcd->nqhd", q, key).flatten(1, 2).repeat_interleave(len(memory) // len(query), 0)
    share = dropout((q @ memory.mT).softmax(2), attention.dropout, attention.training)
    heard = (share @ memory).unflatten(1, (-1, heads))
    heard = torch.einsum("nqhd,hcd->nqhc", heard, value).flatten(2)
    total = share.sum(2).unflatten(1, (-1, heads, 1))  # 1, but for dropout
    heard = heard + (total * bias.unflatten(0, (2, heads, -1))[1]).flatten(2)
    return attention.out_proj(heard)


def _of(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight, layer.bias


def _projections(attention: nn.MultiheadAttention) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Weight and bias of the queries, and of keys and values together."""
    split = [attention.embed_dim, 2 * attention.embed_dim]
    return tuple(zip(attention.in_proj_weight.split(split), attention.in_proj_bias.split(split), strict=True))
