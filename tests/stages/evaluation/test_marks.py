"""Every talking head says that it is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.corpus import decode
from stages.corpus.encode import write_mp4
from stages.evaluation.inputs import InputError
from stages.evaluation.marks import check_free, provenance, read_provenance, watermarked, write_head

FRAMES = [np.full((256, 256, 3), 90, np.uint8)] * 3


def test_note_and_mark(tmp_path: Path) -> None:
    for watermark in (True, False):
        out = tmp_path / f"{watermark}.mp4"
        write_head(out, FRAMES, 25, np.zeros(1920, np.float32), 16000, note=provenance(seed=7), watermark=watermark)
        note = read_provenance(out)
        assert note["synthetic"] is True
        assert note["digital_source_type"].endswith("trainedAlgorithmicMedia")
        assert note["seed"] == 7
        seen = np.ptp(decode.read_video(out, 25)[1].astype(int)[200:])
        assert (seen > 100) is np.True_ if watermark else seen < 10


def test_a_name_with_a_colon_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("12:30.mp4")
    write_head(out, FRAMES, 25, np.zeros(1920, np.float32), 16000, note=provenance(seed=7), watermark=True)
    assert read_provenance(out)["seed"] == 7
    assert len(decode.read_video(out, 25)) == 3


@pytest.mark.parametrize("width", [40, 64, 66, 256])
def test_the_mark_is_whole_in_narrow_pictures(width: int) -> None:
    (marked,) = watermarked([np.full((64, width, 3), 90, np.uint8)])
    columns = np.flatnonzero(np.any(marked != 90, axis=(0, 2)))
    assert 0 < columns[0] < columns[-1] < width - 1
    assert np.ptp(columns) > min(width / 2, 50)


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    check_free(tmp_path / "new.mp4")
    write_mp4(tmp_path / "plain.mp4", FRAMES, 25)
    write_mp4(tmp_path / "other.mp4", FRAMES, 25, comment='{"software": "another"}')
    (tmp_path / "text.mp4").write_text("no video")
    for name in ("plain.mp4", "other.mp4", "text.mp4"):
        with pytest.raises(InputError, match=f"{name} exists .*--overwrite"):
            check_free(tmp_path / name)
    write_mp4(tmp_path / "ours.mp4", FRAMES, 25, comment=provenance())
    check_free(tmp_path / "ours.mp4")
