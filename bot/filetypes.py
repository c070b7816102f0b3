"""Types of files: told by their first bytes, and shown to staff only where a browser cannot be made to act by them.

What a sender or a provider calls a file is not believed: a type that is shown or played must be told by the
content. Everything else is handed over as a download. Sources: the MIME Sniffing Standard of the WHATWG
(https://mimesniff.spec.whatwg.org), RFC 7845 (Opus in Ogg), RFC 4867 (AMR), ISO/IEC 14496-12 (brands of MP4).
"""

from __future__ import annotations

import re
from typing import Final

UNKNOWN: Final = "application/octet-stream"
PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
SOUNDS: Final = frozenset({"audio/ogg", "audio/mpeg", "audio/mp4", "audio/wav", "audio/webm"})
FILMS: Final = frozenset({"video/mp4", "video/webm"})
SHOWN: Final = PICTURES | SOUNDS | FILMS
"""What a page may show or play. SVG and HTML are not among them, and never will be: they can hold programs."""

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}")
_SAME: Final = {
    "image/jpg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "audio/opus": "audio/ogg",
    "application/ogg": "audio/ogg",
}
_BEGINNINGS: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"%PDF-", "application/pdf"),
)
_ENDINGS: Final = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/wav": "wav",
    "audio/webm": "webm",
    "audio/amr": "amr",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/3gpp": "3gp",
    "application/pdf": "pdf",
}


def told_by(content: bytes, called: str) -> str:
    """The type of a file: as its first bytes tell it, else as it is called, unless it is called what is shown."""
    name = _normal(called)
    found = _told(content, name)
    if found is not None:
        return found
    return UNKNOWN if name in SHOWN else name


def ending(content_type: str) -> str:
    """The ending of the name under which a file of a type is saved; ``bin`` for a type that we do not know."""
    return _ENDINGS.get(content_type, "bin")


def _normal(called: str) -> str:
    """A type as its owner calls it, without parameters; what cannot be a type is unknown."""
    name = called.partition(";")[0].strip().lower()
    return _SAME.get(name, name) if _TYPE.fullmatch(name) else UNKNOWN


def _told(content: bytes, name: str) -> str | None:
    for beginning, kind in _BEGINNINGS:
        if content.startswith(beginning):
            return kind
    if content.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(content[8:12])
    if content[4:8] == b"ftyp":
        return _of_brand(content[8:12], name)
    if content.startswith(b"\x1aE\xdf\xa3") and b"webm" in content[:64]:
        return "audio/webm" if name.startswith("audio/") else "video/webm"
    # Without a tag, an MP3 begins with the eleven set bits of a frame: layer III, and no reserved bit rate.
    is_frame = len(content) > 2 and content[0] == 0xFF and content[1] & 0xE6 == 0xE2 and content[2] >> 4 != 15
    return "audio/mpeg" if is_frame and name == "audio/mpeg" else None


def _of_brand(brand: bytes, name: str) -> str | None:
    """A file in the container of MP4: sound and film have the same one."""
    if brand.startswith(b"3g"):
        return "video/3gpp" if not name.startswith("audio/") else "audio/3gpp"
    if brand.startswith((b"M4A", b"M4B")):
        return "audio/mp4"
    if brand.startswith((b"isom", b"iso", b"mp4", b"avc1", b"M4V", b"dash", b"MSNV", b"qt")):
        return "audio/mp4" if name.startswith("audio/") else "video/mp4"
    return None
