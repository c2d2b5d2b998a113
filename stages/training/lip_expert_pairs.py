"""Lips and sounds that the lip expert has to tell apart: in sync, or not.

A pair is in sync, or its sound comes from 2 to max_shift frames earlier or later in the same clip (hard; one frame
off is too close to call), or from another clip (easy).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional

from stages import params as parameters
from stages.training import data, distributed, loop

NEGATIVE_SHIFT = 2  # frames, the least that counts as out of sync

Negatives = Literal["mixed", "hard", "easy"]


def draw(corpus: data.Corpus, p: parameters.LipExpert, generator: Generator) -> loop.Batch:
    """All the chance of a training batch, to be filled by :func:`fill`: K windows of lips of each of B clips, and the
    sounds to tell apart.

    Returns:
        clip (B,); style_start and style_frames (B,); start (B, K) of the windows; stranger and elsewhere (B, E), other
        clips and where their sounds start.
    """
    inside, outside = p.windows_per_clip, p.strangers_per_clip
    clips = corpus.clips(max(1, p.batch // inside), generator)
    style_starts, lengths = corpus.segments(clips, p.style_frames_min, p.style_frames, generator)
    starts = corpus.starts(clips.repeat_interleave(inside), p.clip_frames, generator)
    others = corpus.other(clips.repeat_interleave(outside), generator)
    elsewhere = corpus.starts(others, p.clip_frames, generator)
    return {
        "clip": clips,
        "style_start": style_starts,
        "style_frames": lengths,
        "start": starts.unflatten(0, (-1, inside)),
        "stranger": others.unflatten(0, (-1, outside)),
        "elsewhere": elsewhere.unflatten(0, (-1, outside)),
    }


def fill(corpus: data.Corpus, p: parameters.LipExpert, drawn: loop.Batch) -> loop.Batch:
    """What :func:`draw` points at.

    Returns:
        expression (B, K, l, D); audio (B, K + E, 2l, C), first the sounds of the K windows, then E of other clips;
        start (B, K) frames; style (B, S, D) and style_mask (B, S).
    """
    clips, starts = drawn["clip"], drawn["start"]
    own = clips[:, None].expand_as(starts)
    style, style_mask = corpus.motion(clips, drawn["style_start"], drawn["style_frames"], p.style_frames)
    heard = torch.cat([own, drawn["stranger"]], 1), torch.cat([starts, drawn["elsewhere"]], 1)
    sound = corpus.sound(heard[0].flatten(), heard[1].flatten(), p.clip_frames)
    lips = corpus.expression.gather(own.flatten(), starts.flatten(), p.clip_frames)
    return {
        "expression": lips.unflatten(0, starts.shape),
        "audio": sound.unflatten(0, heard[0].shape),
        "start": starts,
        "style": style,
        "style_mask": style_mask,
    }


def weights(start: Tensor, sounds: int, p: parameters.LipExpert) -> tuple[Tensor, Tensor]:
    """Truth and weight of every pair of a window's lips with a sound of its clip's row: half of the weight lies on
    pairs in sync, and of the other half `easy_negatives` on the sounds of other clips.

    Args:
        start: (B, K) first frames of the windows.
        sounds: K + E.

    Returns:
        in_sync and weight (B, K, K + E); the weights add up to 1, of several processes in the mean.
    """
    inside = start.shape[1]
    gap = (start[:, :, None] - start[:, None]).abs()
    hard = ((gap >= NEGATIVE_SHIFT) & (gap <= p.max_shift)).float()
    in_sync = functional.pad(torch.eye(inside, device=start.device), (0, sounds - inside)).expand(len(start), -1, -1)
    hard = functional.pad(hard, (0, sounds - inside))
    easy = torch.ones_like(hard)
    easy[:, :, :inside] = 0

    def share(pairs: Tensor) -> Tensor:
        return pairs / distributed.per_process(pairs.sum())

    negative = (1 - p.easy_negatives) * share(hard) + p.easy_negatives * share(easy)
    return in_sync, 0.5 * share(in_sync) + 0.5 * negative


def pairs(
    corpus: data.Corpus, p: parameters.LipExpert, count: int, generator: Generator, negatives: Negatives = "mixed"
) -> loop.Batch:
    """Lips and sounds to judge, every other pair in sync.

    Args:
        negatives: "hard", "easy", or "mixed" with the share p.easy_negatives of easy ones.

    Returns:
        expression (B, l, D), audio (B, 2l, C), style (B, S, D), style_mask (B, S), in_sync (B,) 1.0 or 0.0.
    """
    clips = corpus.clips(count, generator)
    starts = corpus.starts(clips, p.clip_frames, generator)
    in_sync = torch.arange(count) % 2 == 0
    share = {"mixed": p.easy_negatives, "hard": 0.0, "easy": 1.0}[negatives]
    easy = torch.rand(count, generator=generator) < share
    shifted, found = shifted_starts(corpus.frames[clips], starts, p.clip_frames, p.max_shift, generator)
    strangers = corpus.other(clips, generator)
    elsewhere = corpus.starts(strangers, p.clip_frames, generator)
    easy |= ~found
    sound_clips = torch.where(in_sync | ~easy, clips, strangers)
    sound_starts = torch.where(in_sync, starts, torch.where(easy, elsewhere, shifted))
    style, style_mask = corpus.style(clips, p.style_frames_min, p.style_frames, generator)
    return {
        "expression": corpus.expression.gather(clips, starts, p.clip_frames),
        "audio": corpus.sound(sound_clips, sound_starts, p.clip_frames),
        "style": style,
        "style_mask": style_mask,
        "in_sync": in_sync.float(),
    }


def shifted_starts(
    frames: Tensor, starts: Tensor, length: int, max_shift: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Other windows of the same clips, 2 to max_shift frames away, all that fit equally likely.

    Returns:
        (B,) first frames, and (B,) bool: False where the clip is too short for any.
    """
    before = (starts.clamp(max=max_shift) - NEGATIVE_SHIFT + 1).clamp(min=0)
    after = ((frames - length - starts).clamp(max=max_shift) - NEGATIVE_SHIFT + 1).clamp(min=0)
    choice = data.uniform(torch.zeros_like(starts), (before + after - 1).clamp(min=0), generator)
    earlier = starts - NEGATIVE_SHIFT - choice
    later = starts + NEGATIVE_SHIFT + choice - before
    return torch.where(choice < before, earlier, later), before + after > 0
