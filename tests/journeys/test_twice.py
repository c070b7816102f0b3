"""Providers repeat and reorder what they tell; nothing is counted twice and nothing goes backwards."""

from __future__ import annotations

from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.storage import tables
from channels import jobs
from tests.journeys.world import HOTLINE, REPORTS_DISMISSAL, Worker, World

EVENING = "2026-03-02T18:01:00+07:00"
WORKER = Worker(script=REPORTS_DISMISSAL)


def answers(world: World) -> list[tuple[str, str | None, str | None]]:
    """What was answered, which is to be the same however often it is told."""
    return world.answers()


@pytest.fixture
def once(world: World) -> World:
    """A world in which one worker was called and told everything once."""
    world.interviewed(WORKER)
    world.at(EVENING)
    world.rest()
    return world


def test_every_webhook_that_comes_again_changes_nothing(once: World) -> None:
    before, counts = once.callback(), once.counts()
    told = answers(once)
    for hit in list(once.hits):
        answer = once.again(hit)
        assert (answer.status_code, answer.text) == (hit.status, hit.answer), hit.target
    once.rest()
    assert answers(once) == told
    assert once.callback() == before
    assert once.counts() == counts


def test_no_question_is_answered_twice_when_everything_comes_twice(world: World) -> None:
    world.network.post("/sim/chaos", duplicate=1.0)
    world.interviewed(WORKER)
    world.at(EVENING)
    world.rest()
    assert world.dispositions() == ["completed"]
    asked = Counter(question for question, _, _ in answers(world))
    assert max(asked.values()) == 1
    assert len(world.rows(tables.Case)) == 1
    assert len(world.rows(tables.RecordingRow)) == 1
    assert len(world.network.calls()) == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_wild_network_does_not_bend_the_outcome(sqlite_world: World, seed: int) -> None:
    world = sqlite_world
    world.network.post("/sim/chaos", seed=seed, duplicate=0.5, reorder=0.5, delay=[0, 20])
    world.interviewed(WORKER)
    world.at(EVENING)
    world.rest()
    assert (world.callback()["state"], world.dispositions()) == ("reached", ["completed"])
    assert max(Counter(question for question, _, _ in answers(world)).values()) == 1


def test_a_call_that_is_reported_over_before_its_last_turn_still_counts_that_turn(world: World) -> None:
    world.interviewed(WORKER)
    world.at(EVENING)
    held: list[str] = []

    def completed_first(path: str) -> None:
        # Just before the last turn, Twilio already reports the end of the call.
        turns = world.hits_at("/channels/voice/turn/")
        if "/turn/" in path and len(turns) >= 23 and not held:
            held.append(path)
            over(world)

    world.before = completed_first
    world.rest()
    assert held
    assert world.dispositions() == ["completed"]


def test_a_call_to_us_that_is_reported_over_before_its_last_turn_comes_to_its_end(
    sqlite_world: World,
) -> None:
    world = sqlite_world
    told: list[int] = []

    def completed_first(path: str) -> int | None:
        # Just before its only turn, Twilio reports the end of the call, and later no more.
        if "/turn/" in path and not told:
            first = {**world.hits_at("/channels/voice")[0].form, "CallStatus": "completed"}
            told.append(world.signed("/channels/voice/status", first).status_code)
        return 204 if path == "/channels/voice/status" else None

    world.before = completed_first
    world.network.ring("+6281200000009", script={"steps": [{"keys": "1"}], "then": "hangup"})
    world.rest()
    (talk,) = world.rows(tables.Conversation)
    assert (told, talk.state, talk.turn) == ([204], "ended", 1)


def over(world: World) -> None:
    """Report a call as completed, while it still goes on."""
    first = world.hits_at("/channels/voice/answer/")[0]
    attempt_id = urlsplit(first.target).path.rpartition("/")[2]
    fields = {**first.form, "CallStatus": "completed", "CallDuration": "5"}
    assert world.signed(f"/channels/voice/status/{attempt_id}", fields).status_code == 204


def test_reports_that_come_before_the_create_returns_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = jobs.voice()
    create = voice.call

    def slow(order: object) -> object:
        receipt = create(order)  # type: ignore[arg-type]  # the real order, handed on
        world.network.idle()
        return receipt

    monkeypatch.setattr(voice, "call", slow)
    world.interviewed(WORKER)
    world.at(EVENING)
    world.rest()
    assert (world.callback()["state"], world.dispositions()) == ("reached", ["completed"])


def test_a_turn_out_of_order_gets_the_latest_document(once: World) -> None:
    turns = once.hits_at("/channels/voice/turn/")
    early = next(hit for hit in turns if parse_qs(urlsplit(hit.target).query)["n"] == ["3"])
    told = answers(once)
    path = urlsplit(early.target).path
    answer = once.signed(f"{path}?n=77", early.form)
    assert answer.status_code == 200
    assert answer.text == turns[-1].answer
    assert answers(once) == told


def test_a_late_ringing_does_not_bring_an_ended_call_back(once: World) -> None:
    first = once.hits_at("/channels/voice/answer/")[0]
    attempt_id = urlsplit(first.target).path.rpartition("/")[2]
    before = once.callback()
    for status in ("queued", "initiated", "ringing", "in-progress", "busy", "failed", "canceled"):
        fields = {**first.form, "CallStatus": status}
        assert once.signed(f"/channels/voice/status/{attempt_id}", fields).status_code == 204
    once.rest()
    assert once.callback() == before
    assert len(once.network.calls()) == 1


def test_a_call_of_somebody_else_cannot_take_a_turn(once: World) -> None:
    turn = once.hits_at("/channels/voice/turn/")[0]
    told = answers(once)
    forged = {**turn.form, "CallSid": "CA" + "9" * 32}
    assert once.signed(turn.target, forged).status_code == 404
    assert answers(once) == told


def test_an_incoming_text_that_comes_again_is_one_message(world: World) -> None:
    sid = world.network.text("+6281200000009", "They have not paid us since January, please help us")
    world.network.idle()
    counts = world.counts()
    for _ in range(3):
        world.network.post("/sim/sms", {"repeat": sid})
        world.network.idle()
    assert world.counts() == counts
    assert len(world.hits_at("/channels/sms")) == 4
    assert world.hits[0].form["To"] == HOTLINE
