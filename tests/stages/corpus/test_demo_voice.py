"""Speech: the same words give the same samples, phonemes have their times, prosody is heard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stages.corpus.demo.emotions import SENTENCES
from stages.corpus.demo.visemes import PHONEMES, VISEMES, closures, mouth_track, plain, visemes_of
from stages.corpus.demo.voice import SAMPLE_RATE, Prosody, speak

PROSODY = Prosody("en-us+f2", rate=165, pitch=50, pitch_range=50, volume=80)


def test_what_was_said_before_changes_nothing():
    first = speak("Bob may move the map.", PROSODY)
    speak("Something else, in between.", Prosody("en+m3", rate=120, pitch=20, pitch_range=80, volume=60))
    again = speak("Bob may move the map.", PROSODY)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.phonemes == again.phonemes


def test_phonemes_are_in_order_and_end_with_the_voice():
    speech = speak("Bob may move the map.", PROSODY)
    times = [start for _, start in speech.phonemes]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(len(speech.samples) / SAMPLE_RATE)
    assert speech.samples.dtype == np.float32
    assert 0.05 < np.abs(speech.samples).max() <= 1.0
    spoken = [plain(name) for name, _ in speech.phonemes]
    assert spoken.count("b") == 2 and spoken.count("m") == 3


def test_rate_pitch_and_volume_are_heard():
    usual = speak("We built a wooden box.", PROSODY)
    quick = speak("We built a wooden box.", replace(PROSODY, rate=240))
    soft = speak("We built a wooden box.", replace(PROSODY, volume=30))
    high = speak("We built a wooden box.", replace(PROSODY, pitch=90, pitch_range=0))
    low = speak("We built a wooden box.", replace(PROSODY, pitch=10, pitch_range=0))
    assert len(quick.samples) < 0.85 * len(usual.samples)
    assert soft.samples.std() < 0.6 * usual.samples.std()

    def period(speech):
        power = np.abs(np.fft.rfft(speech.samples, 2 * len(speech.samples))) ** 2
        return 30 + int(np.argmax(np.fft.irfft(power)[30:300]))

    assert period(high) < period(low)


def test_an_unknown_voice_is_named():
    with pytest.raises(RuntimeError, match="no-such-voice"):
        speak("Hello.", replace(PROSODY, voice="no-such-voice"))


def test_every_phoneme_of_the_sentences_has_a_mouth():
    names = {plain(name) for text in SENTENCES for name, _ in speak(text, PROSODY).phonemes}
    assert {name for name in names if name and name not in PHONEMES} == set()
    assert {"p", "b", "m", "f", "v", "T", "D", "S", "tS", "dZ", "Z", "w", "j", "N"} <= names


def test_every_viseme_of_a_phoneme_exists():
    assert {viseme for visemes in PHONEMES.values() for viseme in visemes} <= set(VISEMES)
    assert visemes_of("'aI") == ("open", "front_close")
    assert visemes_of("_:") == ("rest",)
    assert visemes_of("unheard-of") == ("central",)


def test_lips_close_on_each_bilabial_and_open_on_vowels():
    from stages.corpus.demo.rig import INDEX

    speech = speak("Bob may move the map.", PROSODY)
    times = (np.arange(int(speech.phonemes[-1][1] * 25)) + 0.5) / 25
    track = mouth_track(speech.phonemes, times)
    assert np.isfinite(track).all()
    together = track[:, INDEX["lips_together"]]
    for start, end in closures(speech.phonemes):
        assert together[np.argmin(np.abs(times - (start + end) / 2))] == 1.0
    assert (together < 0.2).sum() > len(times) / 4
    assert track[:, INDEX["jaw_open"]].max() > 0.3
