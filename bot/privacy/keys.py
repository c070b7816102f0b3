"""The key file: one independent set of keys per purpose, outside the database.

The file is made by ``voiceback init`` with mode 0600. A missing, weak, shared or readable key file
stops the start, because a database beside weak keys protects nobody.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bot.errors import ConfigurationError

KEY_BYTES = 32
_MIN_DISTINCT_BYTES = 12


class Purpose(StrEnum):
    """What a key is for. No key serves two purposes."""

    ADDRESS = "address"
    """Seals numbers and other addresses, names and aliases."""
    CONTENT = "content"
    """Seals what was said, sessions of flows, recordings, notes."""
    STAFF = "staff"
    """Seals staff's one-time-password secrets and e-mail addresses."""
    INDEX = "index"
    """Blind index of addresses and rows of uploads."""
    STOP = "stop"
    """Blind index of the stop list, which outlives the address."""
    PASS_WORD = "pass_word"  # noqa: S105 - the name of a key, not a secret
    """Keyed digest of a worker's pass-word."""
    SESSION = "session"
    """Signs console cookies and form tokens."""


@dataclass(frozen=True)
class Keyring:
    """Keys by purpose; the last of each list is used for new seals, the others only open old ones."""

    keys: dict[Purpose, tuple[tuple[int, bytes], ...]] = field(repr=False)

    def current(self, purpose: Purpose) -> tuple[int, bytes]:
        """The id and the key that new seals use."""
        return self.keys[purpose][-1]


def generate() -> Keyring:
    """A new key ring with one random key per purpose."""
    return Keyring({purpose: ((1, secrets.token_bytes(KEY_BYTES)),) for purpose in Purpose})


def write(path: Path, ring: Keyring) -> None:
    """Write the key file, readable by its owner only; refuses to overwrite an existing one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "version": 1,
        "keys": {
            purpose.value: [{"id": i, "key": base64.b64encode(k).decode()} for i, k in entries]
            for purpose, entries in ring.keys.items()
        },
    }
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"the key file {path} exists already; it is never overwritten, because without it no sealed "
            "row can be opened again"
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def load(path: Path) -> Keyring:
    """Read and check the key file.

    Raises :class:`ConfigurationError` when it is missing, readable by others, damaged, or when a key
    is missing, weak or used for two purposes. Messages name the purpose, never the key.
    """
    try:
        mode = path.stat().st_mode
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no key file at {path}. Run `voiceback init`, or set VOICEBACK_KEYS to its path."
        ) from None
    except (OSError, ValueError):
        raise ConfigurationError(f"the key file {path} cannot be read; restore it from your backup") from None
    if mode & 0o077:
        raise ConfigurationError(f"the key file {path} is readable by others. Run: chmod 600 {path}")
    ring = Keyring({purpose: _entries(path, document, purpose) for purpose in Purpose})
    _refuse_equal(path, ring)
    return ring


def _entries(path: Path, document: object, purpose: Purpose) -> tuple[tuple[int, bytes], ...]:
    missing = ConfigurationError(
        f"the key file {path} has no usable '{purpose}' key; restore it from your backup, or make a new "
        "one with `voiceback init` if there is no data yet"
    )
    keys = document.get("keys") if isinstance(document, dict) else None
    entries = keys.get(purpose.value) if isinstance(keys, dict) else None
    if not isinstance(entries, list) or not entries:
        raise missing
    try:
        found = tuple((int(e["id"]), base64.b64decode(e["key"], validate=True)) for e in entries)
    except (KeyError, TypeError, ValueError):
        raise missing from None
    for _, key in found:
        if len(key) < KEY_BYTES or len(set(key)) < _MIN_DISTINCT_BYTES:
            raise ConfigurationError(
                f"the '{purpose}' key in {path} is too weak: it must be {KEY_BYTES} random bytes"
            )
        if len(key) > KEY_BYTES:
            raise missing
    if any(not 0 < key_id < 256 for key_id, _ in found):
        raise missing
    return found


def _refuse_equal(path: Path, ring: Keyring) -> None:
    seen: dict[bytes, Purpose] = {}
    for purpose, entries in ring.keys.items():
        for _, key in entries:
            if key in seen:
                raise ConfigurationError(
                    f"the keys '{seen[key]}' and '{purpose}' in {path} are equal; every purpose needs its own"
                )
            seen[key] = purpose
