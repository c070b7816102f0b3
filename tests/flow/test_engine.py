"""What the engine promises to a worker, whatever the flow."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from bot.errors import EngineError
from bot.flow.catalog import Catalogs
from bot.flow.context import Context
from bot.flow.events import (
    Answered,
    CallbackRequested,
    ConsentGiven,
    ConsentScope,
    Ended,
    GrievanceRaised,
    HandoffRequested,
    LanguageChosen,
    LinkRequested,
    Outcome,
    PassWordChosen,
    StartRequested,
    StopRequested,
    TextInvited,
    UnsafeFlagged,
    Verified,
)
from bot.flow.library import Library
from bot.flow.trial import WRITTEN
from bot.messages import Button, Expects, HangUp, Keys, Media, MediaRef, Recording, Silence, Text, Timeout
from tests.flow.conversation import (
    CALLBACK_FACTS,
    HOTLINE_FACTS,
    PASS_WORD,
    SMS,
    Conversation,
    flow_text,
    shelf,
)

GATE = ("1", PASS_WORD, "1")


@pytest.fixture
def call(library: Library, catalogs: Catalogs) -> Conversation:
    return Conversation(library, catalogs).begin("callback", CALLBACK_FACTS)


@pytest.fixture
def thread(library: Library, catalogs: Catalogs) -> Conversation:
    return Conversation(library, catalogs, SMS).begin("hotline", HOTLINE_FACTS, Text("hello"))


def small(tmp_path: Path, steps: str, head: str = "", **flows: str) -> Library:
    return Library.open(shelf(tmp_path / "flows", test=flow_text("test", steps, head), **flows))


# --- the gate -------------------------------------------------------------------------------


def test_nothing_is_verified_by_a_wrong_code(call: Conversation) -> None:
    call.take("1", "1111")
    assert call.said.startswith("Sorry, we did not understand")
    call.take("2222")
    assert call.outcome is Outcome.UNVERIFIED
    assert not call.of(Verified)


def test_right_code_after_one_failure_opens_the_gate(call: Conversation) -> None:
    call.take("1", "1111", PASS_WORD)
    assert call.of(Verified) == [Verified()]
    assert call.sprint.session.verified
    assert not call.sprint.session.safe


def test_every_entry_of_a_code_is_masked(call: Conversation) -> None:
    for entry in ("1111", PASS_WORD):
        fresh = call.take("1") if not call.events else call
        fresh.take(entry)
        assert fresh.sprint.redact


def test_code_in_writing_is_masked_and_not_in_the_session(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs, SMS).begin("callback", CALLBACK_FACTS)
    talk.take("yes", PASS_WORD)
    assert talk.sprint.redact
    assert PASS_WORD.encode() not in talk.sprint.session.dump()
    assert PASS_WORD not in repr(talk.sprint)


def test_code_typed_in_native_digits_is_right(library: Library, catalogs: Catalogs) -> None:
    burmese = PASS_WORD.translate({ord("0") + n: 0x1040 + n for n in range(10)})
    talk = Conversation(library, catalogs, SMS).begin("callback", CALLBACK_FACTS)
    assert talk.take("1", burmese).of(Verified)


def test_stranger_cannot_ask_for_a_person(call: Conversation) -> None:
    call.take("0")
    assert not call.of(HandoffRequested)
    assert call.outcome is None


def test_stranger_who_presses_nine_ends_it_without_being_asked(call: Conversation) -> None:
    call.take("9")
    assert call.outcome is Outcome.LATER
    assert not call.of(ConsentGiven)


def test_stranger_who_presses_nonsense_hears_a_wrong_number(call: Conversation) -> None:
    call.take("7", "7", "7")
    assert call.outcome is Outcome.UNVERIFIED
    assert call.prompt.texts == ("Sorry, wrong time. We will try later. Goodbye.",)


def test_call_without_a_code_says_nothing(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs).begin("callback", {**CALLBACK_FACTS, "has_pass_word": "no"})
    assert talk.take("1").outcome is Outcome.UNVERIFIED


def test_not_safe_ends_the_call_at_once(call: Conversation) -> None:
    call.take("1", PASS_WORD, "2")
    assert call.outcome is Outcome.NOT_SAFE_NOW


# --- danger ---------------------------------------------------------------------------------


def test_star_hides_the_call_behind_cover_questions(call: Conversation) -> None:
    call.take(*GATE, "*")
    assert call.of(UnsafeFlagged) == [UnsafeFlagged(threat=True)]
    assert "bus" in call.said
    call.take("1")
    assert "market" in call.said
    call.take("2")
    assert call.outcome is Outcome.UNSAFE
    assert not any(isinstance(event, Answered) for event in call.sprint.events)


def test_star_inside_a_longer_entry_is_the_sign(call: Conversation) -> None:
    call.take("1", "73*19")
    assert call.of(UnsafeFlagged) == [UnsafeFlagged(threat=False)]
    assert not call.of(Verified)


@pytest.mark.parametrize("given", [Silence(), Keys("9"), Keys("*"), Keys("0"), Keys("")])
def test_cover_questions_go_on_whatever_is_pressed(call: Conversation, given: Keys | Silence) -> None:
    call.take(*GATE, "*", given, given)
    assert call.outcome is Outcome.UNSAFE
    assert len(call.of(UnsafeFlagged)) == 1


def test_hanging_up_during_cover_questions_stays_unsafe(call: Conversation) -> None:
    call.take(*GATE, "*", HangUp())
    assert call.outcome is Outcome.UNSAFE


def test_call_that_is_lost_during_cover_questions_stays_unsafe(call: Conversation) -> None:
    call.take(*GATE, "*")
    call.take(Timeout(call.sprint.session.sprint, "expire"))
    assert call.outcome is Outcome.UNSAFE


def test_star_in_writing_ends_with_an_empty_answer(thread: Conversation) -> None:
    thread.take("*")
    assert thread.outcome is Outcome.UNSAFE
    assert thread.said == "OK."


def test_quick_exit_leaves_nothing_telling(thread: Conversation) -> None:
    thread.take("1", "Hide!")
    assert thread.prompt.texts == ("OK.",)
    assert thread.outcome is Outcome.ENDED_EARLY


# --- keys -----------------------------------------------------------------------------------


def test_hash_repeats_the_question(call: Conversation) -> None:
    before = call.prompt
    assert call.take("#").prompt == before
    assert call.take("").prompt == before
    assert not call.events


def test_nine_asks_whether_to_call_again(call: Conversation) -> None:
    call.take(*GATE, "9")
    assert call.said.startswith("May we call you again?")
    call.take("1")
    assert call.of(ConsentGiven) == [ConsentGiven(ConsentScope.CONTACT_AGAIN, True)]
    assert call.outcome is Outcome.ENDED_EARLY


def test_zero_asks_for_a_person_after_the_gate(call: Conversation) -> None:
    call.take(*GATE, "0")
    assert call.of(HandoffRequested) == [HandoffRequested("person")]
    assert call.said.startswith("Nobody is free right now.")


def test_nine_and_zero_are_digits_of_a_number(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs).begin("hotline", {"trigger": "call", "language_known": "yes"})
    talk.take("1", "2", "1", "4", "2", "1", "9")
    assert talk.outcome is None
    answers = {event.question: event.code for event in talk.events if isinstance(event, Answered)}
    assert answers["card_number"] == "9"


def test_keys_of_speech_are_single(call: Conversation) -> None:
    assert call.prompt.max_digits == 1
    assert call.take("1").prompt.max_digits is None


# --- silence and the end of a call ----------------------------------------------------------


def test_silence_repeats_once_and_then_ends_without_input(call: Conversation) -> None:
    before = call.prompt
    assert call.take(Silence()).prompt == before
    assert call.take(Silence()).outcome is Outcome.NO_INPUT


def test_silence_after_a_key_is_cut_off(call: Conversation) -> None:
    call.take("1", Silence(), Silence())
    assert call.outcome is Outcome.CUT_OFF


def test_silence_is_forgiven_after_an_answer(call: Conversation) -> None:
    call.take(Silence(), "1", Silence())
    assert call.outcome is None


def test_hanging_up_is_cut_off_once_a_key_was_pressed(call: Conversation) -> None:
    assert call.take("1", HangUp()).outcome is Outcome.CUT_OFF
    assert call.prompt.texts == ()


def test_hanging_up_without_a_key_is_no_input(call: Conversation) -> None:
    assert call.take(HangUp()).outcome is Outcome.NO_INPUT


def test_input_after_the_end_changes_nothing(call: Conversation) -> None:
    call.take("1", "0")
    ended = call.sprint.session
    call.take(HangUp(), "1", Silence())
    assert call.sprint.session == ended
    assert call.sprint.ended
    assert call.sprint.events == ()


# --- time -----------------------------------------------------------------------------------


def test_timer_of_an_earlier_sprint_does_nothing(thread: Conversation) -> None:
    stale = thread.sprint.timers[-1]
    thread.take("1")
    before = thread.sprint.session
    thread.take(Timeout(stale.sprint, stale.kind))
    assert thread.sprint.session == before
    assert thread.sprint.events == ()
    assert thread.prompt.texts == ()


def test_reminder_repeats_the_question_once(thread: Conversation) -> None:
    question = thread.take("1").prompt
    remind, expire = thread.sprint.timers
    thread.take(Timeout(remind.sprint, "remind"))
    assert thread.prompt.texts == question.texts[-1:]
    assert [timer.kind for timer in thread.sprint.timers] == ["expire"]
    assert thread.sprint.timers[0].seconds == expire.seconds - remind.seconds


def test_expiry_ends_in_silence(thread: Conversation) -> None:
    thread.take("1")
    thread.take(Timeout(thread.sprint.session.sprint, "expire"))
    assert thread.outcome is Outcome.EXPIRED
    assert thread.prompt.texts == ()


def test_expiry_goes_through_the_steps_named_for_it(tmp_path: Path, catalogs: Catalogs) -> None:
    steps = (
        "  - {id: one, ask: yes_no, text: One?, next: done}\n"
        "  - {id: late, grievance: {category: wages}}\n"
        "  - {id: over, say: Too late., end: expired}\n"
        "  - {id: done, end: completed}\n"
    )
    library = small(tmp_path, steps, "expired: late\nhung_up: late\n")
    talk = Conversation(library, catalogs, SMS).begin("test", {})
    talk.take(Timeout(talk.sprint.session.sprint, "expire"))
    assert talk.of(GrievanceRaised) == [GrievanceRaised("late", "wages", "S3", ())]
    assert talk.outcome is Outcome.EXPIRED
    assert talk.prompt.texts == ()


# --- what is not understood -----------------------------------------------------------------


def test_an_answer_above_a_closing_and_a_name_is_understood_and_the_rest_is_kept(
    thread: Conversation,
) -> None:
    question = thread.said
    thread.take("Yes\n\nBest regards,\nSiti")
    assert thread.said != question
    thread.take("1\nand they hit my sister too")
    kept = [
        event.text for event in thread.of(Answered) if isinstance(event, Answered) and event.kind == "aside"
    ]
    assert kept[-1] == "and they hit my sister too"


def test_stop_above_a_closing_is_obeyed(thread: Conversation) -> None:
    thread.take("STOP\n\nBest regards,\nSiti")
    assert thread.of(StopRequested)


def test_code_above_a_closing_is_right(library: Library, catalogs: Catalogs) -> None:
    written = Conversation(library, catalogs, SMS).begin("callback", CALLBACK_FACTS)
    written.take("1", f"{PASS_WORD}\n\nSiti")
    assert written.of(Verified)


def test_third_unknown_answer_brings_an_offer(thread: Conversation) -> None:
    thread.take("1", "x", "x", "x")
    assert [option.code for option in thread.prompt.options] == ["person", "later", "go_on"]


def test_offer_leads_to_a_person(thread: Conversation) -> None:
    thread.take("1", "x", "x", "x", "1")
    assert thread.of(HandoffRequested) == [HandoffRequested("not_understood")]


def test_offer_leads_to_a_later_call(thread: Conversation) -> None:
    thread.take("1", "x", "x", "x", "2", "In the evening")
    assert thread.prompt.expects is Expects.PASS_WORD, "nobody could prove who picks up"
    assert not thread.of(CallbackRequested)
    thread.take("4711")
    assert thread.sprint.redact
    assert thread.of(PassWordChosen) == [PassWordChosen("4711")]
    assert thread.of(CallbackRequested) == [CallbackRequested("evening", "requested")]
    assert thread.outcome is Outcome.LATER


def test_later_without_a_code_promises_nothing(thread: Conversation) -> None:
    thread.take("1", "later", "as soon as possible", "skip")
    assert thread.said == "That is all right. You can write again at any time."
    assert thread.outcome is Outcome.LATER
    assert not thread.of(CallbackRequested)


def test_who_has_a_code_is_not_asked_for_another(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs, SMS)
    talk.begin("hotline", {**HOTLINE_FACTS, "has_pass_word": "yes"}, Text("hello")).take("1", "later", "1")
    assert talk.of(CallbackRequested) == [CallbackRequested("now", "requested")]


def test_link_is_given_past_the_gate_only(thread: Conversation) -> None:
    thread.take("link")
    assert not thread.of(LinkRequested)
    question = thread.take("1").prompt
    assert thread.take("Link!").of(LinkRequested) == [LinkRequested()]
    assert thread.prompt.options == question.options


def test_words_that_no_question_asked_for_are_kept_and_reported(thread: Conversation) -> None:
    thread.take("1", "they beat my friend yesterday")
    assert Answered("what", "aside", text="they beat my friend yesterday") in thread.events
    assert thread.of(GrievanceRaised) == [GrievanceRaised("what", "unclassified", "S3", ())]
    assert "kept your message" in thread.said


def test_words_without_spaces_are_kept_too(thread: Conversation) -> None:
    thread.take("1", "老板打我们")
    assert any(isinstance(event, Answered) and event.kind == "aside" for event in thread.events)


def test_unasked_picture_is_kept(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs, WRITTEN["whatsapp"]).begin("hotline", HOTLINE_FACTS)
    talk.take("1", Media((MediaRef("m1", "image/png"),)))
    assert Answered("what", "aside", media=("m1",)) in talk.events


# --- global words ---------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["STOP", "stop.", " Stop ", "unsubscribe"])
def test_stop_works_at_any_step(thread: Conversation, word: str) -> None:
    thread.take("1", word)
    assert thread.of(StopRequested) == [StopRequested()]
    assert thread.outcome is Outcome.STOPPED
    assert len(thread.prompt.texts) == 1


def test_stop_as_the_first_word_begins_nothing(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs, SMS).begin("hotline", HOTLINE_FACTS, Text("Stop"))
    assert talk.events == [StopRequested(), Ended(Outcome.STOPPED)]


def test_start_as_the_first_word_lifts_a_stop(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs, SMS).begin("hotline", HOTLINE_FACTS, Text("START"))
    assert talk.of(StartRequested) == [StartRequested()]
    assert talk.outcome is None


def test_stop_inside_a_sentence_is_not_an_order(thread: Conversation) -> None:
    thread.take("1", "7", "please make them stop")
    assert Answered("words", "open", text="please make them stop") in thread.events
    assert not thread.of(StopRequested)


def test_stop_alone_is_an_order_even_where_words_are_asked_for(thread: Conversation) -> None:
    assert thread.take("1", "7", "stop").outcome is Outcome.STOPPED


def test_a_word_that_is_an_answer_is_the_answer(tmp_path: Path, catalogs: Catalogs) -> None:
    steps = (
        "  - id: want\n    ask: choice\n    text: What do you want?\n"
        "    options: [{code: aid, label: Help}, {code: none, label: Nothing}]\n"
        "  - {id: done, end: completed}\n"
    )
    talk = Conversation(small(tmp_path, steps), catalogs, SMS).begin("test", {})
    assert talk.take("HELP").events[0] == Answered("want", "choice", "aid")


def test_help_tells_what_can_be_written_and_asks_again(thread: Conversation) -> None:
    question = thread.take("1").prompt.texts[-1]
    assert thread.take("help").prompt.texts[-1] == question
    assert "STOP" in thread.said


def test_person_is_called_by_word(thread: Conversation) -> None:
    assert thread.take("1", "person").outcome is Outcome.HANDED_OFF


def test_later_makes_a_callback(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs, SMS).begin("callback", CALLBACK_FACTS)
    talk.take("1", "not now", "2")
    assert talk.of(CallbackRequested) == [CallbackRequested("lunch", "later")]


def test_skip_leaves_a_question_out(thread: Conversation) -> None:
    thread.take("1", "skip")
    assert thread.events[-1] == Answered("what", "choice", "skip")


def test_question_that_must_be_answered_cannot_be_skipped(thread: Conversation) -> None:
    thread.take("skip")
    assert not thread.of(Answered)


# --- answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [Text("2"), Text(" Pay! "), Text("SALARY"), Button("pay"), Text("1.")])
def test_number_label_synonym_and_button_all_answer(thread: Conversation, given: Text | Button) -> None:
    expected = "hours" if given == Text("2") else "pay"
    thread.take("1", given)
    assert Answered("what", "choice", expected) in thread.events


def test_bare_no_to_an_open_question_reports_nothing(thread: Conversation) -> None:
    thread.take("1", "7", "no")
    assert thread.events[-1] == Answered("words", "open", "skip", text="no")
    assert not thread.of(GrievanceRaised)


def test_same_category_is_raised_again_only_at_a_higher_level(call: Conversation) -> None:
    call.take(*GATE, "1", "1", "2", "1", "1", "1", "1", "2")
    levels = [e.severity for e in call.events if isinstance(e, GrievanceRaised) and e.category == "coaching"]
    assert levels == ["S3", "S2"]


def test_interview_question_is_not_asked_of_others(library: Library, catalogs: Catalogs) -> None:
    facts = {**CALLBACK_FACTS, "role": "comparison"}
    talk = Conversation(library, catalogs).begin("callback", facts)
    talk.take(*GATE, "1", "1", "2", "1", "2", "2")
    assert "still working there" in talk.said


def test_first_critical_report_leaves_the_questions(call: Conversation) -> None:
    call.take(*GATE, "1", "1", "2", "1", "2", "1", "2", "3")
    assert GrievanceRaised("q2_what", "child_labour", "S1", ()) in call.events
    assert "Do you want to talk with a person now?" in call.said


def test_declining_to_take_part_ends_it(call: Conversation) -> None:
    assert call.take(*GATE, "1", "2").outcome is Outcome.REFUSED


# --- speech ---------------------------------------------------------------------------------


def test_nothing_is_recorded_without_consent(call: Conversation) -> None:
    call.take(*GATE, "1", "1", "2", "1", "3")
    assert call.prompt.expects is Expects.CHOICE
    assert [(option.key, option.code) for option in call.prompt.options] == [
        ("1", "person"),
        ("2", "text"),
        ("4", "skip"),
    ]
    call.take("2")
    assert call.of(TextInvited) == [TextInvited("q1_words")]


def test_text_is_not_offered_where_it_may_not_be_sent(library: Library, catalogs: Catalogs) -> None:
    talk = Conversation(library, catalogs).begin("callback", {**CALLBACK_FACTS, "text_allowed": "no"})
    talk.take(*GATE, "1", "1", "2", "3")
    assert [option.code for option in talk.prompt.options] == ["person", "skip"]


def test_recording_answers_with_consent(call: Conversation) -> None:
    call.take(*GATE, "1", "1", "1", "1", "1", "3")
    assert call.prompt.expects is Expects.OPEN
    call.take(Recording("RE1", 12))
    assert Answered("q1_words", "open", recording="RE1") in call.events


def test_empty_recording_is_no_answer(call: Conversation) -> None:
    call.take(*GATE, "1", "1", "1", "1", "1", "3", Recording("RE1", 0))
    assert not any(isinstance(event, Answered) and event.recording for event in call.events)
    assert call.prompt.expects is Expects.OPEN


# --- what is chosen -------------------------------------------------------------------------


def test_chosen_code_goes_out_once_and_stays_nowhere(thread: Conversation) -> None:
    thread.take("1", "7", "roof leaks", "no", "skip", "no", "1", "yes", "5566")
    assert thread.of(PassWordChosen) == [PassWordChosen("5566")]
    assert thread.sprint.redact
    assert "5566" not in repr(thread.sprint)
    assert b"5566" not in thread.sprint.session.dump()


@pytest.mark.parametrize("entry", ["123", "123456789", "12a4", "hello"])
def test_chosen_code_has_four_to_eight_digits(thread: Conversation, entry: str) -> None:
    thread.take("1", "7", "roof leaks", "no", "skip", "no", "1", "yes", entry)
    assert not thread.of(PassWordChosen)
    assert thread.sprint.redact


def test_callback_at_a_day_part(thread: Conversation) -> None:
    thread.take("1", "7", "roof leaks", "no", "skip", "no", "1", "yes", "5566", "In the evening")
    assert thread.of(CallbackRequested) == [CallbackRequested("evening", "requested")]
    thread.take("yes")
    assert thread.of(ConsentGiven)[-1] == ConsentGiven(ConsentScope.REMIND, True)
    assert thread.outcome is Outcome.COMPLETED


def test_who_wants_no_text_before_calls_says_so_at_any_question(thread: Conversation) -> None:
    thread.take("1", "No text")
    assert thread.of(ConsentGiven) == [ConsentGiven(ConsentScope.REMIND, False)]
    assert not thread.prompt.texts[0].startswith("Sorry")
    assert thread.prompt.expects is Expects.CHOICE


def test_who_wants_no_text_before_calls_says_so_first_and_is_asked_nothing(
    library: Library, catalogs: Catalogs
) -> None:
    talk = Conversation(library, catalogs, SMS).begin("hotline", HOTLINE_FACTS, Text("tanpa SMS!"))
    assert talk.of(ConsentGiven) == [ConsentGiven(ConsentScope.REMIND, False)]
    assert talk.prompt.texts == ("OK. We will send no text before we call.",)
    assert talk.outcome is Outcome.ENDED_EARLY


def test_callback_at_an_exact_time_in_native_digits(thread: Conversation) -> None:
    thread.take("1", "7", "roof leaks", "no", "skip", "no", "1", "yes", "5566", "7", "၂၄.၁၂.၂၀၂၆", "၁၈:၃၀")
    assert thread.of(CallbackRequested) == [CallbackRequested("2026-12-24 18:30", "requested")]


def test_callback_in_the_past_is_asked_again(thread: Conversation) -> None:
    thread.take("1", "7", "roof leaks", "no", "skip", "no", "1", "yes", "5566", "7", "24.12.2025")
    assert thread.prompt.expects is Expects.DATE


# --- the first words ------------------------------------------------------------------------


def test_long_first_message_is_kept_and_reported_before_any_question(
    library: Library, catalogs: Catalogs
) -> None:
    talk = Conversation(library, catalogs, SMS).begin("hotline", HOTLINE_FACTS, Text("they took my passport"))
    assert talk.events == [
        Answered("words", "open", text="they took my passport"),
        GrievanceRaised("words", "unclassified", "S3", ()),
    ]
    assert "took" not in talk.sprint.session.dump().decode()


@pytest.mark.parametrize("greeting", ["hello", "Hi!", "12", "?", "Good morning"])
def test_greeting_is_no_report(library: Library, catalogs: Catalogs, greeting: str) -> None:
    talk = Conversation(library, catalogs, SMS).begin("hotline", HOTLINE_FACTS, Text(greeting))
    assert not talk.of(GrievanceRaised)


# --- languages ------------------------------------------------------------------------------


@pytest.fixture
def two_languages(tmp_path: Path) -> Catalogs:
    folder = tmp_path / "locales" / "id" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "flows.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "One?"\nmsgstr "Satu?"\n\n'
        'msgid "Yes"\nmsgstr "Ya"\n\n'
        '#, fuzzy\nmsgid "No"\nmsgstr "Tidakkah"\n\n'
        'msgctxt "words"\nmsgid "stop"\nmsgstr "berhenti"\n\n'
        'msgctxt "words"\nmsgid "language"\nmsgstr "bahasa"\n',
        encoding="utf-8",
    )
    return Catalogs.open(tmp_path / "locales")


ONE = "  - {id: one, ask: yes_no, text: One?}\n  - {id: two, ask: yes_no, text: Two?}\n  - {id: done, end: completed}\n"


def test_conversation_speaks_the_workers_language_and_english_where_it_must(
    tmp_path: Path, two_languages: Catalogs
) -> None:
    talk = Conversation(small(tmp_path, ONE), two_languages, SMS).begin("test", {"language": "id-ID"})
    assert talk.prompt.language == "id"
    assert talk.prompt.texts == ("Satu?",)
    assert [option.label for option in talk.prompt.options[:2]] == ["Ya", "No"]
    assert talk.take("ya").prompt.texts == ("Two?",)


def test_answer_in_english_is_understood_in_any_language(tmp_path: Path, two_languages: Catalogs) -> None:
    talk = Conversation(small(tmp_path, ONE), two_languages, SMS).begin("test", {"language": "id"})
    assert talk.take("Yes").events == [Answered("one", "yes_no", "yes")]


def test_language_can_be_changed_at_any_step(tmp_path: Path, two_languages: Catalogs) -> None:
    talk = Conversation(small(tmp_path, ONE), two_languages, SMS).begin("test", {})
    talk.take("language")
    assert [option.label for option in talk.prompt.options] == ["English", "Bahasa Indonesia"]
    talk.take("2")
    assert talk.of(LanguageChosen) == [LanguageChosen("id")]
    assert talk.prompt.texts == ("Satu?",)


@pytest.mark.parametrize("name", ["Bahasa Indonesia", "indonesian", "id"])
def test_language_is_known_by_its_names(tmp_path: Path, two_languages: Catalogs, name: str) -> None:
    talk = Conversation(small(tmp_path, ONE), two_languages, SMS).begin("test", {})
    assert talk.take("language", name).of(LanguageChosen) == [LanguageChosen("id")]


def test_more_languages_than_keys_are_heard_page_by_page(tmp_path: Path) -> None:
    many = Catalogs(None, ("bn", "fil", "hi", "id", "km", "ms", "my", "ne", "th", "vi"))
    steps = "  - {id: tongue, ask: language, text: Which?}\n" + ONE
    talk = Conversation(small(tmp_path, steps), many).begin("test", {})
    first = [option.code for option in talk.prompt.options]
    second = [option.code for option in talk.take("8").prompt.options]
    assert (first[0], first[-1], len(first)) == ("en", "more", 8)
    assert second == ["my", "ne", "th", "vi", "more"]
    assert [option.code for option in talk.take("5").prompt.options] == first
    talk.take("8", "3")
    assert talk.of(LanguageChosen) == [LanguageChosen("th")]
    assert talk.prompt.texts[0] == "One?"


def test_stop_is_understood_in_every_served_language(tmp_path: Path, two_languages: Catalogs) -> None:
    talk = Conversation(small(tmp_path, ONE), two_languages, SMS).begin("test", {})
    assert talk.take("Berhenti!").outcome is Outcome.STOPPED


def test_unserved_language_is_answered_in_english(tmp_path: Path, two_languages: Catalogs) -> None:
    talk = Conversation(small(tmp_path, ONE), two_languages, SMS).begin("test", {"language": "ta"})
    assert talk.prompt.language == "en"


# --- flows that run flows, and revisions ----------------------------------------------------


def test_flow_runs_another_and_comes_back(tmp_path: Path, catalogs: Catalogs) -> None:
    part = flow_text("inner", "  - {id: deep, ask: yes_no, text: Deep?}\n", "part: true\n")
    steps = (
        "  - {id: go, run: inner}\n"
        "  - {id: back, when: {deep: 'yes'}, say: Back., end: completed}\n"
        "  - {id: other, end: refused}\n"
    )
    talk = Conversation(small(tmp_path, steps, inner=part), catalogs, SMS).begin("test", {})
    assert talk.sprint.session.flow == "inner"
    talk.take("yes")
    assert talk.said == "Back."
    assert talk.outcome is Outcome.COMPLETED


def test_conversation_stays_with_the_revision_it_began_with(tmp_path: Path, catalogs: Catalogs) -> None:
    library = small(tmp_path, ONE)
    talk = Conversation(library, catalogs, SMS).begin("test", {})
    changed = flow_text(
        "test", "  - {id: other, ask: yes_no, text: Other?}\n  - {id: done, end: completed}\n"
    )
    shelf(tmp_path / "flows", test=changed)
    assert library.reload() == []
    assert talk.take("yes").prompt.texts == ("Two?",)
    assert Conversation(library, catalogs, SMS).begin("test", {}).prompt.texts == ("Other?",)


def test_unknown_revision_is_an_engine_error(thread: Conversation) -> None:
    lost = replace(thread.sprint, session=replace(thread.sprint.session, revision="0" * 12))
    thread.sprints.append(lost)
    with pytest.raises(EngineError, match="not kept anywhere"):
        thread.take("1")


def test_flow_that_never_waits_is_stopped(tmp_path: Path, catalogs: Catalogs) -> None:
    library = small(
        tmp_path, "  - {id: one, say: Round., next: two}\n  - {id: two, say: And round., next: one}\n"
    )
    with pytest.raises(EngineError, match="does not wait"):
        Conversation(library, catalogs, SMS).begin("test", {})


def test_naive_time_is_refused(library: Library, catalogs: Catalogs) -> None:
    with pytest.raises(ValueError, match="naive"):
        Context(
            now=datetime(2026, 1, 1),  # noqa: DTZ001 - that is what is tested
            new_id=str,
            library=library,
            catalogs=catalogs,
            capabilities=SMS,
            check_pass_word=bool,
        )
