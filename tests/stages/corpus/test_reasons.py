"""Kinds of reasons: what differs from item to item is left out, what tells them apart stays."""

from __future__ import annotations

import pytest

from stages.corpus.reasons import kind


@pytest.mark.parametrize(
    ("reason", "folded"),
    [
        ("'tour 3.mp4' has 12 of 25 frames with a face", "… has … of … frames with a face"),
        ("only 0.4s with a face, at least 1.0 are needed", "only … with a face, at least … are needed"),
        ("it doesn't open: isn't a video", "it doesn't open: isn't a video"),
        ("could not be downloaded: HTTP 404", "could not be downloaded: HTTP 404"),
        ("two\n  lines", "two lines"),
    ],
)
def test_kinds(reason: str, folded: str) -> None:
    assert kind(reason) == folded
