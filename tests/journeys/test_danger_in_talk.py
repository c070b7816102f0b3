"""The sign of danger while a worker talks with an agent: her call goes to a neutral end, and nobody calls again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import update

from bot import interviews
from bot.callbacks import policies
from bot.callbacks.policy import Mode, Policy
from bot.clock import wall_time
from bot.flow import phrases
from bot.flow.events import Outcome
from bot.storage import tables
from bot.storage.tables import table
from tests.journeys.talking import (
    GREETING,
    MESSAGE,
    SAFE,
    STAYS,
    TAKES,
    THANKS,
    WORKER,
    call,
    course,
    hang_up,
    held,
    line_flows,
    rung,
    seat,
    stands,
    transfer,
    until,
)
from tests.journeys.world import BEGIN, Json, Worker, World, Worlds, heard

ROOM = "/channels/voice/room/"
"""Where the network reports who left a talk."""
LISTENS = {"steps": [*BEGIN], "then": "silent"}


@pytest.fixture
def world(worlds: Worlds, sqlite_url: str, tmp_path: Path) -> World:
    """A world whose hotline looks for a person once it is safe."""
    return worlds(sqlite_url, library=line_flows(tmp_path))


def settled(world: World) -> None:
    """Both telephones are down, and nothing is on its way or due."""
    until(world, stands(world, "ended"))
    world.run()


def talks_with_an_agent(world: World) -> str:
    """A worker called the hotline, and hears a person; gives the id of her call."""
    sid = world.network.ring(WORKER, script={"steps": [SAFE], "then": "silent"})
    until(world, lambda: hears_agent(call(world, sid)))
    return sid


def hears_agent(her_call: Json) -> bool:
    """Whether an agent has said something to her."""
    return GREETING in [step.get("text") for step in her_call["steps"]]


def led(world: World) -> tuple[str, str]:
    """A worker talks with an agent who calls her back; gives the ids of the agent and of the talk."""
    worker = Worker(script=LISTENS)
    agent = seat(world, script=STAYS)
    world.interviewed(worker)
    policies.set_for_client(world.service, "Brand A", Policy(mode=Mode.AGENT))
    world.at("2026-03-02T18:01:00+07:00")
    until(world, lambda: any(hears_agent(each) for each in world.network.calls(worker.number)))
    return agent, transfer(world).id


def press_star(world: World, number: str = WORKER) -> None:
    """The worker presses it in the middle of the talk."""
    world.network.post(f"/sim/handsets/{number}/keys", keys="*")


def stops(world: World) -> list[str]:
    """Why addresses are stopped."""
    return [row.reason for row in world.rows(tables.Stop)]


def duress(world: World) -> list[str]:
    """How grave the dangers are that supervisors are told of."""
    return [row.severity for row in world.rows(tables.Grievance) if row.question == "duress"]


def test_star_in_a_talk_ends_it_neutrally_and_nobody_contacts_her_again(world: World) -> None:
    seat(world, script=STAYS)
    sid = talks_with_an_agent(world)
    press_star(world)
    until(world, lambda: stops(world) == ["unsafe"])
    settled(world)
    assert duress(world) == ["S1"]
    (case,) = world.rows(tables.Case)
    assert case.severity == "S1"
    told = heard(call(world, sid))
    assert told[-1] in (phrases.GOODBYE, THANKS)
    assert "The caller has gone. Thank you." in heard(rung(world)[0])
    assert transfer(world).outcome == "talked"


def test_star_in_a_talk_that_an_agent_leads_ends_the_callback(world: World) -> None:
    worker = Worker(script=LISTENS)
    led(world)
    press_star(world, worker.number)
    until(world, lambda: world.callback()["state"] == "unsafe")
    settled(world)
    (attempt,) = world.rows(tables.Attempt)
    assert attempt.disposition == "unsafe"
    assert (stops(world), duress(world)) == (["unsafe"], ["S1"])
    (her_call,) = (each for each in world.network.calls(worker.number) if each["to"] == worker.number)
    assert heard(her_call)[-1] == phrases.GOODBYE


def has_left(world: World) -> bool:
    """Whether her call has asked what comes after the talk, and was answered."""
    return any(
        b"DialCallStatus" in hit.body and hit.status == 200 for hit in world.hits_at("/channels/voice/turn/")
    )


def test_a_sign_that_is_heard_of_after_all_was_written_down_still_counts(world: World) -> None:
    agent, talk = led(world)
    with held(world, ROOM):
        press_star(world, Worker().number)
        until(world, lambda: has_left(world))
        interviews.conclude(world.service, agent, talk, Outcome.HANDED_OFF)
        assert world.callback()["state"] == "reached"
    until(world, lambda: world.callback()["state"] == "unsafe")
    settled(world)
    assert world.dispositions() == ["unsafe"]
    assert (stops(world), duress(world)) == (["unsafe"], ["S1"])
    assert {row.outcome for row in world.rows(tables.Conversation)} == {"unsafe"}


@pytest.mark.parametrize("is_led", [False, True])
def test_if_the_report_of_the_sign_is_lost_the_network_is_asked(world: World, is_led: bool) -> None:
    world.before = lambda path: 204 if path.startswith(ROOM) else None
    if is_led:
        led(world)
    else:
        seat(world, script=STAYS)
        talks_with_an_agent(world)
    press_star(world, Worker().number if is_led else WORKER)
    until(world, lambda: stops(world) == ["unsafe"])
    settled(world)
    assert (stops(world), duress(world)) == (["unsafe"], ["S1"])
    assert {row.outcome for row in world.rows(tables.Conversation)} == {"unsafe"}
    if is_led:
        assert (world.callback()["state"], world.dispositions()) == ("unsafe", ["unsafe"])


def test_a_sign_that_is_heard_of_at_the_next_question_ends_that_call_too(
    worlds: Worlds, sqlite_url: str, tmp_path: Path
) -> None:
    library = line_flows(tmp_path, after="message")
    world = worlds(sqlite_url, library=library)
    seat(world, script=STAYS)
    with held(world, ROOM):
        sid = talks_with_an_agent(world)
        press_star(world)
        until(world, lambda: MESSAGE in heard(call(world, sid)))
    until(world, lambda: stops(world) == ["unsafe"])
    until(world, lambda: call(world, sid)["status"] == "completed")
    settled(world)
    assert heard(call(world, sid))[-1] == phrases.GOODBYE
    assert {row.outcome for row in world.rows(tables.Conversation)} == {"unsafe"}


@pytest.mark.parametrize("who", ["agent", "worker"])
def test_putting_the_telephone_down_is_no_sign_of_danger(world: World, who: str) -> None:
    seat(world, script=TAKES if who == "agent" else STAYS)
    talks_with_an_agent(world)
    if who == "worker":
        hang_up(world)
    settled(world)
    assert world.hits_at(ROOM)
    assert (stops(world), duress(world)) == ([], [])


def test_a_sign_that_is_told_twice_or_by_another_call_changes_nothing_more(world: World) -> None:
    seat(world, script=STAYS)
    talks_with_an_agent(world)
    press_star(world)
    until(world, lambda: stops(world) == ["unsafe"])
    settled(world)
    world.rest()
    before = (world.counts(), course(world), duress(world))
    for hit in world.hits_at(ROOM):
        assert world.again(hit).status_code == 204
    left = {
        "StatusCallbackEvent": "participant-leave",
        "ParticipantCallStatus": "in-progress",
        "CallSid": "CA" + "e" * 32,
    }
    assert world.signed(f"{ROOM}{transfer(world).id}", left).status_code == 204
    assert (world.counts(), course(world), duress(world)) == before


def test_who_is_led_out_of_a_room_where_no_agent_ever_came_gave_no_sign(world: World) -> None:
    in_room = threading.Event()

    def breaks_down(path: str) -> int | None:
        # She has pressed 1, and that was taken; the answer does not reach her telephone any more.
        if not path.endswith("/key"):
            return None
        pressed = {"CallSid": rung(world)[0]["sid"], "Digits": "1"}
        assert world.signed(f"{path}?r=1", pressed).status_code == 200
        in_room.wait(60)
        return 404

    world.before = breaks_down
    seat(world, script=STAYS)
    sid = world.network.ring(WORKER, script={"steps": [SAFE], "then": "silent"})
    until(world, lambda: "dial" in [step["kind"] for step in call(world, sid)["steps"]])
    in_room.set()
    until(world, stands(world, "returning"))
    with world.service.database.write() as connection:
        connection.execute(update(table(tables.Transfer)).values(lease_until=wall_time()))
    until(world, lambda: call(world, sid)["status"] == "completed")
    settled(world)
    assert heard(call(world, sid))[-1] == THANKS
    assert (stops(world), duress(world)) == ([], [])
