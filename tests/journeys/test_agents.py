"""A worker and an agent on the telephone: found, joined, parted, and never lost in between."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from bot import agents, figures, metrics, tally, transfers
from bot import talks as own_talks
from bot.agents import AgentState
from bot.clock import wall_time
from bot.storage import tables
from bot.storage.tables import table
from channels import doctor, switchboard, talks
from tests.journeys import talking
from tests.journeys.talking import (
    AGENT,
    GREETING,
    MESSAGE,
    NOBODY,
    OTHER_AGENT,
    REFUSES,
    RINGS,
    SAFE,
    STAYS,
    THANKS,
    VOICEMAIL,
    WORKER,
    agent_state,
    call,
    conversation,
    line_flows,
    rung,
    seat,
    stands,
    transfer,
    until,
)
from tests.journeys.world import CALLER, Json, World, Worlds, heard

SECOND = "+6281200000010"
it_rings = pytest.mark.parametrize("world", [25], indirect=True)
"""A telephone rings for nearly a second, so that something can happen meanwhile."""
LONG_RING = 550
"""For a telephone that must still ring when a test, on a slow machine, has done what it does meanwhile."""


@pytest.fixture
def world(request: pytest.FixtureRequest, worlds: Worlds, sqlite_url: str, tmp_path: Path) -> World:
    """A world whose hotline looks for a person once it is safe. Its telephones may ring slower than usual."""
    speed = {"speed": getattr(request, "param", 1000)}
    return worlds(sqlite_url, library=line_flows(tmp_path), network_changes=speed)


def wants_a_person(world: World, *steps: Json, sender: str = WORKER) -> str:
    """A worker calls and says that it is safe; gives the id of her call."""
    return world.network.ring(sender, script={"steps": [SAFE, *steps], "then": "silent"})


def silences(number: int) -> list[Json]:
    """A worker who listens to so many rounds of waiting."""
    return [{"silence": True}] * number


def over(world: World) -> None:
    """Until nobody is in the line, the network is at rest, and the flow has learnt that the call is over."""
    until(world, stands(world, "ended"))
    world.run()
    world.pass_time(timedelta(seconds=15))
    world.run()


# --- found and joined -----------------------------------------------------------------------------


def test_a_worker_and_an_agent_hear_one_another(world: World) -> None:
    agent = seat(world)
    sid = wants_a_person(world)
    over(world)
    caller = call(world, sid)
    assert [step["text"] for step in caller["steps"] if step["kind"] == "heard"] == [GREETING]
    assert THANKS in heard(caller)
    assert transfer(world).outcome == "talked"
    assert agent_state(world, agent) is AgentState.WRAP_UP
    assert ("person", "talked", None) in world.answers()


def test_she_hears_her_place_in_the_line_and_how_to_leave_it(world: World) -> None:
    talking.occupy(world, seat(world))
    sid = wants_a_person(world)
    until(world, lambda: "You are the first in the line." in heard(call(world, sid)))
    assert "To leave a message instead, press 1." in heard(call(world, sid))


def test_the_agents_telephone_shows_our_number_and_nobody_says_hers(world: World) -> None:
    seat(world)
    wants_a_person(world)
    over(world)
    (agents_call,) = rung(world)
    assert agents_call["from"] == CALLER
    digits = WORKER.removeprefix("+")
    to_agent = world.hits_at("/channels/voice/agent/")
    assert to_agent
    assert not any(digits in hit.answer or digits in hit.target for hit in to_agent)
    assert not any(digits in hit.body.decode() for hit in to_agent)


def test_nobody_is_recorded_in_a_talk(world: World) -> None:
    seat(world)
    wants_a_person(world)
    over(world)
    assert world.network.recordings() == []
    assert not any("record=" in hit.answer for hit in world.hits)


def test_a_withheld_caller_may_talk_too(world: World) -> None:
    seat(world)
    wants_a_person(world, sender="anonymous")
    over(world)
    assert transfer(world).outcome == "talked"


def test_who_speaks_another_language_is_not_rung(world: World) -> None:
    seat(world, AGENT, "id", name="ida")
    seat(world, OTHER_AGENT, "id", "en", name="eve")
    wants_a_person(world)
    over(world)
    assert rung(world, AGENT) == []
    assert len(rung(world, OTHER_AGENT)) == 1


# --- nobody ---------------------------------------------------------------------------------------


def test_nobody_signed_in_is_said_at_once(world: World) -> None:
    sid = wants_a_person(world)
    world.network.idle()
    assert NOBODY in heard(call(world, sid))
    # She waited for nobody, and counts among those who asked.
    assert [(row.state, row.outcome) for row in world.rows(tables.Transfer)] == [("ended", "nobody")]


def test_a_telephone_in_an_empty_room_is_not_rung(world: World) -> None:
    talking.leave_room(world, seat(world))
    sid = wants_a_person(world)
    world.network.idle()
    assert NOBODY in heard(call(world, sid))
    assert rung(world) == []


def test_who_leaves_the_room_while_she_waits_is_not_waited_for(world: World) -> None:
    agent = seat(world)
    talking.occupy(world, agent)
    sid = wants_a_person(world)
    until(world, stands(world, "waiting"))
    talking.leave_room(world, agent)
    over(world)
    assert NOBODY in heard(call(world, sid))
    assert transfer(world).outcome == "nobody"


@pytest.mark.parametrize("script", [REFUSES, RINGS, VOICEMAIL, {"answer": "busy"}])
def test_an_agent_who_does_not_press_1_is_away_and_the_caller_goes_on(world: World, script: Json) -> None:
    agent = seat(world, script=script)
    sid = wants_a_person(world)
    over(world)
    assert len(rung(world)) == 1
    assert agent_state(world, agent) is AgentState.AWAY
    assert NOBODY in heard(call(world, sid))
    assert not any(step["kind"] == "joined" for each in world.network.calls() for step in each["steps"])


def test_a_caller_whom_one_agent_missed_is_taken_by_the_next(world: World) -> None:
    first = seat(world, script=RINGS)
    world.clock.advance(timedelta(seconds=1))
    second = seat(world, OTHER_AGENT, name="eve")
    wants_a_person(world)
    over(world)
    assert (agent_state(world, first), agent_state(world, second)) == (AgentState.AWAY, AgentState.WRAP_UP)
    assert transfer(world).ring == 2


def test_after_the_longest_wait_the_flow_goes_on(world: World) -> None:
    agent = seat(world)
    talking.occupy(world, agent)
    sid = wants_a_person(world)
    until(world, stands(world, "waiting"))
    world.pass_time(timedelta(seconds=179))
    world.beat()
    assert transfer(world).state == "waiting"
    world.pass_time(timedelta(seconds=2))
    over(world)
    assert NOBODY in heard(call(world, sid))


def test_metrics_count_who_waits_and_who_is_there(world: World) -> None:
    talking.occupy(world, seat(world))
    talking.leave_room(world, seat(world, OTHER_AGENT, name="eve"))
    wants_a_person(world)
    until(world, stands(world, "waiting"))
    world.clock.advance(timedelta(seconds=30))
    told = metrics.text(world.service).decode()
    assert "voiceback_callers_waiting 1.0" in told
    assert "voiceback_callers_longest_wait_seconds 30.0" in told
    assert 'voiceback_agents{state="wrap_up"} 1.0' in told
    assert 'voiceback_agents{state="away"} 1.0' in told
    talking.hang_up(world)
    over(world)


def test_who_asked_for_a_person_is_in_the_figures_of_the_line(world: World) -> None:
    agent = seat(world)
    wants_a_person(world)
    over(world)
    with world.service.database.write() as connection:
        own_talks.wrap_up(connection, agent, transfer(world).id, world.clock.now(), available=False)
    wants_a_person(world, sender=SECOND)
    world.network.idle()
    world.run()
    world.pass_time(timedelta(seconds=31))
    world.beat()
    with world.service.database.read() as connection:
        found = figures.line(figures.sums(tally.of_all_days(connection)))
    assert (found.offered, found.taken, found.nobody) == (2, 1, 1)
    assert (found.answer_rate, found.service_level, found.wait.number) == (0.5, 0.5, 1)
    assert found.handling is not None


def test_an_agent_without_a_telephone_is_told_by_doctor(world: World) -> None:
    assert doctor._agents(world.service) == []
    agent, row = seat(world), table(tables.Agent)
    with world.service.database.write() as connection:
        connection.execute(row.delete().where(row.c.staff_id == agent))
    (finding,) = doctor._agents(world.service)
    assert "1 with that role have no telephone" in finding.message


# --- leaving the line -----------------------------------------------------------------------------


def test_one_key_leaves_the_line_for_a_message(world: World) -> None:
    agent = seat(world)
    talking.occupy(world, agent)
    sid = wants_a_person(world, *silences(3), {"keys": "1"}, {"keys": "2"})
    over(world)
    assert MESSAGE in heard(call(world, sid))
    assert transfer(world).outcome == "message"


@it_rings
def test_a_caller_who_leaves_while_it_rings_stops_the_ringing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switchboard, "AGENT_RING_SECONDS", LONG_RING)
    agent = seat(world, script={"answer": "manual"})
    wants_a_person(world)
    until(world, lambda: any(each["status"] == "ringing" for each in rung(world)))
    until(world, lambda: transfer(world).agent_call_id is not None)
    talking.hang_up(world)
    over(world)
    (agents_call,) = rung(world)
    assert agents_call["status"] == "canceled"
    assert agent_state(world, agent) is AgentState.FREE
    assert conversation(world).outcome == "cut_off"


def test_a_caller_who_hangs_up_in_the_line_is_in_nobodys_way(world: World) -> None:
    agent = seat(world)
    talking.occupy(world, agent)
    wants_a_person(world, *silences(2), {"hangup": True})
    over(world)
    assert transfer(world).outcome == "gone"
    assert rung(world) == []


def test_a_caller_who_hangs_up_in_the_talk_frees_the_agent_and_counts_as_talked(world: World) -> None:
    agent = seat(world, script=STAYS)
    sid = wants_a_person(world)
    until(world, lambda: any(step["kind"] == "heard" for step in call(world, sid)["steps"]))
    talking.hang_up(world)
    over(world)
    assert agent_state(world, agent) is AgentState.WRAP_UP
    assert "The caller has gone. Thank you." in heard(rung(world)[0])
    assert transfer(world).outcome == "talked"
    assert ("person", "talked", None) in world.answers()


def test_star_in_the_line_is_obeyed(world: World) -> None:
    agent = seat(world)
    talking.occupy(world, agent)
    wants_a_person(world, *silences(2), {"keys": "*"})
    over(world)
    assert {row.reason for row in world.rows(tables.Stop)} == {"unsafe"}
    assert transfer(world).state == "ended"


# --- never two on one -----------------------------------------------------------------------------


def test_two_callers_and_one_agent_are_taken_one_after_the_other(world: World) -> None:
    agent = seat(world)
    first = wants_a_person(world)
    until(world, stands(world, "talking", "returning", "ended"))
    second = wants_a_person(world, sender=SECOND)
    until(world, lambda: len(world.rows(tables.Transfer)) == 2)
    until(world, lambda: agent_state(world, agent) is AgentState.WRAP_UP)
    world.beat()
    assert len(rung(world)) == 1
    with world.service.database.write() as connection:
        agents.come(connection, agent, world.clock.now())
    over(world)
    assert len(rung(world)) == 2
    for sid in (first, second):
        assert any(step["kind"] == "heard" for step in call(world, sid)["steps"])


def test_two_agents_and_one_caller_ring_one_telephone(world: World) -> None:
    seat(world, script=STAYS)
    seat(world, OTHER_AGENT, name="eve", script=STAYS)
    sid = wants_a_person(world)
    until(world, lambda: any(step["kind"] == "heard" for step in call(world, sid)["steps"]))
    for _ in range(5):
        world.beat()
    assert len(rung(world, AGENT)) + len(rung(world, OTHER_AGENT)) == 1
    talking.hang_up(world)
    over(world)


# --- repeated, reordered, lost --------------------------------------------------------------------


def test_every_webhook_of_a_talk_that_comes_again_changes_nothing(world: World) -> None:
    agent = seat(world)
    wants_a_person(world)
    over(world)
    before = (world.counts(), talking.course(world), world.answers())
    # Many rounds of waiting are the same request.
    for hit in {(hit.target, hit.body): hit for hit in world.hits}.values():
        if hit.target.startswith("/channels/voice") and hit.body:
            assert world.again(hit).status_code in (200, 204)
    world.rest()
    assert (world.counts(), talking.course(world), world.answers()) == before
    assert agent_state(world, agent) is AgentState.WRAP_UP


def test_the_key_that_comes_twice_joins_the_agent_again(world: World) -> None:
    seat(world, script=STAYS)
    sid = wants_a_person(world)
    until(world, lambda: any(step["kind"] == "heard" for step in call(world, sid)["steps"]))
    (key,) = world.hits_at(f"/channels/voice/agent/{transfer(world).id}/key")
    assert world.again(key).text == key.answer
    talking.hang_up(world)
    over(world)


def test_a_key_of_an_earlier_ring_takes_nobody(world: World) -> None:
    seat(world, script=STAYS)
    sid = wants_a_person(world)
    until(world, lambda: any(step["kind"] == "heard" for step in call(world, sid)["steps"]))
    late = {"CallSid": "CA" + "e" * 32, "Digits": "1"}
    answer = world.signed(f"/channels/voice/agent/{transfer(world).id}/key?r=1", late)
    assert "This call was taken already. Thank you." in answer.text
    assert "Conference" not in answer.text
    talking.hang_up(world)
    over(world)


def test_a_job_that_died_before_the_ring_is_handed_out_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = seat(world)
    with monkeypatch.context() as lost:
        lost.setattr(talks, "ring", lambda *_: None)
        sid = wants_a_person(world)
        until(world, stands(world, "matched"))
        world.beat()
    assert agent_state(world, agent) is AgentState.RINGING
    world.pass_time(transfers.MATCH_LEASE + timedelta(seconds=1))
    over(world)
    assert len(rung(world)) == 1
    assert THANKS in heard(call(world, sid))


@it_rings
def test_a_ring_of_which_nothing_is_heard_was_not_taken(world: World) -> None:
    agent = seat(world, script={"answer": "manual"})
    wants_a_person(world)
    until(world, stands(world, "ringing"))
    world.pass_time(transfers.RING_LEASE + timedelta(seconds=1))
    over(world)
    assert agent_state(world, agent) is AgentState.AWAY
    assert transfer(world).outcome == "nobody"


def test_a_fetch_that_got_lost_joins_her_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talks, "lead", lambda *_: None)
    seat(world, script=STAYS)
    sid = wants_a_person(world)
    until(world, stands(world, "talking"))
    world.beat()
    world.pass_time(transfers.BRIDGE_LEASE + timedelta(seconds=1))
    until(world, lambda: any(step["kind"] == "heard" for step in call(world, sid)["steps"]))
    talking.hang_up(world)
    over(world)
    assert transfer(world).outcome == "talked"


def test_an_agent_who_hangs_up_before_they_met_leaves_the_caller_in_the_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talks, "lead", lambda *_: None)
    agent = seat(world, script={"steps": [{"keys": "1"}, {"hangup": True}], "hangs_up_after": 5})
    wants_a_person(world)
    over(world)
    assert transfer(world).outcome == "nobody"
    assert agent_state(world, agent) is AgentState.AWAY


def test_a_talk_whose_reports_got_lost_is_found_over(world: World) -> None:
    agent = seat(world, script=STAYS)
    sid = wants_a_person(world)
    until(world, lambda: any(step["kind"] == "heard" for step in call(world, sid)["steps"]))
    world.before = lambda path: 500 if "/status" in path or "/over" in path or "/turn/" in path else None
    talking.hang_up(world)
    until(world, lambda: all(each["status"] == "completed" for each in world.network.calls()))
    # Their calls are over before the last report of it has been sent, and refused.
    world.network.idle()
    assert transfer(world).state == "talking"
    world.before = None
    world.pass_time(transfers.TALK_LEASE + timedelta(seconds=1))
    until(world, stands(world, "parting"))
    world.pass_time(transfers.PART_LEASE + timedelta(seconds=1))
    over(world)
    assert transfer(world).outcome == "talked"
    assert agent_state(world, agent) is AgentState.WRAP_UP
    assert conversation(world).state == "ended"


@it_rings
def test_an_unsigned_request_joins_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "AGENT_RING_SECONDS", LONG_RING)
    seat(world, script={"answer": "manual"})
    sid = wants_a_person(world)
    until(world, stands(world, "ringing"))
    for path in ("", "/key?r=1", "/over?r=1", "/status?r=1"):
        target = f"{world.url}/channels/voice/agent/{transfer(world).id}{path}"
        assert talking.unsigned(target, {"CallSid": sid, "Digits": "1"}) == 403
    waits = f"{world.url}/channels/voice/wait/{transfer(world).conversation_id}?n=2"
    assert talking.unsigned(waits, {"CallSid": sid}) == 403
    assert transfer(world).state == "ringing"


@it_rings
def test_another_call_cannot_wait_in_her_place(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switchboard, "AGENT_RING_SECONDS", LONG_RING)
    seat(world, script={"answer": "manual"})
    wants_a_person(world)
    until(world, stands(world, "ringing"))
    stranger = {"CallSid": "CA" + "d" * 32, "From": SECOND, "To": CALLER}
    answer = world.signed(f"/channels/voice/wait/{transfer(world).conversation_id}?n=2", stranger)
    assert answer.status_code == 404


def test_a_provider_that_refuses_to_ring_is_told_to_the_operator(world: World) -> None:
    agent = seat(world)
    row = table(tables.Agent)
    with world.service.database.write() as connection:
        agents.set_phone_and_languages(
            connection,
            world.service.sealer,
            agent,
            phone="+15005550001",
            languages=None,
            now=world.clock.now(),
        )
        connection.execute(update(row).where(row.c.staff_id == agent).values(since=wall_time()))
    wants_a_person(world)
    over(world)
    assert agent_state(world, agent) is AgentState.AWAY
    assert any(kind == "provider" and subject.startswith("agent ") for kind, subject in world.incidents())
