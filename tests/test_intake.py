"""One inbound, one transaction: nothing is lost when the engine fails, and nothing is taken twice."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Lock

import pytest

from bot.flow.library import Library
from bot.storage import tables
from bot.transcript import MASK
from tests.journeys.world import BEGIN, CONSENTS, HOTLINE, ROOT, Worker, World, said_in

SENDER = "+6281200000009"
WORDS = "They have not paid us since January and nobody in the office wants to talk with us"
EVENING = "2026-03-02T18:01:00+07:00"


def form(n: int, body: str) -> dict[str, str]:
    """A text as Twilio posts it."""
    return {"MessageSid": f"SM{n:032x}", "From": SENDER, "To": HOTLINE, "Body": body, "NumMedia": "0"}


def use(world: World, library: Library) -> None:
    """Let the service go on with other flows."""
    object.__setattr__(world.service, "library", library)


@pytest.fixture
def broken(tmp_path: Path) -> Library:
    """Flows among which those of the hotline and of callbacks are missing: the engine fails at the first step."""
    folder = tmp_path / "flows"
    shutil.copytree(ROOT / "flows", folder)
    for name in ("hotline", "callback"):
        (folder / f"{name}.yaml").unlink()
    return Library.open(folder)


def test_what_the_engine_cannot_take_is_kept_acknowledged_and_told(world: World, broken: Library) -> None:
    use(world, broken)
    assert world.signed("/channels/sms", form(1, WORDS)).status_code == 200
    (row,) = world.rows(tables.Message)
    assert row.retry_at is not None
    assert WORDS.encode() not in row.input_sealed
    assert {kind for kind, _ in world.incidents()} == {"parked"}


def test_a_parked_message_is_taken_exactly_once_when_the_engine_works_again(
    world: World, broken: Library, real_flows: Library
) -> None:
    use(world, broken)
    world.signed("/channels/sms", form(1, WORDS))
    world.signed("/channels/sms", form(1, WORDS))
    world.pass_time(timedelta(minutes=2))
    world.run()
    assert len(world.rows(tables.Message)) == 1
    use(world, real_flows)
    for _ in range(3):
        world.pass_time(timedelta(minutes=11))
        world.run()
        world.signed("/channels/sms", form(1, WORDS))
    assert [text for direction, text in world.transcript() if direction == "in"] == [WORDS]
    assert len(world.rows(tables.Case)) == 1
    assert world.incidents() == set()
    assert len(world.network.texts_to(SENDER)) == 1


def test_a_message_that_comes_again_while_it_is_parked_is_one_message(
    world: World, broken: Library, real_flows: Library
) -> None:
    use(world, broken)
    world.signed("/channels/sms", form(1, WORDS))
    use(world, real_flows)
    world.signed("/channels/sms", form(1, WORDS))
    world.pass_time(timedelta(minutes=2))
    world.run()
    assert [text for direction, text in world.transcript() if direction == "in"] == [WORDS]


def test_an_engine_that_fails_in_a_call_says_a_neutral_goodbye(world: World, broken: Library) -> None:
    world.interviewed(Worker(script={"steps": [*BEGIN, *CONSENTS], "then": "silent"}))
    world.at(EVENING)

    def fail(path: str) -> None:
        if "/turn/" in path and len(world.hits_at("/channels/voice/turn/")) == 3:
            use(world, broken)

    world.before = fail
    world.rest()
    last = world.hits_at("/channels/voice/turn/")[-1]
    assert last.status == 200
    assert said_in(last.answer) == ["Sorry, wrong time. We will try later. Goodbye."]
    assert "<Hangup" in last.answer
    assert {kind for kind, _ in world.incidents()} == {"parked"}


def test_the_same_text_many_times_at_once_is_one_message(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.signed("/channels/sms", form(1, WORDS)), range(16)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert [text for direction, text in world.transcript() if direction == "in"] == [WORDS]
    assert len(world.rows(tables.Case)) == 1


def test_many_workers_at_once_each_have_their_own_talk(world: World) -> None:
    forms = [
        {**form(n, f"{WORDS} number {n}"), "From": f"+62812000001{n:02}", "MessageSid": f"SM{n:032x}"}
        for n in range(24)
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: world.signed("/channels/sms", each), forms))
    assert {answer.status_code for answer in answers} == {200}
    assert len(world.rows(tables.Conversation)) == len(forms)
    assert len(world.rows(tables.AddressRow)) == len(forms)


def test_the_same_turn_many_times_at_once_is_one_answer(world: World) -> None:
    world.interviewed(Worker(script={"steps": list(BEGIN), "then": "silent"}))
    world.at(EVENING)
    repeated: list[str] = []

    def many(path: str) -> None:
        turns = world.hits_at("/channels/voice/turn/")
        if "/turn/" in path and turns and not repeated:
            repeated.append(path)
            with ThreadPoolExecutor(8) as pool:
                found = {each.text for each in pool.map(lambda _: world.again(turns[-1]), range(8))}
            assert found == {turns[-1].answer}

    world.before = many
    world.rest()
    assert repeated
    questions = [question for question, _, _ in world.answers()]
    assert len(questions) == len(set(questions))


def test_a_pass_word_is_never_kept_in_the_transcript(world: World) -> None:
    world.interviewed(Worker(script={"steps": list(BEGIN), "then": "silent"}))
    world.at(EVENING)
    world.rest()
    said = [text for direction, text in world.transcript() if direction == "in"]
    assert MASK in said
    assert "4711" not in said


@pytest.mark.parametrize("key", ["*", "9"])
def test_a_key_that_cuts_a_recording_is_obeyed_although_the_recording_is_reported_first(
    world: World, key: str
) -> None:
    world.interviewed(Worker(script={"steps": [*BEGIN, *CONSENTS, {"keys": "3"}], "then": "silent"}))
    world.at(EVENING)
    speech = {"RecordingSid": "RE" + "7" * 32, "RecordingDuration": "3"}
    sent: list[str] = []
    one_by_one = Lock()

    def cut(path: str) -> None:
        # What the network sends meanwhile comes after her key.
        with one_by_one:
            cut_once()

    def cut_once() -> None:
        turns = world.hits_at("/channels/voice/turn/")
        if not turns or "<Record" not in turns[-1].answer or sent:
            return
        at = turns[-1].answer.index("/channels/voice/turn/")
        sent.append(turns[-1].answer[at : turns[-1].answer.index('"', at)])
        report = {**turns[-1].form, **speech, "Digits": "", "RecordingStatus": "completed"}
        assert world.signed(sent[0].replace("/turn/", "/recording/"), report).status_code == 204
        assert world.signed(sent[0], {**turns[-1].form, **speech, "Digits": key}).status_code == 200

    world.before = cut
    world.rest()
    assert sent
    assert "RE" + "7" * 32 in {row.provider_id for row in world.rows(tables.RecordingRow)}
    assert world.dispositions() == ["unsafe" if key == "*" else "ended_early"]


def test_speech_whose_turn_was_lost_is_the_answer_once_the_call_is_over(world: World) -> None:
    speaks = ({"keys": "3"}, {"speak": "They held a meeting", "seconds": 3})
    world.interviewed(Worker(script={"steps": [*BEGIN, *CONSENTS, *speaks], "then": "hangup"}))
    world.at(EVENING)

    def lose(path: str) -> int | None:
        turns = world.hits_at("/channels/voice/turn/")
        spoke = bool(turns) and "<Record" in turns[-1].answer
        return 502 if spoke and ("/turn/" in path or "/fallback" in path) else None

    world.before = lose
    world.rest()
    assert world.dispositions() == ["cut_off"]
    assert [question for question, _, _ in world.answers()][-1] == "q1_words"
    (recording,) = world.rows(tables.RecordingRow)
    assert (recording.state, recording.answer_id) == ("kept", world.rows(tables.Answer)[-1].id)
    assert {row.category for row in world.rows(tables.Grievance)} == {"unclassified"}
