"""The sound of waiting: two soft notes and then quiet, so that a caller knows that the line still stands."""

from __future__ import annotations

import io
import math
import wave
from functools import lru_cache
from typing import Final

_RATE: Final = 8000
"""Samples per second, as on a telephone."""
_NOTES: Final = ((392.0, 0.0), (523.25, 0.45))
"""Pitch in hertz and beginning in seconds of each note."""
_NOTE_SECONDS: Final = 1.2
_LAST: Final = max(begins for _, begins in _NOTES) + _NOTE_SECONDS
"""After so many seconds there is quiet."""
_LOUDNESS: Final = 0.12


@lru_cache(maxsize=2)
def hold_tone(seconds: int) -> bytes:
    """A WAV file (8 kHz, mono, 16 bits) of so many seconds."""
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE)
        heard = min(seconds * _RATE, int(_LAST * _RATE))
        samples = (_sample(n / _RATE) for n in range(heard))
        sound.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
        sound.writeframes(bytes(2 * (seconds * _RATE - heard)))
    return out.getvalue()


def _sample(at: float) -> int:
    level = sum(
        math.sin(2 * math.pi * pitch * (at - begins)) * _fade(at - begins) for pitch, begins in _NOTES
    )
    return round(level * _LOUDNESS * 32767)


def _fade(since: float) -> float:
    """How loud a note is so long after it was struck: in within 20 ms, then slowly away."""
    if not 0 <= since < _NOTE_SECONDS:
        return 0.0
    return min(1.0, since / 0.02) * (1 - since / _NOTE_SECONDS) ** 2
