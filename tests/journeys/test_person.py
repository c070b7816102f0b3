"""The real flows and a person: asked for on the hotline and in a callback, found or not."""

from __future__ import annotations

from datetime import timedelta

from bot.agents import AgentState
from bot.storage import tables
from tests.journeys.talking import (
    GREETING,
    RINGS,
    STAYS,
    WORKER,
    agent_state,
    call,
    hang_up,
    seat,
    stands,
    transfer,
    until,
)
from tests.journeys.world import BEGIN, HOTLINE, Json, Worker, World, heard

ENGLISH, IS_SAFE, PERSON = {"keys": "1"}, {"keys": "1"}, {"keys": "0"}
ABROAD = "+12025550177"
"""A worker in a country whose first language in the menu is English."""
NOBODY = "Nobody is free right now."
EVENING = "2026-03-02T18:01:00+07:00"


def calls_the_hotline(world: World, *steps: Json, sender: str = ABROAD) -> str:
    """A worker calls, chooses English, and it is safe; gives the id of her call."""
    script = {"steps": [ENGLISH, IS_SAFE, *steps], "then": "silent"}
    return world.network.ring(sender, HOTLINE, script)


def is_called(world: World, *steps: Json) -> None:
    """An interviewed worker is called in her window, gives her pass-word, and it is safe."""
    world.interviewed(Worker(number=WORKER, script={"steps": [*BEGIN, *steps], "then": "silent"}))
    world.at(EVENING)
    until(world, lambda: world.network.calls(WORKER))


def over(world: World) -> None:
    """Until the talk is over and the flow has learnt of the end of the call."""
    until(world, stands(world, "ended"))
    world.run()
    world.pass_time(timedelta(seconds=15))
    world.run()


def joined(world: World) -> bool:
    """Whether the worker heard the agent."""
    steps = [step for each in world.network.calls() for step in each["steps"]]
    return any(step["kind"] == "heard" and step["text"] == GREETING for step in steps)


def outcomes(world: World) -> list[str | None]:
    """How each conversation ended."""
    return [row.outcome for row in world.rows(tables.Conversation)]


def test_zero_leads_a_caller_to_a_person(world: World) -> None:
    agent = seat(world)
    calls_the_hotline(world, PERSON)
    over(world)
    assert joined(world)
    assert outcomes(world) == ["handed_off"]
    assert agent_state(world, agent) is AgentState.WRAP_UP
    (case,) = world.rows(tables.Case)
    assert case.category == "unclassified"


def test_zero_before_it_is_safe_waits_until_it_is(sqlite_world: World) -> None:
    world = sqlite_world
    seat(world)
    world.network.ring(ABROAD, HOTLINE, {"steps": [ENGLISH, PERSON, IS_SAFE], "then": "silent"})
    over(world)
    turns = [hit for hit in world.hits_at("/channels/voice/turn/") if hit.form.get("Digits") == "0"]
    assert "wait" not in turns[0].answer
    assert joined(world)


def test_a_caller_whom_nobody_can_take_leaves_a_message(sqlite_world: World) -> None:
    world = sqlite_world
    words = {"speak": "Please call me, it is about my pay", "seconds": 4}
    sid = calls_the_hotline(world, PERSON, {"keys": "1"}, {"keys": "1"}, words)
    world.network.idle()
    world.rest()
    assert NOBODY in heard(call(world, sid))
    assert "Thank you. A person will listen to your message." in heard(call(world, sid))
    assert len(world.network.recordings()) == 1
    assert [row.state for row in world.rows(tables.RecordingRow)] == ["kept"]
    assert len(world.rows(tables.Case)) == 1


def test_a_callback_in_which_she_talks_with_a_person_is_reached(sqlite_world: World) -> None:
    world = sqlite_world
    seat(world)
    is_called(world, PERSON)
    over(world)
    assert joined(world)
    assert (world.callback()["state"], world.dispositions()) == ("reached", ["handed_off"])


def test_hanging_up_after_the_talk_is_no_reason_to_call_again(sqlite_world: World) -> None:
    world = sqlite_world
    seat(world, script=STAYS)
    is_called(world, PERSON)
    until(world, lambda: joined(world))
    hang_up(world)
    over(world)
    assert (world.callback()["state"], world.dispositions()) == ("reached", ["handed_off"])


def test_hanging_up_in_the_line_is_a_call_cut_off(sqlite_world: World) -> None:
    world = sqlite_world
    seat(world, script=RINGS)
    is_called(world, PERSON, {"silence": True}, {"hangup": True})
    over(world)
    assert world.dispositions() == ["cut_off"]
    assert transfer(world).outcome in ("gone", "nobody")


def test_a_talk_comes_about_though_every_webhook_comes_twice_and_late(sqlite_world: World) -> None:
    world = sqlite_world
    world.network.post("/sim/chaos", {"duplicate": 1.0, "reorder": 0.3, "delay": [0, 3]})
    agent = seat(world)
    calls_the_hotline(world, PERSON)
    over(world)
    assert joined(world)
    assert len(world.network.calls("+12025550111")) == 1
    assert outcomes(world) == ["handed_off"]
    assert agent_state(world, agent) is AgentState.WRAP_UP
