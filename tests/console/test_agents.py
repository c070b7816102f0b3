"""What an agent sees and does on her page, and what supervisors see of the line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot import agents, roster, staff, transfers
from bot.clock import FrozenClock, wall_time
from bot.service import Service
from bot.staff import Role
from bot.storage.tables import AccessLog, Case, CaseEvent, Grievance, StaffSession, Stop, table
from tests.cases.planting import ALIAS, NUMBER, Planted
from tests.console.conftest import Age, SignedIn, Visitor

PHONE = "+84912345678"
HERE = "/console/agent"
WAIT = timedelta(minutes=3)


@dataclass
class Line:
    """The telephone line: what Twilio would tell us, said by a test."""

    service: Service
    case: Planted
    transfer_id: str = ""

    def waits(self, language: str = "id") -> None:
        """The worker of the case asks for a person."""
        with self.service.database.write() as connection:
            now = self.service.clock.now()
            transfers.open_line(connection, self.case.conversation_id, language, now, wall_time())

    def rings(self) -> None:
        """The clock brings her and a free agent together, and the agent's telephone rings."""
        (self.transfer_id,) = transfers.match(
            self.service.database, self.service.clock.now(), wall_time(), WAIT
        )
        with self.service.database.write() as connection:
            assert transfers.begin_ring(connection, self.service.sealer, self.transfer_id, wall_time())
            transfers.rung(connection, self.transfer_id, 1, "CA1", wall_time())

    def is_taken(self) -> None:
        """The agent presses 1, and both are joined."""
        with self.service.database.write() as connection:
            now = self.service.clock.now()
            assert transfers.accept(connection, self.transfer_id, 1, "CA1", now, wall_time())
            assert transfers.join(connection, self.transfer_id, now, wall_time(), fetched=True)

    def is_missed(self) -> None:
        """Nobody pressed 1."""
        with self.service.database.write() as connection:
            transfers.missed(connection, self.transfer_id, 1, self.service.clock.now(), wall_time())

    def is_over(self) -> None:
        """The agent hangs up."""
        with self.service.database.write() as connection:
            now = self.service.clock.now()
            transfers.agent_left(connection, self.transfer_id, 1, "CA1", now, wall_time())

    def talk(self) -> None:
        """From the worker's wish to the talk."""
        self.waits()
        self.rings()
        self.is_taken()


@pytest.fixture
def line(service: Service, case: Planted) -> Line:
    """A line on which nobody is yet."""
    return Line(service, case)


def seated(service: Service, visitor: Visitor, languages: tuple[str, ...] = ("en", "id")) -> Visitor:
    """Give somebody who is signed in a telephone and languages."""
    with service.database.read() as connection:
        person = roster.named(connection, visitor.name)
    roster.set_line(service, person.id, PHONE, languages)
    return visitor


@pytest.fixture
def lan(service: Service, signed_in: SignedIn) -> Visitor:
    """Lan, an agent who speaks English and Indonesian."""
    return seated(service, signed_in(Role.AGENT, name="lan"))


def mark(somebody: Visitor) -> str:
    """What her page asks for again and again."""
    answer = somebody.get(f"{HERE}/state")
    assert answer.status_code == 200
    return str(answer.json["mark"]) if answer.json else ""


def test_an_agent_without_a_telephone_is_told_whom_to_ask(signed_in: SignedIn) -> None:
    page = signed_in(Role.AGENT).get(HERE).text
    assert "Ask your administrator" in page
    assert "I am available" not in page


def test_she_comes_and_goes_and_sees_what_she_speaks(lan: Visitor) -> None:
    page = lan.get(HERE).text
    assert "You are away." in page
    assert "You speak: English, Indonesian." in page
    assert lan.send(HERE, f"{HERE}/come").status_code == 303
    assert "You are available." in lan.get(HERE).text
    assert lan.send(HERE, f"{HERE}/go").status_code == 303
    assert "You are away." in lan.get(HERE).text


def test_the_mark_changes_when_and_only_when_the_page_does(lan: Visitor, line: Line) -> None:
    seen = [mark(lan), mark(lan)]
    lan.send(HERE, f"{HERE}/come")
    seen.append(mark(lan))
    line.waits()
    line.rings()
    seen.append(mark(lan))
    line.is_taken()
    seen += [mark(lan), mark(lan)]
    line.is_over()
    seen.append(mark(lan))
    assert len(set(seen)) == 5
    assert seen[0] == seen[1]
    assert seen[4] == seen[5]


def test_a_ring_tells_the_language_and_nothing_of_the_caller(lan: Visitor, line: Line) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.waits()
    line.rings()
    page = lan.get(HERE).text
    assert "Your telephone rings: press 1 there to take the call." in page
    assert "Indonesian" in page
    assert line.case.reference not in page
    assert "Pabrik Maju" not in page


def test_a_missed_ring_says_why_she_is_away(lan: Visitor, line: Line) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.waits()
    line.rings()
    line.is_missed()
    assert "nobody pressed 1, so callers go to others" in lan.get(HERE).text


def test_a_talk_shows_what_was_said_before_and_never_who_it_is(
    service: Service, lan: Visitor, line: Line
) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.talk()
    page = lan.get(HERE).text
    assert line.case.reference in page
    assert "Pabrik Maju" in page
    assert "Mereka mengancam saya &lt;script&gt;" in page
    assert not any(
        word in page for word in (NUMBER, NUMBER[1:], ALIAS, PHONE, PHONE[1:], line.case.contact_id)
    )
    assert "<title>My calls · Voiceback</title>" in page
    with service.database.read() as connection:
        log = table(AccessLog)
        read = connection.execute(select(log.c.object_id).where(log.c.action == "read_talk")).scalars().all()
    assert read == [line.transfer_id]


def test_what_she_heard_becomes_a_note_and_a_grievance_of_the_case(
    service: Service, lan: Visitor, line: Line
) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.talk()
    fields = {"note": "He was told to pay for his own visa", "category": "fees", "severity": "S2"}
    known = set(service.library.taxonomy.categories)
    fields["category"] = "fees" if "fees" in known else sorted(known)[0]
    sent = lan.send(HERE, f"{HERE}/talks/{line.transfer_id}/note", **fields)
    assert sent.status_code == 303
    assert "He was told to pay" in lan.get(HERE).text
    with service.database.read() as connection:
        grievance, event = table(Grievance), table(CaseEvent)
        raised = connection.execute(
            select(grievance.c.category, grievance.c.severity).where(grievance.c.question == "agent")
        ).all()
        notes = connection.execute(select(event.c.note_sealed).where(event.c.kind == "note")).scalars().all()
    assert [tuple(row) for row in raised] == [(fields["category"], "S2")]
    assert b"visa" not in notes[0]


@pytest.mark.parametrize("path", ["note", "wrap-up"])
def test_nothing_that_was_typed_is_lost_when_it_cannot_be_saved(lan: Visitor, line: Line, path: str) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.talk()
    words = "Long and careful words. " * 400
    refused = lan.send(HERE, f"{HERE}/talks/{line.transfer_id}/{path}", note=words, severity="S1")
    assert refused.status_code == 400
    assert words.strip() in refused.text
    assert 'value="S1" selected' in refused.text
    assert "What you wrote is still in the form" in refused.text


def test_what_was_typed_survives_the_end_of_her_session(lan: Visitor, line: Line, age: Age) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.talk()
    age(seen=timedelta(hours=1))
    refused = lan.client.post(f"{HERE}/talks/{line.transfer_id}/note", data={"note": "an hour of typing"})
    assert refused.status_code == 401
    assert "an hour of typing" in refused.text


def test_after_the_call_she_saves_and_takes_the_next_one(service: Service, lan: Visitor, line: Line) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.talk()
    early = lan.send(HERE, f"{HERE}/talks/{line.transfer_id}/wrap-up", note="Too early", then="available")
    assert early.status_code == 400
    assert "The call is still on" in early.text
    line.is_over()
    page = lan.get(HERE).text
    assert "Save, and take the next call" in page
    done = lan.send(HERE, f"{HERE}/talks/{line.transfer_id}/wrap-up", note="All said", then="available")
    assert done.status_code == 303
    assert "You are available." in lan.get(HERE).text
    with service.database.read() as connection:
        event = table(CaseEvent)
        notes = connection.execute(select(event.c.id).where(event.c.kind == "note")).all()
    assert len(notes) == 1


def test_unsafe_asks_twice_and_then_nobody_contacts_the_worker_again(
    service: Service, lan: Visitor, line: Line, signed_in: SignedIn
) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.talk()
    path = f"{HERE}/talks/{line.transfer_id}/unsafe"
    assert lan.send(HERE, path).status_code == 400
    with service.database.read() as connection:
        assert connection.execute(select(table(Stop))).all() == []
    assert lan.send(HERE, path, sure="yes").status_code == 303
    with service.database.read() as connection:
        assert len(connection.execute(select(table(Stop))).all()) == 1
        assert connection.execute(select(table(Case).c.severity)).scalars().all() == ["S1"]
    assert "Nobody calls or writes to this worker again." in lan.get(HERE).text
    assert "told an agent so" in signed_in(Role.SUPERVISOR).get(f"/console/cases/{line.case.id}").text


def test_nobody_elses_talk_can_be_read_or_written(
    service: Service, lan: Visitor, line: Line, signed_in: SignedIn
) -> None:
    lan.send(HERE, f"{HERE}/come")
    line.talk()
    other = seated(service, signed_in(Role.AGENT, name="minh"))
    assert line.case.reference not in other.get(HERE).text
    for path in ("note", "unsafe", "wrap-up"):
        sent = other.send(HERE, f"{HERE}/talks/{line.transfer_id}/{path}", note="mine", sure="yes")
        assert sent.status_code == 404
        assert "mine" in sent.text


def test_the_page_keeps_her_session_alive_only_while_she_takes_calls(
    service: Service, lan: Visitor, age: Age
) -> None:
    def seen_long_ago() -> bool:
        with service.database.read() as connection:
            seen = connection.execute(select(table(StaffSession).c.seen_at)).scalar_one()
        return bool(wall_time() - seen > timedelta(minutes=4))

    age(seen=timedelta(minutes=5))
    mark(lan)
    assert seen_long_ago()
    lan.send(HERE, f"{HERE}/come")
    age(seen=timedelta(minutes=5))
    mark(lan)
    assert not seen_long_ago()


def test_supervisors_see_who_takes_calls_and_who_waits_but_no_caller(
    service: Service, lan: Visitor, line: Line, signed_in: SignedIn, frozen_clock: FrozenClock
) -> None:
    boss = signed_in(Role.SUPERVISOR)
    assert "You are away" not in boss.get("/console/line").text
    lan.send(HERE, f"{HERE}/come")
    line.waits()
    frozen_clock.advance(timedelta(seconds=83))
    page = boss.get("/console/line").text
    assert re.search(r"lan</th>", page)
    assert "Available" in page
    assert "1:23" in page
    line.rings()
    line.is_taken()
    page = boss.get("/console/line").text
    assert "Talks with an agent" in page
    assert not any(word in page for word in (NUMBER, ALIAS, PHONE, line.case.reference, line.transfer_id))


def test_a_board_that_is_only_watched_does_not_keep_a_session_alive(
    service: Service, signed_in: SignedIn, age: Age
) -> None:
    boss = signed_in(Role.SUPERVISOR)
    age(seen=timedelta(minutes=29))
    assert boss.get("/console/line?watching=1").status_code == 200
    age(seen=timedelta(minutes=30))
    assert boss.get("/console/line?watching=1").status_code == 303


def test_an_agent_who_was_deactivated_is_out_at_once(service: Service, lan: Visitor) -> None:
    lan.send(HERE, f"{HERE}/come")
    staff.deactivate(service.database, "lan")
    assert lan.get(f"{HERE}/state").status_code == 303
    with service.database.read() as connection:
        assert not agents.is_there(connection, "id", wall_time())
