"""What is asked of a request before work is done."""

from __future__ import annotations

import numpy as np
import pytest

from stages.evaluation.from_files import check_pose
from stages.evaluation.inputs import InputError
from stages.evaluation.portrait import Portrait


def turned(degrees: float) -> Portrait:
    angles = np.deg2rad(np.float32([5, degrees, 10]))
    return Portrait(np.zeros((468, 3)), np.zeros(3), np.zeros(4), angles, np.zeros(3))


def test_profiles_are_refused() -> None:
    for degrees in (0, 45, -45):
        check_pose(turned(degrees), "me.jpg", 50)
    for degrees in (60, -60):
        with pytest.raises(InputError, match=r"me\.jpg.*turned aside by 60 degrees"):
            check_pose(turned(degrees), "me.jpg", 50)
