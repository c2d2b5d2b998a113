"""The style predictor: a style code from speech and the speaker's face shape alone (DreamTalk, equation 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamtalk_models.diffusion import Method, Schedule, reverse, standard_normal
from dreamtalk_models.transformer import TimeEmbedding, encoder, sinusoid_table


class StylePredictor(nn.Module):
    """Transformer encoder over [audio tokens, time, speaker, noised style code, learned query]; the query's output
    is the predicted code.

    Diffusion wants data of unit variance, and style codes are not: their mean and deviation over the training set
    are part of the network (:meth:`fit_scale`), and everything noised or predicted is in that normalised space.

    Args:
        style_dim: length of the style code, the denoiser's d_model.
        audio_dim: C, audio features a row.
        identity_dim: identity coefficients of the portrait.
        audio_tokens: most audio tokens; longer speech is averaged into as many equal spans.
        audio_stride: fewest rows in a span; 10 rows of 50 Hz are 0.2 s.
        speaker_info: False leaves out the speaker token.
        regression: True leaves out time and noised code: the code is predicted at once, without diffusion.
        diffusion_steps, beta_start, beta_end: the noise schedule, kept as `schedule`.
    """

    def __init__(
        self,
        *,
        style_dim: int = 256,
        audio_dim: int = 1024,
        identity_dim: int = 80,
        audio_tokens: int = 64,
        audio_stride: int = 10,
        d_model: int = 256,
        heads: int = 8,
        feedforward: int = 1024,
        layers: int = 3,
        dropout: float = 0.1,
        speaker_info: bool = True,
        regression: bool = False,
        diffusion_steps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> None:
        super().__init__()
        self.config = {
            "style_dim": style_dim,
            "audio_dim": audio_dim,
            "identity_dim": identity_dim,
            "audio_tokens": audio_tokens,
            "audio_stride": audio_stride,
            "d_model": d_model,
            "heads": heads,
            "feedforward": feedforward,
            "layers": layers,
            "dropout": dropout,
            "speaker_info": speaker_info,
            "regression": regression,
            "diffusion_steps": diffusion_steps,
            "beta_start": beta_start,
            "beta_end": beta_end,
        }
        self.style_dim = style_dim
        self.audio_tokens, self.audio_stride = audio_tokens, audio_stride
        self.speaker_info, self.regression = speaker_info, regression
        self.schedule = Schedule(diffusion_steps, beta_start, beta_end)

        self.audio = nn.Linear(audio_dim, d_model)
        self.query = nn.Parameter(torch.randn(1, d_model) * 0.02)
        if speaker_info:
            self.speaker = nn.Sequential(nn.Linear(identity_dim, d_model), nn.ReLU(), nn.Linear(d_model, d_model))
        if not regression:
            self.time = TimeEmbedding(d_model)
            self.code = nn.Linear(style_dim, d_model)
        length = audio_tokens + 1 + speaker_info + (0 if regression else 2)
        self.register_buffer("positions", sinusoid_table(length, d_model), persistent=False)
        self.encoder = encoder(d_model=d_model, heads=heads, feedforward=feedforward, layers=layers, dropout=dropout)
        self.output = nn.Linear(d_model, style_dim)
        self.register_buffer("code_mean", torch.zeros(style_dim))
        self.register_buffer("code_std", torch.ones(style_dim))

    def forward(
        self,
        s_t: Tensor | None,
        t: Tensor | None,
        audio: Tensor,
        audio_mask: Tensor | None = None,
        identity: Tensor | None = None,
    ) -> Tensor:
        """Predict the clean code.

        Args:
            s_t: (B, style_dim) noised code, normalised; not read under regression.
            t: (B,) diffusion time; not read under regression.
            audio: (B, N, C) features of the whole utterance.
            audio_mask: (B, N) True = padding, at the end only.
            identity: (B, identity_dim) coefficients of the portrait; not read without speaker_info.

        Returns:
            (B, style_dim) predicted s_0, normalised.
        """
        tokens, mask = self._audio_tokens(audio, audio_mask)
        conditions = [
            *([] if self.regression else [self.time(t)]),
            *([self.speaker(identity)] if self.speaker_info else []),
            *([] if self.regression else [self.code(s_t)]),
            self.query.expand(len(audio), -1),
        ]
        conditions = torch.stack(conditions, dim=1)
        sequence = torch.cat([tokens, conditions], dim=1) + self.positions
        mask = torch.cat([mask, mask.new_zeros(conditions.shape[:2])], dim=1)
        return self.output(self.encoder(sequence, src_key_padding_mask=mask)[:, -1])

    def fit_scale(self, codes: Tensor) -> None:
        """Take mean and deviation from the training set's style codes (n, style_dim); what does not vary keeps its
        scale."""
        std = codes.std(0, correction=0)
        self.code_mean.copy_(codes.mean(0))
        self.code_std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def normalise(self, code: Tensor) -> Tensor:
        """Style code as the style encoder gives it → normalised."""
        return (code - self.code_mean) / self.code_std

    def denormalise(self, code: Tensor) -> Tensor:
        """Inverse of :meth:`normalise`."""
        return code * self.code_std + self.code_mean

    def _audio_tokens(self, audio: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Average the rows of each clip's own equal spans: (B, K, d_model), and (B, K) True = no speech there."""
        rows = torch.arange(audio.shape[1], device=audio.device)
        if mask is None:
            mask = audio.new_zeros(audio.shape[:2], dtype=torch.bool)
        length = (~mask).sum(1, keepdim=True)
        span = (length / self.audio_tokens).clamp_min(self.audio_stride)
        token = (rows / span).long().clamp_max(self.audio_tokens - 1)
        member = F.one_hot(token, self.audio_tokens).to(audio.dtype) * ~mask[..., None]
        count = member.sum(1)[..., None]
        pooled = member.transpose(1, 2) @ audio / count.clamp_min(1)
        return self.audio(pooled), count[..., 0] == 0


@torch.no_grad()
def sample_style(
    predictor: StylePredictor,
    audio: Tensor,
    audio_mask: Tensor | None = None,
    identity: Tensor | None = None,
    steps: int = 10,
    method: Method = "ddim",
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Style codes (B, style_dim) for speech, as the denoiser takes them; the predictor should be in eval mode.

    Arguments as :meth:`StylePredictor.forward` and :func:`dreamtalk_models.diffusion.sample`.
    """
    if predictor.regression:
        return predictor.denormalise(predictor(None, None, audio, audio_mask, identity))
    if noise is None:
        noise = standard_normal((len(audio), predictor.style_dim), audio, generator)
    code = reverse(
        lambda s, t: predictor(s, t, audio, audio_mask, identity),
        noise,
        steps,
        method,
        predictor.schedule,
        generator,
    )
    return predictor.denormalise(code)
