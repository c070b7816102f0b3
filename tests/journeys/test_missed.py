"""A call that costs the worker nothing: she lets it ring, is refused, and is called back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot import contacts, missed
from bot.contacts import How, StopReason
from bot.settings import Numbers
from bot.storage import tables
from channels import doctor
from tests.journeys.world import (
    BEGIN,
    CALLER,
    HOTLINE,
    REPORTS_DISMISSAL,
    Json,
    Worker,
    World,
    Worlds,
    heard,
    said_in,
)

WORKER = "+6281200000009"
ELSEWHERE = "+6281200000088"
"""Another telephone of hers."""
SAFE = ({"keys": "1"}, {"keys": "1"}, {"keys": "1"})
"""A good time, English, and it is safe."""


@pytest.fixture
def world(worlds: Worlds, sqlite_url: str) -> World:
    """A world in which calls to the hotline's number are returned."""
    return worlds(sqlite_url, twilio_missed_call=HOTLINE)


def miss(world: World, sender: str = WORKER) -> Json:
    """She calls and is refused; gives her call."""
    sid = world.network.ring(sender)
    world.network.idle()
    (call,) = (call for call in world.network.calls() if call["sid"] == sid)
    return call


def rung(world: World) -> list[Json]:
    """The calls that we placed, once everything has come to rest."""
    world.run()
    world.pass_time(timedelta(seconds=15))
    world.run()
    return [call for call in world.network.calls() if call["from"] == CALLER]


def kinds(world: World) -> list[str]:
    """The kinds of all callbacks, oldest first."""
    return [row.kind for row in world.rows(tables.Callback)]


def test_a_missed_call_is_refused_and_returned_at_once(world: World) -> None:
    world.network.post("/sim/handsets", [{"number": WORKER, "script": {"steps": [*SAFE], "then": "silent"}}])
    assert miss(world)["status"] == "busy"
    (call,) = rung(world)
    assert call["to"] == WORKER
    assert heard(call)[0] == "Hello. Is this a good time?"
    assert kinds(world) == ["missed"]
    assert {row.flow for row in world.rows(tables.Conversation)} == {"hotline"}


def test_the_same_webhook_again_calls_back_once(world: World) -> None:
    miss(world)
    (hit,) = world.hits_at("/channels/voice")[:1]
    assert world.again(hit).status_code == 200
    assert len(rung(world)) == 1
    assert world.again(hit).status_code == 200
    assert len(rung(world)) == 1


def test_calling_again_before_the_return_makes_one_callback(world: World) -> None:
    for _ in range(3):
        miss(world)
    assert len(world.callbacks()) == 1
    assert len(rung(world)) == 1


def test_after_five_calls_within_a_day_no_further_one_is_returned(world: World) -> None:
    world.network.post("/sim/handsets", [{"number": WORKER, "script": "busy"}])
    for _ in range(6):
        miss(world)
        world.pass_time(missed.PATIENCE)
        world.run()
    assert len(rung(world)) == 5


def test_a_planned_callback_is_brought_forward(world: World) -> None:
    world.interviewed(
        Worker(number=WORKER, script={"steps": [{"keys": "1"}, {"keys": "4711#"}], "then": "silent"})
    )
    miss(world)
    assert kinds(world) == ["audit"]
    (call,) = rung(world)
    assert any("code" in text for text in heard(call))


def test_a_stopped_telephone_is_not_called_and_leaves_no_trace(world: World) -> None:
    with world.service.database.write() as connection:
        known = contacts.remember(connection, world.service.sealer, world.phone(WORKER), world.clock.now())
        contacts.stop(connection, known.id, None, StopReason.WORKER, world.clock.now())
    assert miss(world)["status"] == "busy"
    assert rung(world) == []
    assert world.rows(tables.Message) == []


def test_a_withheld_number_cannot_be_called_back_and_is_answered(world: World) -> None:
    call = miss(world, "anonymous")
    assert "Hello. Thank you for calling." in heard(call)
    assert world.callbacks() == []


def findings(world: World, **changes: Any) -> list[str]:
    """What doctor says of the numbers for missed calls."""
    settings = world.service.settings.model_copy(update=changes)
    return [each.message for each in doctor._twilio(settings) if each.subject == "missed calls"]


def test_doctor_looks_at_the_numbers_for_missed_calls(world: World) -> None:
    assert findings(world) == []
    (foreign,) = findings(world, twilio_missed_call=Numbers(("+12025550155",)))
    assert foreign == "number 1 of TWILIO_MISSED_CALL is not of this account"
    (calling,) = findings(world, twilio_missed_call=Numbers((CALLER,)))
    assert "also what we call from" in calling
    (elsewhere,) = findings(world, public_base_url="https://elsewhere.example")
    assert "set voice_url" in elsewhere


@pytest.mark.parametrize("wrong", ["12025550100", "+1202555010x", "+1,hello"])
def test_a_number_that_cannot_be_is_refused_with_its_place(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"part [12]"):
        Numbers.parse(wrong)


def test_who_returns_such_a_call_hears_nothing_telling(world: World) -> None:
    world.network.post("/sim/handsets", [{"number": WORKER, "script": "no-answer"}])
    miss(world)
    rung(world)
    sid = world.network.ring(WORKER, CALLER, {"steps": [], "then": "silent"})
    world.network.idle()
    (call,) = (call for call in world.network.calls() if call["sid"] == sid)
    told = " ".join(heard(call)).casefold()
    for telling in ("hotline", "factory", "complain", "audit", "confidential", "worker", "report"):
        assert telling not in told


# --- she rings from another telephone of hers -----------------------------------------------------


def two_telephones(world: World, script: object, *owners: Worker) -> None:
    """Register workers who all said by their pass-words that another telephone is theirs too; it does ``script``."""
    world.interviewed(*(owners or (Worker(number=WORKER),)))
    handset = {"number": ELSEWHERE, "pass_word": "4711", "script": script}
    world.network.post("/sim/handsets", [handset])
    with world.service.database.write() as connection:
        known = contacts.remember(
            connection, world.service.sealer, world.phone(ELSEWHERE), world.clock.now(), "ID"
        )
        for row in world.rows(tables.Callback):
            contacts.join(connection, row.contact_id, known.id, How.PASS_WORD, world.clock.now())


def told_before_the_code(world: World) -> str:
    """What our calls said until a right code was keyed, in any turn."""
    answers = [hit.answer for hit in world.hits_at("/channels/voice/") if hit.answer.startswith("<?xml")]
    return " ".join(text for answer in answers for text in said_in(answer)).casefold()


def test_the_returned_call_to_another_telephone_of_hers_is_her_own_callback(world: World) -> None:
    two_telephones(world, REPORTS_DISMISSAL)
    miss(world, ELSEWHERE)
    (call,) = rung(world)
    assert (call["to"], heard(call)[0]) == (ELSEWHERE, "Hello. Is this a good time?")
    world.rest()
    hers, returned = world.callbacks()
    assert (hers["kind"], hers["state"], hers["due_at"]) == ("audit", "reached", None)
    assert [attempt["disposition"] for attempt in hers["attempts"]] == ["completed"]
    assert (returned["kind"], returned["state"], returned["attempts"]) == ("missed", "reached", [])
    assert "q4" in {question for question, _, _ in world.answers()}
    (talk,) = world.rows(tables.Conversation)
    assert (talk.flow, talk.contact_id, talk.audit_id) == (
        "callback",
        world.rows(tables.Callback)[0].contact_id,
        world.rows(tables.Audit)[0].id,
    )
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    assert [call["to"] for call in world.network.calls() if call["from"] == CALLER] == [ELSEWHERE]


@pytest.mark.parametrize(
    "script",
    [
        "no-answer",
        "machine",
        {"steps": [{"keys": "1"}, {"keys": "0#"}], "then": "silent"},
        {"steps": [{"keys": "1"}, {"keys": "9999#"}, {"keys": "8888#"}], "then": "silent"},
        {"steps": [{"keys": "2"}, {"keys": "1"}], "then": "silent"},
    ],
    ids=["nobody", "machine", "somebody else", "two wrong codes", "another time"],
)
def test_without_her_code_there_her_callback_stays_as_it_was_planned(world: World, script: object) -> None:
    two_telephones(world, script)
    before = world.callback()
    miss(world, ELSEWHERE)
    assert [call["to"] for call in rung(world)] == [ELSEWHERE]
    world.rest()
    assert world.callbacks()[0] == before
    told = told_before_the_code(world)
    for telling in ("hotline", "factory", "complain", "audit", "confidential", "worker", "report"):
        assert telling not in told
    world.network.script(WORKER, {"steps": [*BEGIN, {"hangup": True}]})
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    assert len(world.network.calls(WORKER)) == 1


def test_a_returned_call_on_a_telephone_of_two_workers_is_nobodys_in_particular(world: World) -> None:
    owners = Worker(number=WORKER, alias="W-1"), Worker(number="+6281200000010", alias="W-2")
    two_telephones(world, {"steps": [*SAFE], "then": "silent"}, *owners)
    miss(world, ELSEWHERE)
    rung(world)
    assert {row.flow for row in world.rows(tables.Conversation)} == {"hotline"}
    assert [row.state for row in world.rows(tables.Callback)][:2] == ["scheduled", "scheduled"]
