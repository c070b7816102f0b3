"""What a camera writes into a picture: where and when it was taken, and with what. Left out of what pages show.

The picture itself is not touched, and which way up it belongs stays known. Sources: Exif 3.0 (CIPA DC-008),
4.5 and 4.6; PNG (W3C), 11.3; the container of WebP (RFC 9649), 2.7.
"""

from __future__ import annotations

import struct
from typing import Final

_PICTURE_ENDS: Final = 0xDA
"""The marker of a JPEG after which there is nothing but the picture."""
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_TRACES: Final = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
"""APP1 (Exif, XMP) to APP13 (IPTC), APP15 and comments; APP0 and APP14 (Adobe) say how the colours are meant."""
_COLOURS: Final = 0xE2
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_TRACES: Final = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"})
_WEBP_TRACES: Final = frozenset({b"EXIF", b"XMP "})
_WEBP_FLAGS: Final = 0x0C
_ORIENTATION: Final = 0x0112


def without_traces(content: bytes, content_type: str) -> bytes:
    """A picture without what its camera wrote into it; other files, and pictures that are damaged, as they are not.

    A damaged picture gives nothing at all, so that nothing slips through: its original can still be saved.
    """
    strip = {"image/jpeg": _jpeg, "image/png": _png, "image/webp": _webp}.get(content_type)
    if strip is None:
        return content
    try:
        return strip(content)
    except (IndexError, struct.error, ValueError):
        return b""


def _jpeg(content: bytes) -> bytes:
    kept = bytearray(content[:2])
    at = 2
    while True:
        if content[at] != 0xFF:
            raise ValueError("a segment does not begin where it should")
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == _PICTURE_ENDS:
            return bytes(kept) + content[at:]
        if marker in _STANDALONE:
            kept += content[at : at + 2]
            at += 2
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        segment = content[at : at + 2 + length]
        kept += _jpeg_segment(marker, segment)
        at += 2 + length


def _jpeg_segment(marker: int, segment: bytes) -> bytes:
    """What stays of a segment: of Exif nothing but which way up the picture belongs."""
    if marker == 0xE1 and segment[4:10] == b"Exif\0\0":
        turned = _orientation(segment[10:])
        return _upright(turned) if turned else b""
    if marker == _COLOURS and segment[4:16] == b"ICC_PROFILE\0":
        return segment
    return b"" if marker in _JPEG_TRACES else segment


def _orientation(tiff: bytes) -> int | None:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, first)
    for n in range(count):
        tag, _kind, _many, value = struct.unpack_from(order + "HHIH", tiff, first + 2 + 12 * n)
        if tag == _ORIENTATION:
            return value if 1 <= value <= 8 else None
    return None


def _upright(orientation: int) -> bytes:
    """An Exif segment that holds nothing else."""
    entry = struct.pack(">HHIHH", _ORIENTATION, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _png(content: bytes) -> bytes:
    kept = bytearray(_PNG)
    at = len(_PNG)
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name = content[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(content):
            raise ValueError("the last part is cut off")
        if name not in _PNG_TRACES:
            kept += content[at:end]
        if name == b"IEND":
            return bytes(kept)
        at = end
    raise ValueError("it has no end")


def _webp(content: bytes) -> bytes:
    kept = bytearray()
    at = 12
    while at + 8 <= len(content):
        name = content[at : at + 4]
        (length,) = struct.unpack_from("<I", content, at + 4)
        end = at + 8 + length + length % 2
        part = bytearray(content[at:end])
        if name == b"VP8X":
            part[8] &= ~_WEBP_FLAGS & 0xFF
        if name not in _WEBP_TRACES:
            kept += part
        at = end
    return b"RIFF" + struct.pack("<I", len(kept) + 4) + b"WEBP" + bytes(kept)
