"""What is read of a case, on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from bot.cases import desk
from bot.messages import Address, AddressKind
from bot.storage.tables import Message, Stop, table
from tests.cases.conftest import DAY, Desk
from tests.cases.planting import ALIAS, NUMBER, say


def test_a_case_shows_what_the_worker_said_and_nothing_of_who_they_are(at_desk: Desk) -> None:
    case = at_desk.plant(words="Gaji saya dipotong")
    seen = at_desk.see(case)
    with at_desk.database.read() as connection:
        said, older = desk.transcript(connection, at_desk.sealer, case.id)
    assert [answer.text for answer in seen.answers] == ["Gaji saya dipotong"]
    assert [(one.direction, one.text) for one in said] == [
        ("out", "Apakah aman?"),
        ("in", "Gaji saya dipotong"),
    ]
    assert older is None
    assert (seen.timezone, seen.factory, seen.audit_ref) == ("Asia/Jakarta", "Pabrik Maju", "A-1")
    everything = repr(seen) + repr(said) + "".join(one.text for one in said)
    assert NUMBER not in everything
    assert ALIAS not in everything
    assert "dipotong" not in repr(seen) + repr(said)


@pytest.mark.parametrize(
    "written", [NUMBER, "0812 3456 7890", "0812-3456-7890", "+62 812-3456-7890", "6281234567890"]
)
def test_a_worker_who_writes_their_own_number_is_masked(at_desk: Desk, written: str) -> None:
    case = at_desk.plant(words=f"Tolong telepon {written} nanti malam")
    text = at_desk.see(case).answers[0].text
    assert text is not None
    assert not any(character.isdigit() for character in text)
    assert text.startswith("Tolong telepon [")
    assert text.endswith("] nanti malam")


def test_somebody_elses_number_stays_because_it_may_be_evidence(at_desk: Desk) -> None:
    case = at_desk.plant(words="Mandor: 0813 9999 8888, 20.000 rupiah, 2026-02-03")
    assert at_desk.see(case).answers[0].text == "Mandor: 0813 9999 8888, 20.000 rupiah, 2026-02-03"


def test_a_damaged_text_does_not_hide_the_rest_of_the_case(at_desk: Desk) -> None:
    case = at_desk.plant()
    with at_desk.database.write() as connection:
        connection.execute(
            update(table(Message)).where(table(Message).c.direction == "in").values(body_sealed=b"damaged")
        )
    with at_desk.database.read() as connection:
        said, _ = desk.transcript(connection, at_desk.sealer, case.id)
    assert [one.text for one in said] == ["Apakah aman?", desk.UNREADABLE]


def test_a_long_transcript_comes_in_parts(at_desk: Desk) -> None:
    case = at_desk.plant()
    for n in range(5):
        at_desk.clock.advance(timedelta(seconds=1))
        say(at_desk.database, at_desk.sealer, case, "in", f"pesan {n}", at_desk.clock.now() + DAY)
    with at_desk.database.read() as connection:
        newest, older = desk.transcript(connection, at_desk.sealer, case.id, limit=4)
        first, none = desk.transcript(connection, at_desk.sealer, case.id, before=older, limit=4)
    assert [len(newest), len(first), none] == [4, 3, None]
    assert newest[-1].text == "pesan 4"


def test_a_stopped_address_is_shown_as_such(at_desk: Desk) -> None:
    case = at_desk.plant()
    index = at_desk.sealer.stop_index(Address(AddressKind.PHONE, NUMBER))
    stop = {"index": index, "reason": "worker", "created_at": at_desk.clock.now()}
    assert not at_desk.see(case).stopped
    with at_desk.database.write() as connection:
        connection.execute(insert(table(Stop)).values(stop))
    assert at_desk.see(case).stopped
