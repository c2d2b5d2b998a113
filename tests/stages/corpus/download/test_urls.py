"""What lists may say, and what becomes of it."""

from __future__ import annotations

import re

import pytest

from stages.corpus.download.urls import UrlError, canonical, safe_name

WATCH = "https://www.youtube.com/watch?v=uBWJJvynXpA"


@pytest.mark.parametrize(
    "url",
    [
        WATCH,
        WATCH + "&t=6s",
        "http://m.youtube.com/watch?list=PL1&index=3&v=uBWJJvynXpA",
        "https://youtu.be/uBWJJvynXpA?t=6",
        "https://www.youtube.com/embed/uBWJJvynXpA",
        "https://youtube.com/shorts/uBWJJvynXpA/",
        "HTTPS://WWW.YouTube.com/watch?v=uBWJJvynXpA#t=1",
    ],
)
def test_youtube_addresses_are_one_id(url):
    assert canonical("Radio2", url) == ("uBWJJvynXpA", WATCH)


def test_other_addresses_are_kept_under_the_name_in_the_list():
    assert canonical("Radio2", "http://host/a%20b.mp4?x=$(y)") == ("Radio2", "http://host/a%20b.mp4?x=$(y)")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("file:///etc/passwd", "only http and https"),
        ("ftp://host/a.mp4", "only http and https"),
        ("/etc/passwd", "only http and https"),
        ("../../a.mp4", "only http and https"),
        ("javascript:alert(1)", "only http and https"),
        ("", "only http and https"),
        ("https://", "only http and https"),
        ("http://[::1/a", "cannot be read"),
        ("https://host/a.mp4 ; rm -rf /", "blanks"),
        ("https://host/\na.mp4", "blanks"),
        ("https://www.youtube.com/watch?v=../../../x", "names no video"),
        ("https://www.youtube.com/playlist?list=PL1", "names no video"),
        ("https://www.youtube.com/@someone", "names no video"),
    ],
)
def test_other_things_are_refused(url, problem):
    with pytest.raises(UrlError, match=problem):
        canonical("name", url)


@pytest.mark.parametrize(
    "name", ["../../x", "-rf", "a/b", "", ".", "a b", "😀", "new\nline", "$(touch x)", "x" * 300, "\udcff"]
)
def test_names_of_files_are_safe(name):
    safe = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,90}", safe) and safe == safe_name(name)
    assert safe != safe_name(name + "x")


def test_good_names_stay():
    assert safe_name("LucilleRoybal-Allard_0") == "LucilleRoybal-Allard_0"
