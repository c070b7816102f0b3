"""Who picks up is not known: every way in which a call can go, what is said in it, and what comes after it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.flow.catalog import Catalogs
from bot.storage import tables
from tests.journeys.world import BEGIN, CONSENTS, Json, Worker, World, heard, said_in

KEYS = dict[str, object]


def keys(*pressed: str) -> list[KEYS]:
    """One step for each question."""
    return [{"keys": each} for each in pressed]


def called(world: World, script: object, **changes: str) -> Json:
    """Call one worker whose phone does what the script says; gives her callback."""
    world.interviewed(Worker(script=script, **changes))
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    return world.callback()


def due(callback: Json) -> datetime:
    """When she is called next, on her own clock."""
    return datetime.fromisoformat(callback["due_at"]).astimezone(ZoneInfo(callback["timezone"]))


AGAIN = {
    "busy": ("busy", "busy"),
    "no-answer": ("no-answer", "no_answer"),
    "machine": ("machine", "machine"),
    "fax": ("fax", "machine"),
    "no line": ("failed", "failed"),
    "hangs up at hello": ({"steps": [{"hangup": True}]}, "no_input"),
    "silence": ("silent", "no_input"),
    "third person": ({"steps": keys("1", "0#"), "then": "silent"}, "third_party"),
    "two wrong codes": ({"steps": keys("1", "9999#", "8888#"), "then": "silent"}, "unverified"),
    "not safe now": ({"steps": keys("1", "{pass_word}#", "2"), "then": "silent"}, "not_safe_now"),
    "hangs up in the middle": ({"steps": [*BEGIN, *CONSENTS, {"hangup": True}]}, "cut_off"),
}


@pytest.mark.parametrize("how", AGAIN)
def test_a_call_without_an_interview_is_tried_again_in_her_window(sqlite_world: World, how: str) -> None:
    script, disposition = AGAIN[how]
    callback = called(sqlite_world, script)
    assert [attempt["disposition"] for attempt in callback["attempts"]] == [disposition]
    assert callback["state"] == "scheduled"
    again = due(callback)
    assert again.date().isoformat() == "2026-03-03"
    assert 18 <= again.hour < 21


FINAL = {
    "number not in use": ("unreachable", "wrong_number", "given_up"),
    "refuses": ({"steps": [*BEGIN, *keys("1", "2")], "then": "silent"}, "refused", "refused"),
    "duress at hello": ({"steps": keys("*"), "then": "silent"}, "unsafe", "unsafe"),
    "duress at the code": ({"steps": keys("1", "*"), "then": "silent"}, "unsafe", "unsafe"),
    "duress inside the code": ({"steps": keys("1", "12*#"), "then": "silent"}, "unsafe", "unsafe"),
    "duress at safety": ({"steps": keys("1", "{pass_word}#", "*"), "then": "silent"}, "unsafe", "unsafe"),
    "duress later": ({"steps": [*BEGIN, *CONSENTS, *keys("2", "*")], "then": "silent"}, "unsafe", "unsafe"),
}


@pytest.mark.parametrize("how", FINAL)
def test_after_some_calls_nobody_calls_again(sqlite_world: World, how: str) -> None:
    world = sqlite_world
    script, disposition, state = FINAL[how]
    callback = called(world, script)
    assert [attempt["disposition"] for attempt in callback["attempts"]] == [disposition]
    assert (callback["state"], callback["due_at"]) == (state, None)
    for day in range(3, 9):
        world.at(f"2026-03-0{day}T18:30:00+07:00")
        world.run()
    assert len(world.network.calls()) == 1


@pytest.mark.parametrize("how", [how for how in FINAL if how.startswith("duress")])
def test_duress_alerts_a_supervisor_and_stops_all_contact(sqlite_world: World, how: str) -> None:
    called(sqlite_world, FINAL[how][0])
    (case,) = sqlite_world.rows(tables.Case)
    assert (case.category, case.severity in {"S1", "S2"}) == ("threat", True)
    (stop,) = sqlite_world.rows(tables.Stop)
    assert stop.reason == "unsafe"


def test_after_duress_the_call_is_about_something_else(sqlite_world: World) -> None:
    called(sqlite_world, FINAL["duress later"][0])
    turns = sqlite_world.hits_at("/channels/voice/turn/")
    at = next(n for n, hit in enumerate(turns) if hit.form.get("Digits") == "*")
    for hit in turns[at:]:
        assert not telling_words(sqlite_world, said_in(hit.answer), "en")


def test_the_worker_is_believed_when_she_asks_for_another_time(sqlite_world: World) -> None:
    callback = called(sqlite_world, {"steps": keys("2", "1"), "then": "silent"})
    assert [attempt["disposition"] for attempt in callback["attempts"]] == ["later"]
    assert callback["preference"] == "morning"
    assert (due(callback).date().isoformat(), due(callback).hour) == ("2026-03-03", 8)


def test_who_ends_the_call_early_says_whether_to_call_again(sqlite_world: World) -> None:
    callback = called(sqlite_world, {"steps": [*BEGIN, *CONSENTS, *keys("2", "9", "2")], "then": "silent"})
    assert [attempt["disposition"] for attempt in callback["attempts"]] == ["ended_early"]
    assert callback["state"] == "given_up"
    assert [code for question, code, _ in sqlite_world.answers() if question == "q1"] == ["no"]


def test_what_was_said_before_a_hang_up_is_kept(sqlite_world: World) -> None:
    called(sqlite_world, {"steps": [*BEGIN, *CONSENTS, *keys("1", "1"), {"hangup": True}]})
    assert [code for question, code, _ in sqlite_world.answers() if question == "q1_who"] == ["manager"]
    (case,) = sqlite_world.rows(tables.Case)
    assert case.category == "coaching"


@pytest.mark.parametrize(
    ("script", "attempts", "reason"),
    [
        ("busy", 6, "attempts_used"),
        ({"steps": keys("1", "0#"), "then": "silent"}, 2, "third_party_limit"),
        ({"steps": keys("1", "9999#", "8888#"), "then": "silent"}, 2, "unverified_limit"),
    ],
    ids=["busy", "third party", "unverified"],
)
def test_it_is_given_up_with_a_reason(
    sqlite_world: World, script: object, attempts: int, reason: str
) -> None:
    world = sqlite_world
    called(world, script)
    for day in range(3, 10):
        world.at(f"2026-03-0{day}T18:30:00+07:00")
        world.rest()
    callback = world.callback()
    assert callback["state"] == "given_up"
    assert (len(callback["attempts"]), callback["give_up_reason"]) == (attempts, reason)
    assert len(world.network.calls()) == attempts


@pytest.mark.parametrize("script", ["machine", "fax"])
def test_a_machine_hears_nothing_at_all(sqlite_world: World, script: str) -> None:
    called(sqlite_world, script)
    (call,) = sqlite_world.network.calls()
    assert {step["kind"] for step in call["steps"]}.isdisjoint({"say", "play", "record", "gather"})


# --- before the gate ------------------------------------------------------------------------------


def telling_words(world: World, texts: list[str], language: str, *, known: bool = False) -> list[str]:
    """What of the flows' own list of telling words, and of what is known of this worker, is in the texts.

    A worker who is ``known`` by her pass-word may be asked whether it is safe.
    """
    told = " ".join(texts).casefold()
    telling = world.service.library.telling
    tongue = world.service.catalogs.tongue(language)
    words = [
        word.strip().casefold()
        for listed in (telling.before_safety, *(() if known else (telling.before_pass_word,)))
        for word in (*listed.split(","), *tongue.text(listed, "telling").split(","))
    ]
    words += ["blue works", "brand a", "w-1", "a-1", "4711"]
    return [word for word in words if word and re.search(rf"\b{re.escape(word)}\b", told)]


@pytest.mark.parametrize("language", ["en", "id", "my"])
@pytest.mark.parametrize(
    "how", ["third person", "two wrong codes", "silence", "hangs up at hello", "not safe now"]
)
def test_a_stranger_learns_nothing_in_any_language(sqlite_world: World, language: str, how: str) -> None:
    called(sqlite_world, AGAIN[how][0], language=language)
    (call,) = sqlite_world.network.calls()
    documents = sqlite_world.hits_at("/channels/voice/answer/") + sqlite_world.hits_at("/channels/voice/turn")
    said = [text for hit in documents for text in said_in(hit.answer)]
    assert said or any(step["kind"] == "play" for step in call["steps"])
    known = how == "not safe now"
    assert telling_words(sqlite_world, said + heard(call), language, known=known) == []


def test_the_list_of_telling_words_would_be_noticed(sqlite_world: World) -> None:
    called(sqlite_world, {"steps": [*BEGIN, {"hangup": True}]})
    (call,) = sqlite_world.network.calls()
    assert telling_words(sqlite_world, heard(call), "en")


def test_a_repeated_wrong_key_repeats_the_question_and_then_offers_another_way(
    sqlite_world: World, real_catalogs: Catalogs
) -> None:
    called(sqlite_world, {"steps": [*BEGIN, *keys("8", "8", "8")], "then": "silent"})
    turns = [hit for hit in sqlite_world.hits_at("/channels/voice/turn/") if hit.form.get("Digits") == "8"]
    assert len(turns) == 3
    question = "If we are cut off, may we call you again?"
    assert question in said_in(turns[0].answer)
    assert question in said_in(turns[1].answer)
    assert said_in(turns[2].answer) != said_in(turns[1].answer)
    assert sqlite_world.callback()["state"] in {"scheduled", "reached"}


def test_attempts_keep_their_spacing(sqlite_world: World) -> None:
    callback = called(sqlite_world, "busy")
    (attempt,) = callback["attempts"]
    first = datetime.fromisoformat(attempt["claimed_at"])
    assert datetime.fromisoformat(callback["due_at"]) - first >= timedelta(hours=20)
