"""Sound made from nothing: a tone as long as what was said, as WAV; silence of that length as MP3."""

from __future__ import annotations

import array
import io
import math
import sys
import wave

RATE = 8000
# An MPEG-1 layer III frame, 32 kbit/s, 44.1 kHz, mono, whose empty side information decodes to silence.
MP3_FRAME = b"\xff\xfb\x10\xc4" + bytes(100)
MP3_FRAME_SECONDS = 1152 / 44100


def make_wav(text: str, seconds: float) -> bytes:
    """A valid 8 kHz mono WAV of ``seconds``: a tone that pulses at each word of ``text``, silence if empty."""
    second = _tone(text) if text.strip() else bytes(2 * RATE)
    wanted = 2 * max(1, round(seconds * RATE))
    samples = (second * (wanted // len(second) + 1))[:wanted]
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples)
    return out.getvalue()


def make_mp3(seconds: float) -> bytes:
    """A valid MP3 of silence, about ``seconds`` long."""
    return MP3_FRAME * max(1, math.ceil(seconds / MP3_FRAME_SECONDS))


def sound_seconds(data: bytes) -> float:
    """How long a sound file lasts; guessed from its size where its header does not say."""
    if data[:4] == b"RIFF":
        try:
            with wave.open(io.BytesIO(data)) as file:
                return float(file.getnframes() / (file.getframerate() or RATE))
        except (wave.Error, EOFError):
            return len(data) / RATE
    return len(data) * 8 / 32_000


def _tone(text: str) -> bytes:
    pitch = 180 + sum(map(ord, text)) % 160
    pulses = max(1, min(6, len(text.split())))
    samples = array.array("h")
    for index in range(RATE):
        swell = math.sin(math.pi * ((index * pulses / RATE) % 1.0))
        samples.append(int(9000 * swell * math.sin(2 * math.pi * pitch * index / RATE)))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()
