"""Callbacks that agents lead: first the agent, then the worker, one question at a time, and never a call twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, update

from bot import agents, interviews, leads, talks, transfers, watch
from bot.agents import AgentState
from bot.callbacks import policies
from bot.callbacks.claim import Limits, claim_due
from bot.callbacks.policy import Mode, Policy
from bot.clock import wall_time
from bot.errors import InputError, NotFound
from bot.flow.events import Outcome
from bot.interviews import Sheet
from bot.messages import Button, Text
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys import talking
from tests.journeys.talking import (
    AGENT,
    OTHER_AGENT,
    REFUSES,
    RINGS,
    STAYS,
    agent_state,
    held,
    rung,
    seat,
    soon,
    stands,
    transfer,
    until,
)
from tests.journeys.world import BEGIN, CALLER, Json, Worker, World, Worlds, heard

EVENING = "2026-03-02T18:01:00+07:00"
LATE = "2026-03-02T20:45:00+07:00"
LISTENS = {"steps": [*BEGIN], "then": "silent"}
"""A good time, the pass-word, it is safe; then she talks."""
NUMBER = Worker().number


@pytest.fixture
def world(sqlite_world: World) -> World:
    """SQLite alone, but for the first journey."""
    return sqlite_world


def due(world: World, *workers: Worker, mode: Mode = Mode.AGENT, **policy: object) -> None:
    """Callbacks of a client whose agents call are due."""
    world.interviewed(*(workers or (Worker(script=LISTENS),)))
    policies.set_for_client(world.service, "Brand A", Policy(mode=mode, **policy))  # type: ignore[arg-type]
    world.at(EVENING)


def calls_to(world: World, number: str = NUMBER) -> list[Json]:
    """The calls to a worker."""
    return [each for each in world.network.calls(number) if each["to"] == number]


def joined(world: World) -> Callable[[], bool]:
    """Whether worker and agent are joined."""
    return lambda: (found := transfer(world)) is not None and found.answered_at is not None


def state(world: World, *states: str) -> Callable[[], bool]:
    """Whether the callback is in one of these states."""
    return lambda: world.callback()["state"] in states


def lead(world: World, *workers: Worker, script: object = STAYS) -> tuple[str, str]:
    """An agent talks with a worker whom she calls back; gives the ids of the agent and of the talk."""
    agent = seat(world, script=script)
    due(world, *workers)
    until(world, joined(world))
    return agent, transfer(world).id


def sheet(world: World, agent: str, talk: str) -> Sheet:
    """What the agent sees."""
    return interviews.sheet(world.service, agent, talk, world.clock.now())


def enter(world: World, agent: str, talk: str, *given: str) -> None:
    """The agent enters answers, one after the other: codes, or words where words are asked for."""
    for each in given:
        question = sheet(world, agent, talk).question
        assert question is not None, f"nothing is asked any more: {each}"
        codes = {choice.code for choice in question.choices} | {"skip"}
        answer = Button(each) if each in codes else Text(each)
        interviews.enter(world.service, agent, talk, question.sprint, answer)


def over(world: World) -> None:
    """Until both telephones are put down and nothing is due."""
    until(world, lambda: transfer(world).state == "ended")
    world.run()


def lose_agent(world: World) -> None:
    """The line of the agent who waits for the worker breaks."""
    found = transfer(world)
    with world.service.database.write() as connection:
        transfers.agent_left(connection, found.id, 1, found.agent_call_id, world.clock.now(), wall_time())


def wrap_up(world: World, agent: str, talk: str) -> None:
    """The agent is done, and takes the next call."""
    with world.service.database.write() as connection:
        talks.wrap_up(connection, agent, talk, world.clock.now(), available=True)


ALL = (
    *("yes", "yes", "yes"),
    *("no", "no", "no"),
    *("yes", "yes", "no", "no", "no", "yes", "no", "yes"),
    *("They lock the fire exit at night", "fix", "yes", "no", "yes"),
)
"""Cut off, take part, texts; not coached, no papers, not made to tell; still there, still safe, not punished, pay
and hours as before, still safe, not threatened, something else in her words, put it right, tell the buyer, not the
employer, contact again."""


# --- the whole of it ------------------------------------------------------------------------------


def test_an_agent_leads_a_callback_from_the_ring_to_the_wrap_up(worlds: Worlds, database_url: str) -> None:
    world = worlds(database_url)
    agent, talk = lead(world)
    assert sheet(world, agent, talk).said[0].english.startswith("This is the confidential call")
    enter(world, agent, talk, *ALL)
    assert sheet(world, agent, talk).question is None
    assert world.callback()["state"] == "reached"
    assert world.dispositions() == ["completed"]
    talking.hang_up(world, NUMBER)
    over(world)
    assert agent_state(world, agent) is AgentState.WRAP_UP
    wrap_up(world, agent, talk)
    assert agent_state(world, agent) is AgentState.FREE
    assert ("q9_words", None, "They lock the fire exit at night") in world.answers()
    assert len(calls_to(world)) == 1
    assert {row.category for row in world.rows(tables.Case)} == {"unclassified"}


def test_the_worker_is_dialled_only_when_the_agent_is_on_the_line(world: World) -> None:
    seat(world, script=STAYS)
    due(world)
    until(world, joined(world))
    (to_agent,), (to_worker,) = rung(world), calls_to(world)
    pressed = next(step["at"] for step in to_agent["steps"] if step["kind"] == "keys")
    assert pressed <= to_worker["created"]
    attempt = world.rows(tables.Attempt)[0]
    assert attempt.claimed_at >= transfer(world).waiting_since


def test_before_the_agent_the_worker_hears_the_opening_only_and_neither_sees_a_number(world: World) -> None:
    agent, talk = lead(world)
    told = heard(calls_to(world)[0])
    assert told[0] == "Hello. Is this a good time?"
    assert told[-1] == "Please wait."
    assert not any("confidential" in each or "cut off" in each for each in told)
    enter(world, agent, talk, *ALL)
    assert not any("record=" in hit.answer or "<Record" in hit.answer for hit in world.hits)
    assert not {"record", "transcribe"} & {row.scope for row in world.rows(tables.Consent)}
    assert {rung(world)[0]["from"], calls_to(world)[0]["from"]} == {CALLER}
    digits = NUMBER.removeprefix("+")
    for hit in world.hits_at("/channels/voice/agent/"):
        assert digits not in hit.answer + hit.target + hit.body.decode()
    for hit in world.hits_at("/channels/voice/turn/") + world.hits_at("/channels/voice/wait/"):
        assert AGENT.removeprefix("+") not in hit.answer + hit.target + hit.body.decode()


# --- nobody ---------------------------------------------------------------------------------------


def test_without_an_agent_nobody_is_called_and_nothing_is_spent(world: World) -> None:
    due(world)
    world.run()
    assert calls_to(world) == []
    assert state(world, "scheduled")()
    first = world.callback()["due_at"]
    world.at("2026-03-02T22:00:00+07:00")
    world.run()
    assert world.callback()["due_at"] > first
    assert world.callback()["attempts"] == []


def test_the_callback_waits_in_its_window_until_an_agent_comes(world: World) -> None:
    due(world)
    world.pass_time(timedelta(hours=1))
    world.run()
    with world.service.database.read() as connection:
        found = watch.read(connection, world.clock.now())
    assert (found.due, found.late, found.for_agents) == (0, 0, 1), "nobody is alarmed by it"
    agent = seat(world, script=STAYS)
    until(world, joined(world))
    assert agent_state(world, agent) is AgentState.TALKING


def test_agent_first_lets_the_system_call_when_the_window_is_nearly_over(world: World) -> None:
    due(world, Worker(script="busy"), mode=Mode.AGENT_FIRST)
    world.run()
    assert calls_to(world) == []
    world.at(LATE)
    world.run()
    assert len(calls_to(world)) == 1


def test_agent_first_takes_no_worker_away_from_the_agent_who_is_rung_for_her(world: World) -> None:
    seat(world, script=STAYS)
    due(world, mode=Mode.AGENT_FIRST)
    world.at("2026-03-02T20:39:30+07:00")
    database, limits = world.service.database, Limits(100, 100)
    (found,) = leads.match(database, world.clock.now(), wall_time(), limits)
    world.pass_time(timedelta(minutes=1))
    now = world.clock.now()
    assert claim_due(database, now, wall_time(), limits) == []
    with database.write() as connection:
        transfers.begin_ring(connection, world.service.sealer, found, wall_time())
        transfers.missed(connection, found, 1, now, wall_time())
    assert len(claim_due(database, now, wall_time(), limits)) == 1, "nobody is there, so the system calls"


def test_who_speaks_another_language_is_not_rung_for_it(world: World) -> None:
    seat(world, AGENT, "id", name="ida")
    due(world)
    world.run()
    assert rung(world) == []


def test_an_agent_who_does_not_press_1_is_away_and_the_worker_is_not_called(world: World) -> None:
    agent = seat(world, script=REFUSES)
    due(world)
    until(world, lambda: agent_state(world, agent) is AgentState.AWAY)
    world.run()
    assert calls_to(world) == []
    assert world.callback()["attempts"] == []
    assert transfer(world).state == "ended"


def test_the_next_agent_gets_what_the_first_one_missed(world: World) -> None:
    first = seat(world, script=RINGS)
    world.clock.advance(timedelta(seconds=1))
    second = seat(world, OTHER_AGENT, name="eve", script=STAYS)
    due(world)
    until(world, joined(world))
    assert agent_state(world, first) is AgentState.AWAY
    assert agent_state(world, second) is AgentState.TALKING
    assert len(calls_to(world)) == 1


@pytest.mark.parametrize(
    ("script", "disposition"),
    [("busy", "busy"), ({"steps": [{"keys": "1"}, {"keys": "0#"}]}, "third_party")],
)
def test_a_worker_who_is_not_there_lets_the_agent_go_and_is_planned_anew(
    world: World, script: object, disposition: str
) -> None:
    agent = seat(world, script=STAYS)
    due(world, Worker(script=script))
    until(world, lambda: world.dispositions() == [disposition])
    over(world)
    assert agent_state(world, agent) is AgentState.FREE
    assert state(world, "scheduled")()
    assert "There was no talk this time. Thank you." in heard(rung(world)[0])


# --- how it ends ----------------------------------------------------------------------------------


def test_not_safe_now_ends_the_call_neutrally_and_plans_anew(world: World) -> None:
    agent, talk = lead(world)
    enter(world, agent, talk, "yes")
    interviews.conclude(world.service, agent, talk, Outcome.NOT_SAFE_NOW)
    over(world)
    (found,) = calls_to(world)
    assert heard(found)[-1] == "Sorry, wrong time. We will try later. Goodbye."
    assert found["status"] == "completed"
    assert world.dispositions() == ["not_safe_now"]
    assert state(world, "scheduled")()
    assert agent_state(world, agent) is AgentState.WRAP_UP


def test_danger_ends_the_call_and_nobody_calls_again(world: World) -> None:
    agent, talk = lead(world)
    interviews.conclude(world.service, agent, talk, Outcome.UNSAFE)
    over(world)
    assert heard(calls_to(world)[0])[-1] == "Thank you. Goodbye."
    assert state(world, "unsafe")()
    assert {row.reason for row in world.rows(tables.Stop)} == {"unsafe"}
    assert {(row.category, row.severity) for row in world.rows(tables.Case)} == {("threat", "S1")}


@contextmanager
def another_writer(world: World) -> Iterator[list[str]]:
    """Somebody else writes to the conversation while the first statement that changes it is on its way."""
    engine, came = world.service.database.engine, list[str]()
    conversation = table(tables.Conversation)
    more = update(conversation).values(version=conversation.c.version + 1)

    def meet(_c: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        if "UPDATE conversation SET" in statement and not came:
            came.append(statement)
            with world.service.database.write() as connection:
                connection.execute(more)

    event.listen(engine, "before_cursor_execute", meet)
    try:
        yield came
    finally:
        event.remove(engine, "before_cursor_execute", meet)


def test_what_an_agent_enters_is_kept_also_if_another_writer_was_first(
    worlds: Worlds, postgres_url: str
) -> None:
    world = worlds(postgres_url)
    agent, talk = lead(world)
    with another_writer(world) as came:
        enter(world, agent, talk, "yes")
    assert came
    assert [code for question, code, _ in world.answers() if question == "cut_off"] == ["yes"]
    with another_writer(world) as came:
        interviews.conclude(world.service, agent, talk, Outcome.NOT_SAFE_NOW)
    assert came
    over(world)
    assert world.dispositions() == ["not_safe_now"]


def test_another_time_is_understood_in_words(world: World) -> None:
    agent, talk = lead(world)
    with pytest.raises(InputError):
        interviews.conclude(world.service, agent, talk, Outcome.LATER, "when the cows come home")
    interviews.conclude(world.service, agent, talk, Outcome.LATER, "tomorrow after 8 pm")
    over(world)
    assert world.dispositions() == ["later"]
    assert world.callback()["due_at"].startswith("2026-03-03T13:")


def test_another_time_is_understood_as_the_page_of_a_callback_writes_it(world: World) -> None:
    agent, talk = lead(world)
    with pytest.raises(InputError, match="past"):
        interviews.conclude(world.service, agent, talk, Outcome.LATER, "2026-03-01 evening")
    interviews.conclude(world.service, agent, talk, Outcome.LATER, "weekend_evening;2026-03-03 20:30")
    over(world)
    assert world.dispositions() == ["later"]
    assert world.callback()["due_at"].startswith("2026-03-03T13:30")


def test_who_is_cut_off_is_called_again_unless_she_said_not_to(world: World) -> None:
    agent, talk = lead(world, script={"steps": [{"keys": "1"}, {"talk": [{"pause": 1}]}], "then": "silent"})
    enter(world, agent, talk, "yes", "yes")
    talking.hang_up(world, NUMBER)
    over(world)
    world.pass_time(timedelta(minutes=1))
    world.run()
    assert state(world, "dialling")(), "the agent may still enter what was said"
    with pytest.raises(InputError, match="how the talk ended"):
        wrap_up(world, agent, talk)
    interviews.conclude(world.service, agent, talk, Outcome.CUT_OFF)
    wrap_up(world, agent, talk)
    assert world.dispositions() == ["cut_off"]
    assert state(world, "scheduled")()


def test_an_agent_who_never_says_how_it_ended_holds_the_callback_for_a_while_only(world: World) -> None:
    agent, talk = lead(world)
    enter(world, agent, talk, "yes", "yes")
    talking.hang_up(world, NUMBER)
    over(world)
    world.pass_time(leads.TO_WRITE_UP)
    world.run()
    assert world.dispositions() == ["cut_off"]
    wrap_up(world, agent, talk)


def test_what_she_wanted_is_not_lost_when_it_is_entered_after_the_end(world: World) -> None:
    agent, talk = lead(world)
    enter(world, agent, talk, "yes", "yes")
    talking.hang_up(world, NUMBER)
    over(world)
    world.pass_time(leads.TO_WRITE_UP)
    world.run()
    assert world.dispositions() == ["cut_off"]
    interviews.conclude(world.service, agent, talk, Outcome.CUT_OFF)
    with pytest.raises(InputError, match="ended"):
        interviews.conclude(world.service, agent, talk, Outcome.LATER, "tomorrow after 8 pm")
    assert not world.rows(tables.Stop)
    interviews.conclude(world.service, agent, talk, Outcome.STOPPED)
    assert {row.reason for row in world.rows(tables.Stop)} == {"worker"}
    assert state(world, "stopped")()


def test_what_was_said_last_is_entered_after_the_call(world: World) -> None:
    agent, talk = lead(world)
    enter(world, agent, talk, *ALL[:-2])
    talking.hang_up(world, NUMBER)
    over(world)
    enter(world, agent, talk, *ALL[-2:])
    wrap_up(world, agent, talk)
    assert world.dispositions() == ["completed"]


# --- broken lines, repeated webhooks --------------------------------------------------------------


def test_an_agent_who_is_cut_off_in_the_talk_leaves_the_worker_with_a_goodbye(world: World) -> None:
    agent, talk = lead(world)
    talking.hang_up(world, AGENT)
    over(world)
    assert heard(calls_to(world)[0])[-1] == "Thank you. Goodbye."
    assert agent_state(world, agent) is AgentState.WRAP_UP
    enter(world, agent, talk, "yes")


def test_a_worker_who_picked_up_after_her_agent_had_gone_is_asked_by_the_system(world: World) -> None:
    agent = seat(world, script=STAYS)
    due(world, Worker(script={"steps": [*BEGIN, {"hangup": True}]}))

    def gone(path: str) -> None:
        if path.startswith("/channels/voice/answer/"):
            lose_agent(world)

    world.before = gone
    until(world, lambda: [each["status"] for each in calls_to(world)] == ["completed"])
    assert agent_state(world, agent) is AgentState.AWAY
    assert any("confidential" in each for each in heard(calls_to(world)[0]))
    talking.hang_up(world, AGENT)
    world.rest()
    assert world.dispositions() == ["cut_off"]


def test_an_agent_who_has_gone_before_the_dial_spends_nothing(world: World) -> None:
    agent = seat(world, script=STAYS)
    due(world)
    # The agent comes onto the line when no clock beats any more: the beat in which she comes may dial already.
    with held(world, "/channels/voice/agent/"):
        until(world, stands(world, "ringing"))
    soon(lambda: agent_state(world, agent) is AgentState.TALKING)
    lose_agent(world)
    world.beat()
    assert calls_to(world) == []
    assert [attempt["disposition"] for attempt in world.callback()["attempts"]] in ([], ["released"])
    assert state(world, "scheduled")()


def test_every_webhook_that_comes_again_changes_nothing(world: World) -> None:
    agent, talk = lead(world)
    enter(world, agent, talk, *ALL)
    talking.hang_up(world, NUMBER)
    over(world)
    wrap_up(world, agent, talk)
    world.rest()
    before = (world.counts(), talking.course(world), world.answers(), world.callback())
    for hit in {(hit.target, hit.body): hit for hit in world.hits}.values():
        if hit.target.startswith("/channels/voice") and hit.body:
            assert world.again(hit).status_code in (200, 204)
    world.rest()
    assert (world.counts(), talking.course(world), world.answers(), world.callback()) == before
    assert len(calls_to(world)) == 1


def test_an_answer_to_a_question_that_was_answered_already_changes_nothing(world: World) -> None:
    agent, talk = lead(world)
    question = sheet(world, agent, talk).question
    assert question is not None
    for _ in range(2):
        interviews.enter(world.service, agent, talk, question.sprint, Button("yes"))
    assert [question for question, _, _ in world.answers()] == ["opening", "safe", "cut_off"]


def test_nobody_else_reads_or_enters(world: World) -> None:
    _, talk = lead(world)
    other = seat(world, OTHER_AGENT, name="eve")
    with pytest.raises(NotFound):
        sheet(world, other, talk)


def test_the_sign_of_danger_on_the_way_to_the_agent_is_obeyed(world: World) -> None:
    agent = seat(world, script=STAYS)
    due(world, Worker(script={"steps": [*BEGIN[:-1], {"keys": "*"}, {"keys": "1"}, {"keys": "1"}]}))
    until(world, state(world, "unsafe"))
    over(world)
    assert agent_state(world, agent) is AgentState.FREE


# --- caps and the line ----------------------------------------------------------------------------


def test_the_daily_cap_holds_for_agents_too(world: World) -> None:
    seat(world, script=STAYS)
    seat(world, OTHER_AGENT, name="eve", script=STAYS)
    second = Worker(number="+6281200000002", alias="W-2", script=LISTENS)
    due(world, Worker(script=LISTENS), second, daily_cap=1)
    until(world, lambda: sorted(row.state for row in world.rows(tables.Transfer)) == ["ended", "talking"])
    for _ in range(5):
        world.beat()
    assert len(calls_to(world)) + len(calls_to(world, second.number)) == 1


def test_two_agents_call_two_workers_and_nobody_twice(world: World) -> None:
    seat(world, script=STAYS)
    seat(world, OTHER_AGENT, name="eve", script=STAYS)
    second = Worker(number="+6281200000002", alias="W-2", script=LISTENS)
    due(world, Worker(script=LISTENS), second)
    until(world, lambda: [row.answered_at is not None for row in world.rows(tables.Transfer)] == [True] * 2)
    assert [len(calls_to(world)), len(calls_to(world, second.number))] == [1, 1]


def test_clocks_that_beat_together_give_each_callback_to_one_agent(worlds: Worlds, database_url: str) -> None:
    world = worlds(database_url)
    phones = [f"+120255501{n}" for n in range(20, 24)]
    people = [Worker(number=f"+62812000000{n}", alias=f"W-{n}") for n in range(10, 13)]
    for n, phone in enumerate(phones):
        seat(world, phone, name=f"agent-{n}")
    due(world, *people)
    limits = Limits(50, 20)
    with ThreadPoolExecutor(4) as clocks:
        found = clocks.map(
            lambda _: leads.match(world.service.database, world.clock.now(), wall_time(), limits), range(4)
        )
        assert len([each for rung in found for each in rung]) == 3
    rows = world.rows(tables.Transfer)
    assert len({row.callback_id for row in rows}) == len({row.agent_id for row in rows}) == len(rows) == 3


def test_supervisors_see_a_worker_who_is_called_back_and_not_as_one_who_waits(world: World) -> None:
    lead(world)
    with world.service.database.read() as connection:
        (found,) = transfers.line(connection)
        assert found.is_callback
        assert leads.waiting(connection, ["en"], world.clock.now()) == 0
        assert agents.by_state(connection, wall_time())[AgentState.TALKING] == 1
