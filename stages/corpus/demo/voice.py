"""Speech with phoneme timing from espeak-ng, called in-process through ctypes.

espeak-ng (GPL-3.0, https://github.com/espeak-ng/espeak-ng) comes as a shared library with its voices inside
the `espeakng-loader` wheel. The library keeps synthesis state between calls (echo buffer, flutter phase,
noise generator), so every utterance starts it afresh: the same words and prosody give the same samples,
whatever was said before.
"""

from __future__ import annotations

import _ctypes
import ctypes
from dataclasses import dataclass

import espeakng_loader
import numpy as np

SAMPLE_RATE = 22050
_SYNCHRONOUS = 2
_PHONEME_EVENTS = 1
_UTF8 = 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Prosody:
    """How an utterance is spoken, in espeak-ng's own units.

    voice: name with variant, such as "en+f3"; rate: words per minute (80 to 450); pitch: 0 to 99, 50 is the
    voice's own; pitch_range: 0 (monotone) to 99; volume: 0 to 200, 100 is normal.
    """

    voice: str
    rate: int
    pitch: int
    pitch_range: int
    volume: int


@dataclass(frozen=True)
class Speech:
    """samples: (n,) float32 in [-1, 1] at `SAMPLE_RATE`; phonemes: (espeak mnemonic, start in seconds),
    ascending, a final ("", end) closing the last one."""

    samples: np.ndarray
    phonemes: list[tuple[str, float]]


def _check(code: int, what: str) -> None:
    if code != 0:
        raise RuntimeError(f"espeak-ng refused {what} (code {code})")


def speak(text: str, prosody: Prosody) -> Speech:
    """Say `text` with the given prosody. Raises RuntimeError when espeak-ng cannot start or lacks the voice."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    if library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS) != SAMPLE_RATE:
        raise RuntimeError("espeak-ng did not start at its usual sampling rate")
    blocks: list[np.ndarray] = []
    phonemes: list[tuple[str, float]] = []

    def collect(samples, count, events):
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_PHONEME:
                name = events[index].id.string.decode("utf-8", "replace")
                phonemes.append((name, events[index].audio_position / 1000.0))
            index += 1
        return 0

    ctypes.CDLL(None).srand(1)
    callback = _Callback(collect)
    library.espeak_SetSynthCallback(callback)
    try:
        _check(library.espeak_SetVoiceByName(prosody.voice.encode()), f"the voice {prosody.voice!r}")
        for parameter, value in (
            (_RATE, prosody.rate),
            (_VOLUME, prosody.volume),
            (_PITCH, prosody.pitch),
            (_RANGE, prosody.pitch_range),
        ):
            _check(library.espeak_SetParameter(parameter, int(value), 0), f"parameter {parameter} = {value}")
        encoded = text.encode()
        size = ctypes.c_size_t(len(encoded) + 1)
        _check(library.espeak_Synth(encoded, size, 0, 0, 0, _UTF8, None, None), "the text")
        library.espeak_Synchronize()
    finally:
        library.espeak_Terminate()
        # Only unloading the library resets its static state; ctypes has no public call for that.
        _ctypes.dlclose(library._handle)
    samples = np.concatenate(blocks).astype(np.float32) / 32768.0
    phonemes.sort(key=lambda event: event[1])
    phonemes.append(("", len(samples) / SAMPLE_RATE))
    return Speech(samples, phonemes)
