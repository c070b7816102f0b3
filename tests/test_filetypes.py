"""Types of files: told by the first bytes, and never what a sender calls them where a page would show it."""

from __future__ import annotations

import pytest

from bot import filetypes
from bot.filetypes import UNKNOWN, told_by

_BOX = b"\x00\x00\x00\x18ftyp"


@pytest.mark.parametrize(
    ("content", "called", "kind"),
    [
        (b"\xff\xd8\xff\xe0rest", "image/jpg", "image/jpeg"),
        (b"\xff\xd8\xff\xe0rest", "application/octet-stream", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\nrest", "image/png", "image/png"),
        (b"GIF89arest", "", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/x-wav", "audio/wav"),
        (b"OggS\x00rest", "audio/ogg; codecs=opus", "audio/ogg"),
        (b"ID3\x04rest", "audio/mp3", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio/mpeg", "audio/mpeg"),
        (_BOX + b"M4A \x00", "audio/x-m4a", "audio/mp4"),
        (_BOX + b"isom\x00", "audio/mp4", "audio/mp4"),
        (_BOX + b"isom\x00", "video/mp4", "video/mp4"),
        (_BOX + b"3gp4\x00", "video/3gpp", "video/3gpp"),
        (b"\x1aE\xdf\xa3....webm", "video/webm", "video/webm"),
        (b"#!AMR\nrest", "audio/amr", "audio/amr"),
        (b"%PDF-1.7", "application/pdf", "application/pdf"),
        (b"PK\x03\x04", "application/zip", "application/zip"),
    ],
)
def test_the_content_tells_the_type(content: bytes, called: str, kind: str) -> None:
    assert told_by(content, called) == kind


@pytest.mark.parametrize("called", sorted(filetypes.SHOWN))
def test_a_page_of_a_stranger_cannot_pass_as_something_that_is_shown(called: str) -> None:
    for content in (b"<html><script>alert(1)</script>", b"<svg onload='alert(1)'/>", b"", b"\xff\xd8", _BOX):
        assert told_by(content, called) == UNKNOWN


@pytest.mark.parametrize("called", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/xml"])
def test_nothing_that_can_hold_a_program_is_shown(called: str) -> None:
    assert told_by(b"<svg/>", called) not in filetypes.SHOWN


@pytest.mark.parametrize("called", ["", "no type", "text/html\r\nX: y", "a/b/c", "text/" + "x" * 200])
def test_what_cannot_be_a_type_is_unknown(called: str) -> None:
    assert told_by(b"rest", called) == UNKNOWN


def test_a_saved_file_has_an_ending() -> None:
    assert (filetypes.ending("image/jpeg"), filetypes.ending("text/html")) == ("jpg", "bin")
