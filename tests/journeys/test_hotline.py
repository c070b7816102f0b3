"""A worker writes or calls of her own accord."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from bot.storage import tables
from tests.journeys.world import BEGIN, CALLER, HOTLINE, Json, Worker, World, heard, said_in

WORKER = "+6281200000009"
LONG = "They have not paid us since January and nobody in the office wants to talk with us about it"
THANKS = "Hello. Thank you for your message."
SAFE = "Is it safe to write here now, and nobody else can see your phone?"
OPENING = "Hello. Is this a good time?"
CONFIRMED_STOP = 1


def write(world: World, *texts: str, sender: str = WORKER) -> list[str]:
    """Write one text after the other, each after the answer to the one before; gives all that came back."""
    for text in texts:
        world.network.text(sender, text)
        world.network.idle()
        world.run()
    return world.network.texts_to(sender)


# --- in writing -----------------------------------------------------------------------------------


def test_a_first_long_message_is_kept_before_anything_is_asked(world: World) -> None:
    first = write(world, LONG)[0]
    assert THANKS in first
    assert SAFE in first
    assert ("in", LONG) in world.transcript()
    (case,) = world.rows(tables.Case)
    assert case.category == "unclassified"


def test_only_what_is_neutral_is_written_before_it_is_safe(sqlite_world: World) -> None:
    told = " ".join(write(sqlite_world, LONG)).casefold()
    for telling in ("hotline", "factory", "complain", "audit", "confidential", "paid", "worker", "report"):
        assert telling not in told


@pytest.mark.parametrize("text", ["ok 123 :-)", "xq zzv", "👍"])
def test_a_language_that_is_not_clear_is_asked_for(sqlite_world: World, text: str) -> None:
    told = write(sqlite_world, text)[-1]
    assert "Which language do you want?" in told
    told = write(sqlite_world, "English")[-1]
    assert SAFE in told


def test_a_talk_in_writing_becomes_a_case_and_a_callback_with_her_own_code(world: World) -> None:
    write(world, "hello", "English", "1", "5", "1", LONG, "skip", "no", "skip", "no", "1", "yes")
    told = write(world, "48213", "4", "no")
    assert "A person will read what you told us." in told[-1]
    (case,) = world.rows(tables.Case)
    assert (case.category, case.severity) == ("dismissal", "S2")
    callback = world.callback()
    due = datetime.fromisoformat(callback["due_at"]).astimezone(ZoneInfo("Asia/Jakarta"))
    assert (callback["state"], callback["preference"], callback["timezone"]) == (
        *("scheduled", "evening"),
        "Asia/Jakarta",
    )
    assert 18 <= due.hour < 21
    world.network.script(WORKER, {"steps": [{"keys": "1"}, {"keys": "48213#"}, *MESSAGE], "then": "silent"})
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    assert world.dispositions() == ["handed_off"]
    assert not any("48213" in text for _, text in world.transcript())


MESSAGE = [{"keys": "1"}, {"keys": "1"}, {"keys": "1"}, {"speak": "Please help me", "seconds": 4}]
"""It is safe; nobody is free, so she leaves a message, which may be recorded."""
YES = [
    {"keys": key}
    for key in ("1", "1", "1", "2", "2", "2", "2", "2", "1", "1", "2", "2", "2", "1", "2", "2", "1", "2")
]


def test_her_code_is_needed_when_we_call(sqlite_world: World) -> None:
    world = sqlite_world
    write(
        world, "hello", "English", "1", "5", "1", LONG, "skip", "no", "skip", "no", "1", "yes", "48213", "4"
    )
    script = {"steps": [{"keys": "1"}, {"keys": "48214#"}, {"keys": "48214#"}], "then": "silent"}
    world.network.script(WORKER, script)
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    assert world.dispositions() == ["unverified"]


@pytest.mark.parametrize("language", ["en", "id", "my"])
def test_stop_in_her_language_stops_everything(world: World, language: str) -> None:
    world.interviewed(Worker(number=WORKER, script="busy", language=language))
    write(world, LONG)
    words = world.service.catalogs.tongue(language).text(stop_words(world), "words")
    before = len(world.network.texts_to(WORKER))
    told = write(world, words.split(",")[0].strip())
    assert len(told) - before == CONFIRMED_STOP
    assert {row.reason for row in world.rows(tables.Stop)} == {"worker"}
    assert world.callback()["state"] == "stopped"
    for day in range(2, 8):
        world.at(f"2026-03-0{day}T18:30:00+07:00")
        world.rest()
    assert world.network.calls() == []
    assert len(world.network.texts_to(WORKER)) == len(told)


def stop_words(world: World) -> str:
    """The English list of words for stop, as it stands in the catalogs."""
    source: str = world.service.library.words.lists["stop"]
    return source


@pytest.fixture
def stopped(world: World) -> World:
    """A world in which the worker said stop."""
    write(world, LONG, "stop")
    return world


def test_a_message_after_stop_is_kept_and_read_but_not_answered(stopped: World) -> None:
    before = len(stopped.network.texts_to(WORKER))
    help_me = "Please help me, they have locked the doors of the building"
    told = write(stopped, help_me)
    assert len(told) == before
    assert ("in", help_me) in stopped.transcript()
    assert len(stopped.rows(tables.Case)) == 2


def test_only_her_own_word_lifts_the_stop(stopped: World) -> None:
    before = len(stopped.network.texts_to(WORKER))
    told = write(stopped, "start")
    assert stopped.rows(tables.Stop) == []
    assert len(told) > before


def test_stop_outlives_a_new_upload(stopped: World) -> None:
    stopped.interviewed(Worker(number=WORKER, script="human-yes"))
    stopped.at("2026-03-02T18:30:00+07:00")
    stopped.rest()
    assert stopped.callback()["state"] == "stopped"
    assert stopped.network.calls() == []


def test_two_messages_at_once_are_both_kept(world: World) -> None:
    texts = [f"{LONG}, number {n}" for n in range(6)]
    fields = [
        {"MessageSid": f"SM{n:032x}", "From": WORKER, "To": HOTLINE, "Body": text, "NumMedia": "0"}
        for n, text in enumerate(texts)
    ]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda form: world.signed("/channels/sms", form), fields * 2))
    # A sender whose messages meet too often is asked to try again; Twilio does so by itself.
    assert {answer.status_code for answer in answers} <= {200, 503}
    for form in fields:
        assert world.signed("/channels/sms", form).status_code == 200
    kept = [text for direction, text in world.transcript() if direction == "in"]
    assert sorted(kept) == sorted(texts)
    assert len(world.rows(tables.Conversation)) == 1


def test_a_picture_is_kept_with_its_words(sqlite_world: World) -> None:
    world = sqlite_world
    world.network.text(
        WORKER,
        "This is the door that they keep locked from outside",
        NumMedia="1",
        MediaUrl0="https://example.org/picture",
        MediaContentType0="image/jpeg",
    )
    world.network.idle()
    (first, *_) = world.transcript()
    assert first[1].startswith("This is the door")
    assert "image/jpeg" in first[1]


def test_silence_is_reminded_once_and_then_over(sqlite_world: World) -> None:
    world = sqlite_world
    write(world, LONG)
    before = len(world.network.texts_to(WORKER))
    for _ in range(5):
        world.pass_time(datetime(2026, 1, 2) - datetime(2026, 1, 1))  # noqa: DTZ001 - only their distance
        world.run()
    assert len(world.network.texts_to(WORKER)) - before <= 1
    (talk,) = world.rows(tables.Conversation)
    assert (talk.state, talk.outcome) == ("ended", "expired")
    assert len(world.rows(tables.Case)) == 1


# --- by telephone ---------------------------------------------------------------------------------


def ring(world: World, script: object, sender: str = WORKER, to: str = HOTLINE) -> Json:
    """Somebody calls us; gives the call once it is over and everything has come to rest."""
    sid = world.network.ring(sender, to, script)
    world.network.idle()
    world.rest()
    (call,) = (call for call in world.network.calls() if call["sid"] == sid)
    return call


def keyed(*pressed: str, then: str = "silent") -> Json:
    """Keys, one step for each question."""
    return {"steps": [{"keys": each} for each in pressed], "then": then}


@pytest.mark.parametrize("sender", ["anonymous", "+266696687"])
def test_a_withheld_number_is_heard_all_the_same(sqlite_world: World, sender: str) -> None:
    world = sqlite_world
    english = "1"
    call = ring(world, keyed(english, "1", "2", "5", "1", "2", "2"), sender)
    assert "Which language do you want?" in heard(call)
    assert world.rows(tables.AddressRow) == []
    (case,) = world.rows(tables.Case)
    assert case.category == "dismissal"


def test_a_withheld_caller_is_promised_no_call_that_nobody_can_make(sqlite_world: World) -> None:
    world = sqlite_world
    told = heard(ring(world, keyed("1", "1", "2", "1", "2", "2", "2", "2", "1"), "anonymous"))
    assert "Do you want us to call you back?" not in told
    asked_for_a_person = heard(ring(world, keyed("1", "1", "2", "0"), "anonymous"))
    assert "Nobody is free right now." in asked_for_a_person
    assert "Leave a message" in asked_for_a_person
    assert "We call you back" not in asked_for_a_person
    assert not any("will call you" in text for text in told + asked_for_a_person)


def test_a_caller_chooses_a_code_and_is_called_back(world: World) -> None:
    pressed = ("2", "1", "2", "1", "2", "2", "2", "2", "1", "1", "5566#", "4")
    call = ring(world, keyed(*pressed))
    assert any("Please choose a code" in text for text in heard(call))
    assert world.callback()["preference"] == "evening"
    world.network.script(WORKER, {"steps": [{"keys": "1"}, {"keys": "5566#"}, *MESSAGE], "then": "silent"})
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    assert world.dispositions() == ["handed_off"]
    called = world.network.calls(WORKER)[-1]
    assert "This is the call that you asked for." in heard(called)
    assert not any("auditors" in text for text in heard(called)), "she was promised a call, not an interview"


def test_a_returned_call_is_neutral_until_the_code_and_then_the_callback(world: World) -> None:
    world.interviewed(Worker(number=WORKER, script="busy"))
    call = ring(world, {"steps": [*BEGIN, *YES[1:]], "then": "silent"}, to=CALLER)
    said = heard(call)
    assert said[1] == OPENING
    assert not any("workplace" in text for text in said[: said.index(OPENING) + 6])
    assert (world.callback()["state"], world.dispositions()) == ("reached", ["completed"])
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    assert len(world.network.calls()) == 1


def test_somebody_else_who_returns_the_call_changes_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(number=WORKER, script="busy"))
    call = ring(world, keyed("1", "0#"), to=CALLER)
    assert not any("workplace" in text for text in heard(call))
    assert (world.callback()["state"], world.callback()["attempts"]) == ("scheduled", [])


def test_a_spoofed_number_reveals_nothing_of_earlier_talks(sqlite_world: World) -> None:
    world = sqlite_world
    write(world, LONG)
    call = ring(world, keyed("1", "1", "2"))
    assert not any("January" in text for text in heard(call))


def test_a_stranger_on_the_calling_number_reaches_the_hotline(sqlite_world: World) -> None:
    call = ring(sqlite_world, keyed("1"), to=CALLER)
    assert "Hello. Thank you for calling." in heard(call)
    assert {row.flow for row in sqlite_world.rows(tables.Conversation)} == {"hotline"}


def test_a_call_that_breaks_off_leaves_what_was_said(sqlite_world: World) -> None:
    script = {"steps": [{"keys": "1"}, {"keys": "1"}, {"keys": "2"}, {"keys": "1"}, {"hangup": True}]}
    ring(sqlite_world, script)
    (case,) = sqlite_world.rows(tables.Case)
    assert case.category == "wages"
    (talk,) = sqlite_world.rows(tables.Conversation)
    assert talk.state == "ended"


def test_a_recorded_worker_who_presses_unsafe_is_silent_from_then_on(sqlite_world: World) -> None:
    script = {"steps": [{"keys": "1"}, {"keys": "1"}, {"keys": "1"}, {"keys": "*"}], "then": "silent"}
    ring(sqlite_world, script)
    turns = sqlite_world.hits_at("/channels/voice/turn/")
    at = next(n for n, hit in enumerate(turns) if hit.form.get("Digits") == "*")
    assert not any("confidential" in text for hit in turns[at:] for text in said_in(hit.answer))
    assert {row.reason for row in sqlite_world.rows(tables.Stop)} == {"unsafe"}
