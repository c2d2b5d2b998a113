"""Reasons for which files and clips are refused, folded into kinds: a corpus has many refusals of few kinds."""

from __future__ import annotations

import re


def kind(reason: str) -> str:
    """A reason without what differs from item to item: quoted names, and words with a digit but HTTP codes."""
    unnamed = re.sub(r"(?<!\w)'[^']*'|\"[^\"]*\"", "…", " ".join(reason.split()))
    return re.sub(r"(?<!\S)(?<!HTTP )\S*\d\S*", "…", unnamed)
