"""Digits that prove who somebody is: how they are read, and that only their own message knows them."""

from __future__ import annotations

import pytest

from bot import links
from bot.links import Code, Proof
from bot.messages import Button, Input, Keys, Silence, Text
from bot.privacy.seal import Sealer
from bot.transcript import MASK

BURMESE = "".join(chr(ord("၀") + int(digit)) for digit in "12345678")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (Text("12345678"), Code("12345678")),
        (Text(" 1234 5678. "), Code("12345678")),
        (Text("1234-5678"), Code("12345678")),
        (Text(BURMESE), Code("12345678")),
        (Text("12345678\n\nSent from my phone"), Code("12345678")),
        (Keys("12345678"), Code("12345678")),
        (Text("123456 4711"), Proof("123456", "4711")),
        (Text("123456/99887766"), Proof("123456", "99887766")),
        (Keys("1234564711"), Proof("123456", "4711")),
        (Text("1234567"), None),
        (Text("123456789"), None),
        (Text("123456 471"), None),
        (Text("123456 998877665"), None),
        (Text("my code is 12345678"), None),
        (Text("+12345678"), Code("12345678")),
        (Keys("1234567*"), None),
        (Button("12345678"), None),
        (Silence(), None),
        (Text(""), None),
    ],
    ids=repr,
)
def test_only_digits_alone_are_read_as_a_proof(given: Input, read: Code | Proof | None) -> None:
    assert links.entry(given) == read


def test_neither_prints_what_it_holds() -> None:
    assert "12345678" not in repr(Code("12345678"))
    assert "4711" not in repr(Proof("123456", "4711"))


def test_the_code_of_a_message_is_eight_digits_and_always_the_same(sealer: Sealer) -> None:
    ids = [f"{n:032x}" for n in range(200)]
    codes = [sealer.code(each) for each in ids]
    assert codes == [sealer.code(each) for each in ids]
    assert all(len(code) == 8 and code.isdigit() for code in codes)
    assert len(set(codes)) == len(codes)


def test_a_code_stands_in_a_text_only_while_it_is_sent(sealer: Sealer) -> None:
    message_id = "0" * 32
    assert (
        links.with_code(sealer, message_id, f"Write this:\n{MASK}")
        == f"Write this:\n{sealer.code(message_id)}"
    )
