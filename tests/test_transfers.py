"""Callers and agents in the database: never two agents on one caller, never one agent rung for two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from bot import agents, pace, talks, transfers
from bot.agents import AgentState
from bot.clock import FrozenClock, wall_time
from bot.errors import InputError
from bot.ids import new_id
from bot.privacy.seal import Sealer
from bot.storage.database import Database, open_database
from bot.storage.tables import Conversation, Staff, StaffSession, Transfer, table
from bot.storage.types import AnyRow
from bot.transfers import TransferOutcome, TransferState

_transfer = table(Transfer)
LONGEST = timedelta(minutes=3)
CALL = "CA" + "a" * 32


@dataclass
class Hall:
    """A room of agents and a line of callers."""

    database: Database
    sealer: Sealer
    clock: FrozenClock

    def agent(self, *languages: str, present: bool = True) -> str:
        """An agent who takes calls, signed in or not."""
        staff_id, now = new_id(), self.clock.now()
        person = {
            "id": staff_id,
            "name": staff_id,
            "password_hash": "x",
            "totp_sealed": b"x",
            "roles": "agent",
            "active": True,
            "created_at": now,
        }
        with self.database.write() as connection:
            connection.execute(insert(table(Staff)).values(person))
            agents.set_phone_and_languages(
                connection, self.sealer, staff_id, phone="+6281255500001", languages=languages, now=now
            )
            agents.come(connection, staff_id, now)
        if present:
            self.open_page(staff_id)
        self.clock.advance(timedelta(seconds=1))
        return staff_id

    def open_page(self, staff_id: str) -> None:
        """Her console page is open from now on."""
        wall = wall_time()
        session = {"id": new_id(), "staff_id": staff_id, "data": "{}", "created_at": wall, "seen_at": wall}
        self._insert(StaffSession, session)

    def caller(self, language: str = "en") -> str:
        """A caller who waits from now on; gives her conversation."""
        conversation_id, now = new_id(), self.clock.now()
        talk = {
            "id": conversation_id,
            "channel": "voice",
            "call_id": conversation_id,
            "line": "",
            "flow": "hotline",
            "revision": "r",
            "language": language,
            "state": "open",
            "session_sealed": b"x",
            "sprint": "s",
            "started_at": now,
            "updated_at": now,
        }
        self._insert(Conversation, talk)
        with self.database.write() as connection:
            transfers.open_line(connection, conversation_id, language, now, wall_time())
        self.clock.advance(timedelta(seconds=1))
        return conversation_id

    def match(self) -> list[str]:
        """One clock brings callers and agents together."""
        return transfers.match(self.database, self.clock.now(), wall_time(), LONGEST)

    def of(self, conversation_id: str) -> AnyRow:
        """The newest transfer of a caller."""
        found = select(table(Transfer)).where(table(Transfer).c.conversation_id == conversation_id)
        with self.database.read() as connection:
            return connection.execute(found.order_by(table(Transfer).c.id.desc())).first()  # type: ignore[return-value]  # there is one

    def state(self, staff_id: str) -> AgentState | None:
        """Where an agent stands."""
        with self.database.read() as connection:
            return agents.state_of(connection, staff_id)

    def ring(self, conversation_id: str) -> str:
        """Her agent's telephone rings; gives the transfer."""
        transfer_id = str(self.of(conversation_id).id)
        with self.database.write() as connection:
            order = transfers.begin_ring(connection, self.sealer, transfer_id, wall_time())
        assert order is not None
        return transfer_id

    def accept(self, transfer_id: str, ring: int = 1, call_id: str = CALL) -> bool:
        """The agent presses 1."""
        with self.database.write() as connection:
            return transfers.accept(connection, transfer_id, ring, call_id, self.clock.now(), wall_time())

    def leave(self, conversation_id: str, outcome: TransferOutcome = TransferOutcome.GONE) -> None:
        """The caller leaves the line."""
        with self.database.write() as connection:
            transfers.leave_line(connection, conversation_id, outcome, self.clock.now(), wall_time())

    def before(self, conversation_id: str) -> int:
        """How many wait before a caller."""
        with self.database.read() as connection:
            wait = transfers.wait_of(connection, conversation_id, wall_time())
        assert wait is not None
        return wait.before

    def _insert(self, row: type, values: dict[str, object]) -> None:
        with self.database.write() as connection:
            connection.execute(insert(table(row)).values(values))


@pytest.fixture
def hall(database: Database, sealer: Sealer, frozen_clock: FrozenClock) -> Hall:
    """An empty room, on each kind of database."""
    return Hall(database, sealer, frozen_clock)


@pytest.fixture
def desk(sqlite_url: str, sealer: Sealer, frozen_clock: FrozenClock) -> Iterator[Hall]:
    """The same on SQLite alone, for what does not depend on the database."""
    database = open_database(sqlite_url)
    yield Hall(database, sealer, frozen_clock)
    database.dispose()


def at_once(times: int, act: Callable[[int], object]) -> list[object]:
    """Several clocks or webhooks at the same time."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(act, range(times)))


def test_many_clocks_give_every_caller_one_agent(hall: Hall) -> None:
    staff = [hall.agent("en") for _ in range(5)]
    callers = [hall.caller() for _ in range(8)]
    rung = [transfer for found in at_once(6, lambda _: hall.match()) for transfer in found]  # type: ignore[attr-defined]  # lists of ids
    rung += hall.match()
    assert len(rung) == len(set(rung)) == 5
    rows = [hall.of(caller) for caller in callers]
    assert Counter(row.agent_id for row in rows if row.agent_id) == Counter(staff)
    assert {hall.state(agent) for agent in staff} == {AgentState.RINGING}


def test_whoever_waits_longest_gets_who_is_free_for_longest(hall: Hall) -> None:
    first, second = hall.agent("en"), hall.agent("en")
    early, late = hall.caller(), hall.caller()
    hall.match()
    assert (hall.of(early).agent_id, hall.of(late).agent_id) == (first, second)


def test_an_agent_is_kept_for_nobody_whose_language_she_does_not_speak(hall: Hall) -> None:
    hall.agent("id")
    hall.agent("my")
    waits = hall.caller("id")
    assert hall.match() == [hall.of(waits).id]


def test_two_presses_at_once_take_the_call_once(hall: Hall) -> None:
    hall.agent("en")
    caller = hall.caller()
    hall.match()
    transfer_id = hall.ring(caller)
    taken = at_once(4, lambda n: hall.accept(transfer_id, call_id=f"CA{n:032x}"))
    assert sorted(map(bool, taken)) == [False, False, False, True]


def test_a_caller_who_leaves_as_the_agent_presses_leaves_nobody_alone(hall: Hall) -> None:
    agent = hall.agent("en")
    caller = hall.caller()
    hall.match()
    transfer_id = hall.ring(caller)
    at_once(2, lambda n: hall.accept(transfer_id) if n else hall.leave(caller))
    # Whichever was first: the agent's telephone is let go, and she is rung for the next caller.
    assert hall.of(caller).state == TransferState.PARTING
    with hall.database.write() as connection:
        transfers.parted(connection, transfer_id, hall.clock.now())
    assert hall.of(caller).state == TransferState.ENDED
    assert hall.state(agent) is AgentState.FREE


def test_a_ring_is_placed_once_however_many_jobs_run(hall: Hall) -> None:
    hall.agent("en")
    caller = hall.caller()
    hall.match()
    transfer_id = str(hall.of(caller).id)

    def job(_: int) -> object:
        with hall.database.write() as connection:
            return transfers.begin_ring(connection, hall.sealer, transfer_id, wall_time())

    assert sum(order is not None for order in at_once(4, job)) == 1


def test_rings_take_their_turn_in_the_pace_of_all_calls(hall: Hall) -> None:
    for _ in range(5):
        hall.agent("en")
        hall.caller()
    rings, wall = hall.match(), wall_time()
    for bucket in (pace.STARTS, pace.CALLS):
        pace.make(hall.database, bucket, wall)
    turns = []
    for transfer_id in rings:
        with hall.database.write() as connection:
            turns.append(transfers.turn(connection, transfer_id, 1, lambda: wall))
    assert turns == [*(wall + timedelta(seconds=n) for n in range(4)), None]
    with hall.database.read() as connection:
        last = connection.execute(select(_transfer).where(_transfer.c.id == rings[-1])).one()
    assert (last.state, last.lease_until) == ("matched", wall + timedelta(seconds=4)), "handed out again then"


def test_a_ring_takes_its_place_from_the_callbacks_that_are_claimed(hall: Hall) -> None:
    hall.agent("en")
    hall.caller()
    (transfer_id,), wall = hall.match(), wall_time()
    for bucket in (pace.STARTS, pace.CALLS):
        pace.make(hall.database, bucket, wall)
    room = []
    for seconds in (0, 1):
        with hall.database.write() as connection:
            room.append(pace.room(connection, pace.CALLS, 1, wall + timedelta(seconds=seconds)).count)
            transfers.turn(connection, transfer_id, 1, lambda: wall)
            room.append(pace.room(connection, pace.CALLS, 1, wall + timedelta(seconds=seconds)).count)
    assert room == [1, 0, 1, 0], (
        "else more is claimed than can start, and callers wait behind it for their agents"
    )


def test_the_place_in_the_line_counts_those_whom_the_same_agents_could_take(hall: Hall) -> None:
    hall.agent("en", "id")
    hall.agent("my")
    callers = [hall.caller(language) for language in ("my", "id", "en", "en", "my")]
    assert [hall.before(caller) for caller in callers] == [0, 0, 1, 2, 1]


def test_a_late_report_of_an_earlier_ring_changes_nothing(hall: Hall) -> None:
    first, second = hall.agent("en"), hall.agent("en")
    caller = hall.caller()
    hall.match()
    transfer_id = hall.ring(caller)
    now, wall = hall.clock.now(), wall_time()
    with hall.database.write() as connection:
        transfers.missed(connection, transfer_id, 1, now, wall)
    assert hall.state(first) is AgentState.AWAY
    hall.match()
    hall.ring(caller)
    with hall.database.write() as connection:
        transfers.missed(connection, transfer_id, 1, now, wall)
        transfers.agent_left(connection, transfer_id, 1, CALL, now, wall)
    assert not hall.accept(transfer_id, ring=1)
    assert hall.accept(transfer_id, ring=2)
    assert hall.state(second) is AgentState.TALKING


def test_who_waits_already_keeps_her_place(hall: Hall) -> None:
    caller = hall.caller()
    before = hall.of(caller)
    with hall.database.write() as connection:
        transfers.open_line(connection, caller, "en", hall.clock.now(), wall_time())
    assert hall.of(caller) == before


def test_an_agent_sees_who_rings_now_and_not_who_left_before(desk: Hall) -> None:
    agent = desk.agent("en")
    first = desk.caller()
    with desk.database.write() as connection:
        agents.go(connection, agent, desk.clock.now())
    second = desk.caller()
    desk.leave(first)
    later = desk.caller()
    with desk.database.write() as connection:
        agents.come(connection, agent, desk.clock.now())
    desk.match()
    desk.leave(second)
    desk.match()
    with desk.database.read() as connection:
        mine = talks.own_talk(connection, agent)
    assert mine is not None
    assert mine.transfer_id == desk.of(later).id
    assert desk.of(second).agent_id is None


# --- agents ---------------------------------------------------------------------------------------


def test_an_agent_is_there_only_with_her_page_open(desk: Hall) -> None:
    agent = desk.agent("en", "zh-Hans", present=False)
    wall = wall_time()
    with desk.database.read() as connection:
        assert not agents.is_there(connection, "en", wall)
    desk.open_page(agent)
    with desk.database.read() as connection:
        assert agents.is_there(connection, "en", wall)
        assert agents.is_there(connection, "zh-Hans", wall)
        assert not agents.is_there(connection, "zh", wall)
        assert not agents.is_there(connection, "en", wall + 2 * agents.PRESENCE)


def test_who_lost_the_role_of_an_agent_is_not_rung(desk: Hall) -> None:
    agent = desk.agent("en")
    staff = table(Staff)
    with desk.database.write() as connection:
        connection.execute(staff.update().where(staff.c.id == agent).values(roles="supervisor"))
    desk.caller()
    assert desk.match() == []


def test_nobody_leaves_in_the_middle_of_a_call(desk: Hall) -> None:
    agent = desk.agent("en")
    desk.caller()
    desk.match()
    with desk.database.write() as connection, pytest.raises(InputError):
        agents.go(connection, agent, desk.clock.now())


def test_without_a_telephone_nobody_takes_calls(desk: Hall) -> None:
    with desk.database.write() as connection, pytest.raises(InputError) as refused:
        agents.come(connection, "0" * 32, desk.clock.now())
    assert refused.value.code == "no_phone"


@pytest.mark.parametrize("phone", ["7-7", "+1", "0812 555", "call me"])
def test_a_telephone_that_cannot_be_rung_is_refused_without_repeating_it(desk: Hall, phone: str) -> None:
    agent = desk.agent("en")
    with desk.database.write() as connection, pytest.raises(InputError) as refused:
        agents.set_phone_and_languages(
            connection, desk.sealer, agent, phone=phone, languages=None, now=desk.clock.now()
        )
    assert phone not in str(refused.value)


def test_languages_are_the_served_ones(desk: Hall) -> None:
    agent = desk.agent("id", "en", "id")
    with desk.database.write() as connection, pytest.raises(InputError):
        agents.set_phone_and_languages(
            connection, desk.sealer, agent, phone=None, languages=["tlh"], now=desk.clock.now()
        )
    with desk.database.read() as connection:
        seat = agents.mine(connection, agent, wall_time())
        assert seat is not None
        assert seat.languages == ("id", "en")
