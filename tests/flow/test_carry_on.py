"""A conversation goes on in another channel, and nothing that was said is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import EngineError
from bot.flow.catalog import Catalogs
from bot.flow.engine import is_unfinished
from bot.flow.events import (
    Answered,
    CallbackRequested,
    ConsentGiven,
    ConsentScope,
    ContinueRequested,
    HandoffRequested,
    Outcome,
)
from bot.flow.library import Library
from bot.flow.trial import VOICE, WRITTEN
from bot.messages import Expects, HangUp, Text, Timeout
from tests.flow.conversation import HOTLINE_FACTS, SMS, Conversation, flow_text, shelf


@pytest.fixture
def thread(library: Library, catalogs: Catalogs) -> Conversation:
    """A written talk that stands at the question for pictures."""
    talk = Conversation(library, catalogs, WRITTEN["whatsapp"]).begin(
        "hotline", HOTLINE_FACTS, Text("they cut my pay again")
    )
    return talk.take("1", "pay", "skip")


def test_writing_goes_on_as_a_call_with_its_answers(thread: Conversation) -> None:
    stood_at, answers = thread.sprint.session.step, len(thread.of(Answered))
    assert stood_at == "pictures"
    call = thread.move(VOICE)
    assert call.prompt.texts[0].startswith("Is it safe to talk now")
    call.take("1")
    assert call.said.startswith("May we record your voice"), "nobody asked that in writing"
    call.take("1")
    assert call.of(ConsentGiven) == [ConsentGiven(ConsentScope.RECORD, True)]
    assert call.sprint.session.step == "danger", "pictures cannot be sent in a call"
    assert len(call.of(Answered)) == answers
    assert "Press 1 for yes" in call.said
    assert call.sprint.session.flow == "hotline"


def test_call_goes_on_in_writing(library: Library, catalogs: Catalogs) -> None:
    call = Conversation(library, catalogs).begin("hotline", {"trigger": "call", "language_known": "yes"})
    call.take("1", "1", "1", "1")
    stood_at = call.sprint.session.step
    thread = call.move(SMS)
    assert thread.prompt.texts == ("Is it safe to write here now, and nobody else can see your phone?",)
    thread.take("yes")
    assert thread.sprint.session.step == stood_at
    assert not thread.sprint.ended
    assert [timer.kind for timer in thread.sprint.timers] == ["remind", "expire"]


def test_where_nobody_proved_who_is_there_the_opening_is_neutral(thread: Conversation) -> None:
    elsewhere = thread.move(WRITTEN["telegram"], proven=False)
    assert elsewhere.prompt.texts == ("Hello. Is this a good time?",)
    elsewhere.take("yes")
    assert elsewhere.said.startswith("Is it safe to write here now")
    assert elsewhere.take("yes").sprint.session.step == "pictures"


@pytest.mark.parametrize("given", ["person", "link", "they hit my sister in the hall", "?", "language"])
def test_stranger_at_the_new_channel_learns_nothing(thread: Conversation, given: str) -> None:
    events = len(thread.events)
    stranger = thread.move(SMS, proven=False).take(given)
    assert not stranger.of(HandoffRequested)
    assert not any(isinstance(event, Answered) for event in stranger.events[events:])
    for word in ("pay", "work", "safe", "person"):
        assert word not in stranger.said.casefold()


def test_language_is_chosen_and_the_gate_still_stands(thread: Conversation) -> None:
    moved = thread.move(SMS, proven=False).take("language", "Bahasa Indonesia")
    assert not moved.sprint.session.safe
    assert moved.prompt.expects is Expects.YES_NO
    assert moved.prompt.language == "id"


def test_stranger_cannot_choose_the_code_of_her_call(thread: Conversation) -> None:
    stranger = thread.move(SMS, proven=False).take("later")
    assert stranger.outcome is Outcome.LATER
    assert not stranger.of(CallbackRequested)
    assert is_unfinished(stranger.sprint.session)


def test_not_safe_there_leaves_it_to_be_carried_on(thread: Conversation) -> None:
    moved = thread.move(VOICE).take("2")
    assert moved.outcome is Outcome.NOT_SAFE_NOW
    assert moved.said == "Sorry, wrong time. We will try later. Goodbye."
    assert is_unfinished(moved.sprint.session)
    back = moved.move(WRITTEN["telegram"]).take("1")
    assert back.sprint.session.step == "pictures"


def test_call_that_is_cut_off_goes_on_in_writing(thread: Conversation) -> None:
    call = thread.move(VOICE).take("1", "2", "2", HangUp())
    assert call.outcome is Outcome.CUT_OFF
    assert is_unfinished(call.sprint.session)
    assert call.move(SMS).take("1").sprint.session.step == "told_hr"


def test_asked_for_later_it_keeps_where_it_stood(thread: Conversation) -> None:
    thread.take("later", "1", "4711")
    assert thread.of(CallbackRequested) == [CallbackRequested("now", "requested")]
    assert is_unfinished(thread.sprint.session)
    assert b"4711" not in thread.sprint.session.dump()
    call = thread.move(VOICE, safe=True)
    assert call.said.startswith("May we record"), "she has just said that it is safe"
    assert call.take("2").sprint.session.step == "danger"
    assert call.take("0").of(HandoffRequested)


def test_finished_conversation_is_over_for_good(thread: Conversation) -> None:
    thread.take("hide")
    assert not is_unfinished(thread.sprint.session)
    with pytest.raises(EngineError):
        thread.move(VOICE)


def test_sign_of_danger_is_final(thread: Conversation) -> None:
    moved = thread.move(SMS).take("*")
    assert moved.outcome is Outcome.UNSAFE
    assert not is_unfinished(moved.sprint.session)


def test_written_talk_that_was_carried_and_expires_can_go_on(thread: Conversation) -> None:
    moved = thread.move(WRITTEN["telegram"]).take("1")
    moved.take(Timeout(moved.sprint.session.sprint, "expire"))
    assert moved.outcome is Outcome.EXPIRED
    assert is_unfinished(moved.sprint.session)


def test_recording_is_asked_about_once(thread: Conversation) -> None:
    call = thread.move(VOICE).take("1", "2")
    again = call.move(VOICE).take("1")
    assert again.sprint.session.step == "danger"
    assert len(again.of(ConsentGiven)) == 1


def test_gate_talk_hands_over_to_the_one_that_goes_on(tmp_path: Path) -> None:
    steps = "  - {id: safe, ask: yes_no, safety: check, text: Is it safe?}\n  - {id: on, continue: true}\n"
    library = Library.open(shelf(tmp_path / "flows", test=flow_text("test", steps)))
    talk = Conversation(library, Catalogs(None, ())).begin("test", {}).take("1")
    assert talk.of(ContinueRequested) == [ContinueRequested()]
    assert talk.outcome is Outcome.MOVED
    assert not talk.prompt.texts
