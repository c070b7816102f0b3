"""The key file: made once, private, and refused when it could not protect anybody."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.errors import ConfigurationError
from bot.privacy import keys
from bot.privacy.keys import Purpose

Spoil = Callable[[dict[str, Any]], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A key file as ``voiceback init`` makes it."""
    made = tmp_path / "keys" / "keys.json"
    keys.write(made, keys.generate())
    return made


def test_a_key_file_is_private_and_reads_back(tmp_path: Path) -> None:
    path, ring = tmp_path / "keys.json", keys.generate()
    keys.write(path, ring)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.load(path) == ring


def test_every_purpose_has_a_key_of_its_own() -> None:
    ring = keys.generate()
    assert set(ring.keys) == set(Purpose)
    assert len({ring.current(purpose)[1] for purpose in Purpose}) == len(Purpose)


def test_an_existing_key_file_is_never_overwritten(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        keys.write(path, keys.generate())
    assert path.read_bytes() == before


def test_a_missing_key_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="voiceback init"):
        keys.load(tmp_path / "none.json")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_that_others_can_read_stops_the_start(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keys.load(path)


def _key(document: dict[str, Any], purpose: str, key: str) -> None:
    document["keys"][purpose] = [{"id": 1, "key": key}]


SPOILED: dict[str, Spoil] = {
    "missing": lambda document: document["keys"].pop("stop"),
    "empty": lambda document: document["keys"].update(stop=[]),
    "short": lambda document: _key(document, "stop", base64.b64encode(b"0123456789abcdef").decode()),
    "long": lambda document: _key(document, "stop", base64.b64encode(bytes(range(64))).decode()),
    "all the same": lambda document: _key(document, "stop", base64.b64encode(b"\0" * 32).decode()),
    "equal": lambda document: document["keys"].update(stop=document["keys"]["index"]),
    "not base64": lambda document: _key(document, "stop", "!" * 44),
    "bad id": lambda document: document["keys"]["stop"][0].update(id=0),
    "no keys": lambda document: document.pop("keys"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_weak_missing_or_equal_keys_stop_the_start_and_are_not_told(path: Path, how: str) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    material = [entry["key"] for entries in document["keys"].values() for entry in entries]
    SPOILED[how](document)
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        keys.load(path)
    assert not any(key in str(refused.value) for key in material)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_key_file_stops_the_start(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="backup"):
        keys.load(path)


def test_keys_never_print() -> None:
    ring = keys.generate()
    assert repr(ring.current(Purpose.STOP)[1]) not in repr(ring)
