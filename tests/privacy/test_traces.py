"""Of a picture, a page shows what is to be seen, and nothing of where, when and with what it was taken."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from bot.privacy.traces import without_traces

CAMERA = (Path(__file__).parents[2] / "simulator" / "assets" / "picture.jpg").read_bytes()
"""A picture as a camera makes it: with the place in it."""
START, PICTURE = b"\xff\xd8", b"\xff\xda\x00\x02picture\xff\xd9"
SECRET = b"6.2088 S 106.8456 E"


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def exif(orientation: int, order: str = "<") -> bytes:
    """An Exif segment with a place in it."""
    name = b"II" if order == "<" else b"MM"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return segment(0xE1, b"Exif\0\0" + name + struct.pack(order + "HIH", 42, 8, 1) + entry + SECRET)


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _all(content: bytes, sought: bytes) -> list[int]:
    return [at for at in range(len(content)) if content.startswith(sought, at)]


def test_the_place_is_not_in_a_picture_that_is_shown() -> None:
    assert b"Exif\0\0" in CAMERA
    shown = without_traces(CAMERA, "image/jpeg")
    assert shown.startswith(START)
    assert shown.endswith(b"\xff\xd9")
    sizes = [struct.unpack_from(">H", shown, at - 2)[0] for at in _all(shown, b"Exif\0\0")]
    assert sizes in ([], [34]), "which way up it belongs, and nothing else"
    assert len(shown) > len(CAMERA) // 2, "the picture itself stays"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_it_is_still_known_which_way_up_a_picture_belongs(order: str, orientation: int) -> None:
    shown = without_traces(START + exif(orientation, order) + PICTURE, "image/jpeg")
    assert SECRET not in shown
    at = shown.index(b"Exif\0\0") + 6
    assert struct.unpack_from(">HHIH", shown, at + 10) == (0x0112, 3, 1, orientation)
    assert shown.endswith(PICTURE)


def test_comments_and_what_programs_note_are_left_out_and_colours_stay() -> None:
    colours = segment(0xE2, b"ICC_PROFILE\0\x01\x01profile")
    notes = (
        segment(0xFE, SECRET) + segment(0xED, SECRET) + segment(0xE1, b"http://ns.adobe.com/xap/" + SECRET)
    )
    jfif = segment(0xE0, b"JFIF\0")
    assert (
        without_traces(START + jfif + notes + colours + PICTURE, "image/jpeg")
        == START + jfif + colours + PICTURE
    )


def test_a_png_keeps_its_picture_and_loses_its_notes() -> None:
    head, picture, end = chunk(b"IHDR", b"head"), chunk(b"IDAT", b"picture"), chunk(b"IEND", b"")
    notes = chunk(b"tEXt", SECRET) + chunk(b"eXIf", SECRET) + chunk(b"iTXt", SECRET)
    begin = b"\x89PNG\r\n\x1a\n"
    shown = without_traces(begin + head + notes + picture + end + SECRET, "image/png")
    assert shown == begin + head + picture + end


def test_a_webp_keeps_its_picture_and_loses_its_notes() -> None:
    def part(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)

    def whole(*parts: bytes) -> bytes:
        body = b"".join(parts)
        return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body

    picture = part(b"VP8 ", b"picture")
    given = whole(part(b"VP8X", b"\x1c" + bytes(9)), picture, part(b"EXIF", SECRET), part(b"XMP ", SECRET))
    assert without_traces(given, "image/webp") == whole(part(b"VP8X", b"\x10" + bytes(9)), picture)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png"])
def test_of_a_damaged_picture_nothing_is_shown(kind: str) -> None:
    for damaged in (
        b"",
        START,
        START + b"\xff\xe1\x00",
        START + b"no segment",
        b"\x89PNG\r\n\x1a\n" + b"\0\0\xff\xff",
    ):
        assert without_traces(damaged, kind) == b""


def test_other_files_are_left_as_they_are() -> None:
    assert without_traces(SECRET, "audio/ogg") == SECRET
