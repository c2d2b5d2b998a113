from __future__ import annotations

import pytest
import torch

from dreamtalk_models.diffusion import sample
from dreamtalk_models.streaming import stream


@pytest.fixture
def code(small_denoiser):
    return small_denoiser.encode_style(torch.randn(1, 12, 6)).detach()


def whole(denoiser, rows, code, noise, guidance):
    frames = -(-len(rows) // 2)
    padded = torch.cat([rows.new_zeros(2, 5), rows, rows.new_zeros(2 * frames + 1 - len(rows), 5)])
    start = noise.expand(1, frames, -1)
    return sample(denoiser, padded[None], style_code=code, noise=start, guidance=guidance)[0]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("chunk", [1, 3, 50])
@pytest.mark.parametrize(("count", "piece"), [(40, 1), (41, 7), (1, 1), (24, 24)])
def test_streamed_motion_is_the_whole_ones(small_denoiser, code, guidance, chunk, count, piece):
    rows, noise = torch.randn(count, 5), torch.randn(6)
    pieces = stream(small_denoiser, rows.split(piece), code, noise, guidance=guidance, chunk=chunk)
    torch.testing.assert_close(torch.cat(list(pieces)), whole(small_denoiser, rows, code, noise, guidance))


@pytest.mark.parametrize("chunk", [1, 4])
def test_a_frame_waits_for_its_window_and_its_chunk_alone(small_denoiser, code, chunk):
    arrived = 0

    def arriving():
        nonlocal arrived
        for row in torch.randn(60, 1, 5):
            arrived += 1
            yield row

    made, waits = 0, []
    for part in stream(small_denoiser, arriving(), code, torch.randn(6), chunk=chunk):
        if arrived < 60:
            waits.append(arrived - 1 - 2 * made)  # rows, of the chunk's first frame
        made += len(part)
    assert made == 30
    assert set(waits) == {2 + 2 * (chunk - 1)}


def test_no_sound_gives_no_motion(small_denoiser, code):
    assert list(stream(small_denoiser, [], code, torch.randn(6))) == []
