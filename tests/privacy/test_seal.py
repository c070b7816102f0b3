"""Seals open only where they belong, and tell nothing of what is in them."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import SealError
from bot.ids import new_id
from bot.messages import Address, AddressKind, Reveal
from bot.privacy import keys
from bot.privacy.keys import KEY_BYTES, Keyring, Purpose
from bot.privacy.seal import Sealer
from bot.storage.tables import metadata

SEALER = Sealer(keys.generate())
PHONE = Address(AddressKind.PHONE, "+6281277788899")
TEXTS = st.text(max_size=400)


@given(text=TEXTS)
def test_what_is_sealed_opens_again(text: str) -> None:
    sealed = SEALER.seal_text("answer.text_sealed:1", text)
    assert SEALER.open_text("answer.text_sealed:1", sealed) == text
    if len(text.encode("utf-8", "surrogatepass")) > 3:
        assert text.encode("utf-8", "surrogatepass") not in sealed


@pytest.mark.parametrize(
    "column", [f"{t.name}.{c.name}" for t in metadata.sorted_tables for c in t.columns if "sealed" in c.name]
)
def test_a_seal_that_was_moved_does_not_open(column: str) -> None:
    sealed = SEALER.seal_text(f"{column}:1", "secret")
    for other in (f"{column}:2", "answer.other_sealed:1", f"{column}:1 ", column):
        with pytest.raises(SealError):
            SEALER.open_text(other, sealed)


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.CONTENT])
def test_a_seal_of_one_purpose_does_not_open_for_another(purpose: Purpose) -> None:
    sealed = SEALER.seal(Purpose.CONTENT, "x:1", b"secret")
    with pytest.raises(SealError):
        SEALER.open(purpose, "x:1", sealed)


@given(data=st.binary(max_size=200))
def test_damaged_values_are_an_error_that_tells_nothing(data: bytes) -> None:
    with pytest.raises(SealError) as refused:
        SEALER.open(Purpose.CONTENT, "x:1", data)
    assert "x:1" in str(refused.value)


def test_every_bit_of_a_seal_counts() -> None:
    sealed = SEALER.seal(Purpose.CONTENT, "x:1", b"secret")
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(SealError):
            SEALER.open(Purpose.CONTENT, "x:1", bytes(changed))


def test_the_length_of_an_answer_is_not_told_by_its_seal() -> None:
    lengths = {len(SEALER.seal_text("x:1", "a" * count)) for count in range(1, 120)}
    assert len(lengths) == 1


def test_the_same_words_are_never_sealed_alike() -> None:
    assert len({SEALER.seal_text("x:1", "yes") for _ in range(100)}) == 100


def test_old_keys_open_and_the_newest_seals() -> None:
    old = keys.generate()
    sealed = Sealer(old).seal_text("x:1", "secret")
    entries = {purpose: (*found, (2, bytes(range(KEY_BYTES)))) for purpose, found in old.keys.items()}
    rotated = Sealer(Keyring(entries))
    assert rotated.open_text("x:1", sealed) == "secret"
    assert rotated.seal_text("x:1", "secret")[1] == 2
    with pytest.raises(SealError, match="missing"):
        Sealer(old).open_text("x:1", rotated.seal_text("x:1", "secret"))


def test_an_address_prints_nothing_and_leaves_no_process() -> None:
    assert "777" not in f"{PHONE} {PHONE!r} {[PHONE]}"
    with pytest.raises(TypeError):
        pickle.dumps(PHONE)
    with pytest.raises(TypeError):
        PHONE.reveal("because")  # type: ignore[arg-type]  # this is what is refused


def test_an_address_is_found_by_an_index_that_needs_the_key() -> None:
    other = Sealer(keys.generate())
    assert SEALER.address_index(PHONE) == SEALER.address_index(
        Address(AddressKind.PHONE, PHONE.reveal(Reveal.INDEX))
    )
    assert SEALER.address_index(PHONE) != other.address_index(PHONE)
    assert SEALER.address_index(PHONE) != SEALER.stop_index(PHONE)
    whatsapp = Address(AddressKind.WHATSAPP, PHONE.reveal(Reveal.INDEX))
    assert SEALER.address_index(whatsapp) != SEALER.address_index(PHONE)


def test_a_pass_word_is_known_by_its_worker_alone() -> None:
    digest = SEALER.pass_word_digest("one", "4711")
    assert SEALER.is_pass_word("one", "4711", digest)
    assert not SEALER.is_pass_word("one", "4712", digest)
    assert not SEALER.is_pass_word("two", "4711", digest)
    assert "4711" not in digest


def test_ids_are_new_in_order_and_opaque() -> None:
    ids = [new_id() for _ in range(5000)]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert all(len(each) == 32 and each[12] == "7" for each in ids)
