"""yt-dlp as it is used: YouTube's answers, joined streams, and the class of each error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from yt_dlp.extractor.youtube import YoutubeIE
from yt_dlp.utils import DownloadError, ExtractorError

from stages.corpus.download.client import download
from stages.corpus.download.errors import Permanent, Transient, verdict
from stages.corpus.encode import write_mp4
from tests.stages.corpus.tiny_videos import RATE, hum
from tests.stages.corpus.video_server import Reply

WATCH = "https://www.youtube.com/watch?v=-BWJJvynXpA"


@pytest.fixture
def youtube(monkeypatch):
    """Let YouTube answer with formats, or with an error; no host is asked."""

    def answer(formats: list[dict] | None = None, error: str = "") -> None:
        def extract(self: YoutubeIE, url: str) -> dict:
            assert url == WATCH
            if error:
                raise ExtractorError(error, expected=True)
            title = "../../evil; $(touch x) %(id)s 😀"
            return {"id": "-BWJJvynXpA", "title": title, "formats": formats, "playlist": "../x"}

        monkeypatch.setattr(YoutubeIE, "_real_extract", extract)

    return answer


def test_the_best_streams_are_joined_under_the_id(youtube, server, settings, tmp_path):
    write_mp4(tmp_path / "both.mp4", [np.full((48, 64, 3), shade, np.uint8) for shade in range(50)], 25, hum(2), RATE)
    for name, flag in (("v.mp4", "-an"), ("a.m4a", "-vn")):
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", tmp_path / "both.mp4", flag, "-c", "copy"]
        subprocess.run([*command, tmp_path / name], check=True)
        server.replies[name] = Reply((tmp_path / name).read_bytes())
    youtube(
        [
            {
                "format_id": "1",
                "url": server.url("v.mp4"),
                "ext": "mp4",
                "height": 720,
                "vcodec": "avc1",
                "acodec": "none",
            },
            {
                "format_id": "2",
                "url": server.url("no"),
                "ext": "mp4",
                "height": 2160,
                "vcodec": "avc1",
                "acodec": "none",
            },
            {"format_id": "3", "url": server.url("a.m4a"), "ext": "m4a", "vcodec": "none", "acodec": "mp4a"},
        ]
    )
    folder = tmp_path / "name with 'blanks' & %(signs)s 😀"
    folder.mkdir()
    path = download("-BWJJvynXpA", WATCH, folder, settings)
    assert path == folder / "-BWJJvynXpA.mp4" and list(folder.iterdir()) == [path]
    with av.open(str(path)) as container:
        assert len(container.streams.video) == len(container.streams.audio) == 1
    assert not server.asked("no")  # higher than max_height


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("Video unavailable", Permanent),
        ("Private video. Sign in if you've been granted access to this video", Permanent),
        ("This video has been removed by the uploader", Permanent),
        ("The uploader has not made this video available in your country", Permanent),
        ("Sign in to confirm you’re not a bot. Use --cookies-from-browser or --cookies", Transient),
        ("This content isn't available, try again later", Transient),
        ("Requested format is not available", Transient),
    ],
)
def test_what_youtube_says(youtube, settings, tmp_path, error, kind):
    youtube(error=error)
    with pytest.raises(kind) as caught:
        download("-BWJJvynXpA", WATCH, tmp_path, settings)
    assert str(caught.value).startswith(error[:20])
    assert ("ingest.download.cookies" in str(caught.value)) == ("not a bot" in error)
    assert ("JavaScript runtime" in str(caught.value)) == ("format" in error)


def test_youtube_blocks_with_403(youtube, server, settings, tmp_path):
    server.replies["v.mp4"] = Reply(statuses=[403])
    youtube([{"format_id": "1", "url": server.url("v.mp4"), "ext": "mp4", "height": 720}])
    with pytest.raises(Transient, match="HTTP 403 Forbidden: YouTube blocks"):
        download("-BWJJvynXpA", WATCH, tmp_path, settings)


def test_streams_of_other_protocols_are_not_taken(youtube, settings, tmp_path):
    urls = ["file:///etc/passwd", "rtmp://127.0.0.1/x", "ftp://127.0.0.1/x.mp4"]
    youtube([{"format_id": str(n), "url": url, "ext": "mp4"} for n, url in enumerate(urls)])
    with pytest.raises((Permanent, Transient)):
        download("-BWJJvynXpA", WATCH, tmp_path, settings)
    assert not list(tmp_path.iterdir())


def test_an_unknown_error_may_pass_and_is_one_line():
    error = DownloadError("ERROR: [youtube] uBWJJvynXpA: Some\nbug; please report this issue on https://github.com/x")
    found = verdict(error, Path(), youtube=True)
    assert isinstance(found, Transient) and str(found) == "Some bug"


def test_a_bug_in_an_extractor_is_a_failure_of_its_item(monkeypatch, settings, tmp_path):
    def extract(self: YoutubeIE, url: str) -> dict:
        raise RuntimeError("no player")

    monkeypatch.setattr(YoutubeIE, "_real_extract", extract)
    with pytest.raises(Transient, match="RuntimeError: no player"):
        download("-BWJJvynXpA", WATCH, tmp_path, settings)
