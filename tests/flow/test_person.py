"""What a caller is promised who wants to talk with a person now."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.flow.catalog import Catalogs
from bot.flow.check import check
from bot.flow.events import Answered, ConsentGiven, ConsentScope, HandoffRequested, Outcome
from bot.flow.library import Library
from bot.flow.phrases import position
from bot.messages import Expects, HangUp, Keys, Recording, Silence, Timeout, Transferred
from tests.flow.conversation import SMS, Conversation, flow_text, shelf

HEAD = "person: person\n"
STEPS = """\
  - {id: safe, ask: yes_no, safety: check, text: Is it safe?}
  - {id: food, ask: yes_no, text: Is the food good?}
  - {id: words, ask: open, text: "What is wrong?"}
  - {id: closing, say: Goodbye., end: completed}
  - id: person
    when: {medium: voice}
    ask: person
    text: We look for a person.
    next: {talked: talked, message: message, else: nobody}
  - id: nobody
    say: Nobody is free right now.
    back: true
    next: food
  - {id: message, ask: yes_no, consent: record, text: May we record it?}
  - {id: message_end, say: Thank you., end: completed}
  - {id: talked, say: It was good to talk., end: handed_off}
"""
ONE = frozenset(("en",))


@pytest.fixture
def small(tmp_path: Path) -> Library:
    return Library.open(shelf(tmp_path / "flows", test=flow_text("test", STEPS, HEAD)))


def ring(library: Library, people: frozenset[str] = ONE) -> Conversation:
    return Conversation(library, Catalogs(None, ()), people=people).begin("test", {"trigger": "call"})


def test_caller_waits_for_a_person_who_is_there(small: Library) -> None:
    call = ring(small).take("1", "0")
    assert call.prompt.expects is Expects.PERSON
    assert call.prompt.texts == ("We look for a person.",)
    assert call.of(HandoffRequested) == [HandoffRequested("person")]
    call.take(Transferred.TALKED)
    assert Answered("person", "person", "talked") in call.events
    assert call.outcome is Outcome.HANDED_OFF
    assert call.said == "It was good to talk."


@pytest.mark.parametrize("people", [frozenset[str](), frozenset(("my",))])
def test_where_nobody_speaks_her_language_she_does_not_wait(small: Library, people: frozenset[str]) -> None:
    call = ring(small, people).take("1", "0")
    assert call.of(HandoffRequested) == [HandoffRequested("person")]
    assert Answered("person", "person", "nobody") in call.events
    assert call.prompt.texts[:2] == ("Nobody is free right now.", "Is the food good?")


def test_nobody_in_time_brings_her_back_to_her_question(small: Library) -> None:
    call = ring(small).take("1", "1", "0", Transferred.NOBODY)
    assert call.sprint.session.step == "words"
    assert call.said.startswith("Nobody is free right now.")


def test_one_key_leaves_the_line_for_a_message(small: Library) -> None:
    call = ring(small).take("1", "0", "1")
    assert Answered("person", "person", "message") in call.events
    assert call.said.startswith("May we record it?")


@pytest.mark.parametrize("given", [Keys("0"), Keys("5"), Keys("#"), Silence(), Recording("RE1", 3)])
def test_anything_else_keeps_her_in_the_line(small: Library, given: Keys | Silence | Recording) -> None:
    call = ring(small).take("1", "0")
    before, events = call.prompt, len(call.events)
    for _ in range(4):
        call.take(given)
    assert call.prompt == before
    assert len(call.events) == events, "she asked for a person once"


def test_star_in_the_line_is_the_sign_of_danger(small: Library) -> None:
    call = ring(small).take("1", "0", "*")
    assert "bus" in call.said
    call.take(Transferred.TALKED)
    assert "bus" in call.said, "an agent who comes too late changes nothing"


def test_nine_in_the_line_ends_the_call(small: Library) -> None:
    call = ring(small).take("1", "0", "9", "2")
    assert call.outcome is Outcome.ENDED_EARLY


def test_hanging_up_in_the_line_is_a_call_that_was_cut_off(small: Library) -> None:
    assert ring(small).take("1", "0", HangUp()).outcome is Outcome.CUT_OFF


def test_hanging_up_after_the_talk_counts_as_handed_off(tmp_path: Path) -> None:
    steps = STEPS.replace("talked: talked", "talked: food")
    flows = Library.open(shelf(tmp_path / "flows", test=flow_text("test", steps, HEAD)))
    call = ring(flows).take("1", "0", Transferred.TALKED)
    assert call.said == "Is the food good?\nPress 1 for yes, 2 for no, 3 if you are not sure, 4 to skip."
    assert call.take(HangUp()).outcome is Outcome.HANDED_OFF


def test_zero_before_the_gate_is_obeyed_right_after_it(small: Library) -> None:
    call = ring(small).take("0")
    assert call.said.startswith("Please answer this question first.")
    assert not call.of(HandoffRequested)
    call.take("1")
    assert call.prompt.expects is Expects.PERSON
    assert call.take(Transferred.NOBODY).sprint.session.step == "food"


def test_zero_before_the_gate_is_forgotten_where_it_is_not_safe(small: Library) -> None:
    call = ring(small).take("0", "2")
    assert call.outcome is Outcome.NOT_SAFE_NOW
    assert not call.of(HandoffRequested)


def test_offer_after_nonsense_really_connects(small: Library) -> None:
    assert ring(small).take("1", "7", "7", "7", "1").prompt.expects is Expects.PERSON


def test_open_question_that_is_not_recorded_really_connects(small: Library) -> None:
    call = ring(small).take("1", "1")
    assert call.prompt.options[0].label == "Talk with a person"
    call.take("1")
    assert call.prompt.expects is Expects.PERSON
    assert Answered("words", "open", "person") in call.events
    assert call.take(Transferred.NOBODY).outcome is Outcome.COMPLETED, "she comes back behind the question"


def test_in_writing_nobody_waits(small: Library) -> None:
    thread = Conversation(small, Catalogs(None, ()), SMS, people=ONE).begin("test", {"trigger": "message"})
    thread.take("yes", "person")
    assert thread.outcome is Outcome.HANDED_OFF
    assert thread.said == "Thank you. A person will answer you here as soon as possible."


def test_a_wait_in_the_way_of_a_written_talk_is_passed_over(tmp_path: Path) -> None:
    steps = (
        "  - {id: person, say: Please stay., ask: person, text: We look., next: {else: food}}\n"
        "  - {id: food, ask: yes_no, text: Good?}\n  - {id: end, end: completed}\n"
    )
    flows = Library.open(shelf(tmp_path / "flows", test=flow_text("test", steps)))
    thread = Conversation(flows, Catalogs(None, ()), SMS, people=ONE).begin("test", {})
    assert thread.prompt.texts == ("Good?",)
    assert not thread.of(HandoffRequested)


def test_checker_warns_of_a_wait_that_leads_nowhere_in_writing(tmp_path: Path) -> None:
    steps = (
        "  - {id: person, ask: person, text: We look., next: {talked: bye, nobody: bye}}\n"
        "  - {id: bye, say: Goodbye., end: completed}\n"
    )
    library = Library.open(shelf(tmp_path / "flows", test=flow_text("test", steps)))
    found = [finding.code for finding in check(library, Catalogs(None, ()), (), ("en",))]
    assert found == ["person_in_writing"]


def test_checker_finds_a_wait_that_goes_round_where_nobody_is_there(tmp_path: Path) -> None:
    steps = (
        "  - {id: person, when: {medium: voice}, ask: person, text: We look., next: {nobody: again, else: bye}}\n"
        "  - {id: again, say: Nobody., next: person}\n  - {id: bye, say: Goodbye., end: completed}\n"
    )
    library = Library.open(shelf(tmp_path / "flows", test=flow_text("test", steps)))
    found = [finding.code for finding in check(library, Catalogs(None, ()), (), ("en",))]
    assert found == ["endless"]


def test_call_that_waits_may_last_longer_than_another(small: Library) -> None:
    call = ring(small).take("1")
    spoken = call.sprint.timers[0].seconds
    waits = call.take("0").sprint.timers[0]
    assert waits.seconds > spoken
    assert call.take(Timeout(waits.sprint, "expire")).outcome is Outcome.EXPIRED


def test_consent_that_is_refused_in_a_message_is_kept(small: Library) -> None:
    call = ring(small).take("1", "0", "1", "2")
    assert call.of(ConsentGiven) == [ConsentGiven(ConsentScope.RECORD, False)]


def test_places_in_the_line_are_whole_texts() -> None:
    heard = [position(n) for n in (1, 2, 5, 6, 40)]
    assert heard[0] == "You are the first in the line."
    assert heard[3] == heard[4] == "More than five callers wait before you."
    assert len(set(heard)) == 4
