"""Sealed columns, blind indexes and pass-word digests.

A seal is AES-256-GCM, bound to table, column and row: a ciphertext that is moved to another row or
column does not open. Texts are padded, so that the length of an answer does not tell it.
Layout: version (1 byte), key id (1), nonce (12), ciphertext with tag.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bot.errors import SealError
from bot.messages import Address, AddressKind, Reveal
from bot.privacy.keys import Keyring, Purpose

_VERSION = 1
_NONCE = 12
_HEADER = 2 + _NONCE
_BLOCK = 128
_ID = 16
_CHECK = 8
"""Bytes of the keyed check in a token; the id before it cannot be guessed either."""


class Sealer:
    """Seals and opens values with the keys of a :class:`Keyring`."""

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring
        self._ciphers = {
            (purpose, key_id): AESGCM(key)
            for purpose, entries in ring.keys.items()
            for key_id, key in entries
        }

    def seal(self, purpose: Purpose, context: str, data: bytes) -> bytes:
        """Seal ``data`` for ``context``, which is ``table.column:row id``."""
        key_id, _ = self._ring.current(purpose)
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[purpose, key_id].encrypt(nonce, data, context.encode())
        return bytes((_VERSION, key_id)) + nonce + sealed

    def open(self, purpose: Purpose, context: str, sealed: bytes) -> bytes:
        """Open a seal. Raises :class:`SealError` for a wrong key, row, column or a damaged value."""
        if len(sealed) <= _HEADER or sealed[0] != _VERSION:
            raise SealError(f"not a sealed value: {context}")
        cipher = self._ciphers.get((purpose, sealed[1]))
        if cipher is None:
            raise SealError(f"the key of a sealed value is missing: {context}")
        try:
            return cipher.decrypt(sealed[2:_HEADER], sealed[_HEADER:], context.encode())
        except InvalidTag:
            raise SealError(f"a sealed value does not open: {context}") from None

    def seal_text(self, context: str, text: str, purpose: Purpose = Purpose.CONTENT) -> bytes:
        """Seal a text, padded to the next 128 bytes."""
        data = text.encode("utf-8", "surrogatepass")
        padding = -(len(data) + 4) % _BLOCK
        return self.seal(purpose, context, len(data).to_bytes(4, "big") + data + bytes(padding))

    def open_text(self, context: str, sealed: bytes, purpose: Purpose = Purpose.CONTENT) -> str:
        """Open a sealed text."""
        data = self.open(purpose, context, sealed)
        return data[4 : 4 + int.from_bytes(data[:4], "big")].decode("utf-8", "surrogatepass")

    def seal_bytes(self, context: str, data: bytes) -> bytes:
        """Seal a file, such as a recording, as it is."""
        return self.seal(Purpose.CONTENT, context, data)

    def open_bytes(self, context: str, sealed: bytes) -> bytes:
        """Open a sealed file."""
        return self.open(Purpose.CONTENT, context, sealed)

    def seal_address(self, row_id: str, address: Address) -> bytes:
        """Seal an address for the row ``row_id`` of the table ``address``."""
        return self.seal_text(f"address.sealed:{row_id}", address.reveal(Reveal.SEAL), Purpose.ADDRESS)

    def open_address(self, row_id: str, kind: str, sealed: bytes) -> Address:
        """Open the address of a row; it still prints as ``<address>``."""
        return Address(AddressKind(kind), self.open_text(f"address.sealed:{row_id}", sealed, Purpose.ADDRESS))

    def index(self, value: str, scope: str) -> str:
        """Blind index: equal values of one scope give equal digests, and nothing can be guessed without the key."""
        return self._digest(Purpose.INDEX, f"{scope}\0{value}")

    def address_index(self, address: Address) -> str:
        """The blind index under which an address is found again."""
        return self.index(address.reveal(Reveal.INDEX), address.kind)

    def stop_index(self, address: Address) -> str:
        """The index of the stop list: of another key, so that it survives the purge of the address."""
        return self._digest(Purpose.STOP, f"{address.kind}\0{address.reveal(Reveal.INDEX)}")

    def pass_word_digest(self, contact_id: str, digits: str) -> str:
        """The keyed digest of a worker's pass-word. Nobody, supervisors included, can read it back."""
        return self._digest(Purpose.PASS_WORD, f"{contact_id}\0{digits}")

    def is_pass_word(self, contact_id: str, digits: str, digest: str) -> bool:
        """Whether ``digits`` are the worker's pass-word, in constant time."""
        return hmac.compare_digest(self.pass_word_digest(contact_id, digits), digest)

    def token(self, row_id: str, scope: str) -> str:
        """The name of a row for the world: 39 small letters and digits that only we can make."""
        named = bytes.fromhex(row_id) + self._check(row_id, scope)
        return base64.b32encode(named).decode().lower().rstrip("=")

    def row_of(self, token: str, scope: str) -> str | None:
        """The id of the row that a token names; None if it is not of our making."""
        try:
            named = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
        except (binascii.Error, ValueError):
            return None
        row_id = named[:_ID].hex()
        fits = len(named) == _ID + _CHECK and hmac.compare_digest(named[_ID:], self._check(row_id, scope))
        return row_id if fits else None

    def code(self, row_id: str) -> str:
        """Eight digits that only we can tell from the id of a row."""
        return f"{int(self.index(row_id, 'code'), 16) % 10**8:08d}"

    def _check(self, row_id: str, scope: str) -> bytes:
        return bytes.fromhex(self.index(row_id, scope))[:_CHECK]

    def _digest(self, purpose: Purpose, value: str) -> str:
        # An index must find old rows, so it always uses the first key: rotation makes the index anew.
        key = self._ring.keys[purpose][0][1]
        return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()[:40]
