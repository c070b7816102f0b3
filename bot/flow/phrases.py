"""What the engine itself says, in English.

The strings are found by Babel through the names ``N_`` and ``pgettext`` and are translated in the
same catalog as the texts of the flows. Not one of them may tell a third party what the call is
about, because many can be heard before the pass-word.
"""

from __future__ import annotations

from typing import Final

from bot.flow.model import Ask, Choice, Kind, Wording


def N_(text: str) -> str:  # noqa: N802 - Babel's own name for a text that is marked and not yet translated
    """Mark ``text`` for the catalog and return it unchanged."""
    return text


def pgettext(context: str, text: str) -> str:  # noqa: ARG001 - the context is read by Babel only
    """Mark ``text`` for the catalog under a context and return it unchanged."""
    return text


def _both(text: str) -> Wording:
    return Wording(text, text)


YES: Final = N_("Yes")
NO: Final = N_("No")
NOT_SURE: Final = N_("Not sure")
SKIP: Final = N_("Skip")

# TRANSLATORS: other ways in which people write the answer, parted by commas; not a translation word by word
YES_WORDS: Final = pgettext("words", "yes, y, yeah, yep, ok, okay, sure, 👍")
# TRANSLATORS: other ways in which people write the answer, parted by commas; not a translation word by word
NO_WORDS: Final = pgettext("words", "no, n, nope, not, 👎")
# TRANSLATORS: other ways in which people write the answer, parted by commas; not a translation word by word
NOT_SURE_WORDS: Final = pgettext("words", "not sure, maybe, do not know, don't know, dont know, unsure")

PRESS_YES_NO: Final = {
    (True, True): N_("Press 1 for yes, 2 for no, 3 if you are not sure, 4 to skip."),
    (False, True): N_("Press 1 for yes, 2 for no, 4 to skip."),
    (True, False): N_("Press 1 for yes, 2 for no, 3 if you are not sure."),
    (False, False): N_("Press 1 for yes, 2 for no."),
}
"""By (not sure is offered, skipping is offered)."""

PRESS: Final = {
    "1": N_("Press 1."),
    "2": N_("Press 2."),
    "3": N_("Press 3."),
    "4": N_("Press 4."),
    "5": N_("Press 5."),
    "6": N_("Press 6."),
    "7": N_("Press 7."),
    "8": N_("Press 8."),
}
TO_SKIP: Final = N_("To skip this question, press 8.")

ENTER_NUMBER: Final = N_("Enter the number with the keys, then press the hash key.")
ENTER_DATE: Final = N_(
    "Enter two digits for the day, two for the month and four for the year. Then press the hash key."
)
ENTER_TIME: Final = N_(
    "Enter the time as four digits, like 1 8 3 0 for half past six in the evening. Then press hash."
)
ENTER_PASS_WORD: Final = N_("Enter 4 to 8 digits, then press the hash key.")
SPEAK: Final = N_("Please speak after the tone. Press the hash key when you have finished.")
# TRANSLATORS: keep the example as it is
WRITE_DATE: Final = N_("Please write the day, month and year, like 05.03.2026.")
# TRANSLATORS: keep the example as it is
WRITE_TIME: Final = N_("Please write the time, like 18:30.")
WRITE_PASS_WORD: Final = N_("Please write 4 to 8 digits.")

NOT_UNDERSTOOD: Final = N_("Sorry, we did not understand that.")
KEPT: Final = N_("Thank you. We have kept your message. Please also answer this question.")
GOODBYE: Final = N_("Thank you. Goodbye.")
PLEASE_FIRST: Final = N_("Please answer this question first.")
WRONG_TIME: Final = N_("Sorry, wrong time. We will try later. Goodbye.")
# TRANSLATORS: the answer to a quick exit: a person who looks at the screen must learn nothing from it
HIDDEN: Final = N_("OK.")
STOPPED: Final = N_("OK. You will get no more messages or calls from us.")
STARTED: Final = N_("OK. You will get messages from us again.")
HELP: Final = N_(
    "You can write these words at any time: STOP for no more messages, LANGUAGE for another language, "
    "PERSON to talk with a person, LATER for a better time, SKIP to leave out a question, HIDE to close, "
    "LINK to go on from another phone or app."
)
NEUTRAL_HELP: Final = N_(
    "You can write STOP for no more messages, LANGUAGE for another language, or LATER for a better time."
)
PERSON_VOICE: Final = N_("Thank you. A person will call you as soon as possible. Goodbye.")
PERSON_UNREACHABLE: Final = N_("That is all right. You can call again at any time. Goodbye.")
PERSON_TEXT: Final = N_("Thank you. A person will answer you here as soon as possible.")
PERSON_WILL_CALL: Final = N_("Thank you. A person will call you about this.")
TEXT_WILL_COME: Final = N_("Thank you. You will get a text message. You can write your answer there.")
CALL_LATER: Final = N_("Thank you. We will call at that time. Goodbye.")
WRITE_LATER: Final = N_("Thank you. We will write to you at that time.")
# TRANSLATORS: stands above a day and an hour; written to a telephone that other people may look at
WILL_CALL: Final = N_("We will call you at about this time:")
# TRANSLATORS: LATER and NO TEXT are the words for that in your language, see "later" and "quiet" in flows/words.yaml
OTHER_TIME_OR_NONE: Final = N_(
    "Write LATER for another time. Write NO TEXT if you want no text before we call."
)
NO_TEXT_BEFORE_CALLS: Final = N_("OK. We will send no text before we call.")
WRITE_ANY_TIME: Final = N_("That is all right. You can write again at any time.")

PLEASE_WAIT: Final = N_("Please wait.")
LEAVE_MESSAGE: Final = N_("To leave a message instead, press 1.")
POSITIONS: Final = (
    N_("You are the first in the line."),
    N_("You are number two in the line."),
    N_("You are number three in the line."),
    N_("You are number four in the line."),
    N_("You are number five in the line."),
)
MANY_WAIT: Final = N_("More than five callers wait before you.")
# TRANSLATORS: said to the person of ours whose telephone rings
CALLER_WAITS: Final = N_("A caller waits. Press 1 to take the call.")
# TRANSLATORS: said to a person of ours whose telephone rings, because a worker is to be called back
CALLBACK_DUE: Final = N_("A callback is due. Press 1, and we call.")
# TRANSLATORS: said to a person of ours who waited while a worker was called back
NOT_REACHED: Final = N_("There was no talk this time. Thank you.")
# TRANSLATORS: said to a person of ours who was not the first to take the call
CALL_TAKEN: Final = N_("This call was taken already. Thank you.")
# TRANSLATORS: said to a person of ours
CALLER_GONE: Final = N_("The caller has gone. Thank you.")

# TRANSLATORS: the subject of every e-mail that we send: a person who looks at the screen must learn nothing from it
MAIL_SUBJECT: Final = N_("Your message")
# TRANSLATORS: stands at the top of every e-mail that we send
WRITE_ABOVE: Final = N_("Please write your answer above this line")

LINK_CODE: Final = N_(
    "To go on from another phone or app, write this code to us there, or call us and enter it. "
    "It works once, for 30 minutes. Delete it here afterwards."
)
NO_MORE_CODES: Final = N_("Please use the code that you have, or ask for a new one tomorrow.")
# TRANSLATORS: the answer to a code from elsewhere: a person who looks at the screen must learn nothing from it
LINKED: Final = N_("Thank you. The code is right.")
# TRANSLATORS: the same, where the talk itself goes on from now on
GOES_ON_HERE: Final = N_("Thank you. We go on here.")

COVER_FIRST: Final = N_("Do you use the bus to go shopping?")
COVER_SECOND: Final = N_("Do you buy vegetables at the market?")
CALL_AGAIN: Final = N_("May we call you again?")
WRITE_AGAIN: Final = N_("May we contact you again?")
GOOD_TIME: Final = N_("Hello. Is this a good time?")
SAFE_TO_TALK: Final = N_("Is it safe to talk now, with the speaker off and nobody near you?")
SAFE_TO_WRITE: Final = N_("Is it safe to write here now, and nobody else can see your phone?")
MAY_RECORD: Final = N_(
    "May we record your voice when you answer in your own words? You can say no and still go on."
)
CODE_BY_VOICE: Final = N_(
    "Please choose a code that only you know. We will ask for it when we call, so that we talk with nobody else."
)
CODE_IN_WRITING: Final = N_(
    "Please choose a code that only you know. We will ask for it when we call. Delete it here afterwards."
)
WHEN_IS_BETTER: Final = N_("When is a better time?")
AS_SOON_AS_POSSIBLE: Final = N_("As soon as possible")
MORNING: Final = N_("In the morning")
LUNCH: Final = N_("At lunch time")
AFTERNOON: Final = N_("In the afternoon")
EVENING: Final = N_("In the evening")
NIGHT: Final = N_("At night")
WEEKEND: Final = N_("At the weekend")
# TRANSLATORS: the example says a day of the week and an hour of the evening, as people write them
WRITE_WISH: Final = N_("Or write a day and a time, like: Sunday after 8.")
TIME_RIGHT: Final = N_("Is this time right?")
WHICH_LANGUAGE: Final = N_("Which language do you want?")
OTHER_LANGUAGES: Final = N_("Other languages")
HOW_TO_GO_ON: Final = N_("How would you like to go on?")
WITH_PERSON: Final = N_("Talk with a person")
WITH_LATER: Final = N_("At a later time")
WITH_SAME: Final = N_("Go on now")
HOW_TO_ANSWER: Final = N_("We do not record your voice. How would you like to answer?")
BY_PERSON: Final = N_("A person calls you")
BY_TEXT: Final = N_("You write it in a text message")
BY_SKIPPING: Final = N_("Skip this question")

DAY_PARTS: Final = (
    Choice("morning", MORNING),
    Choice("lunch", LUNCH),
    Choice("afternoon", AFTERNOON),
    Choice("evening", EVENING),
    Choice("night", NIGHT),
    Choice("weekend", WEEKEND),
)


def _yes_no(wording: Wording) -> Ask:
    return Ask(Kind.YES_NO, wording, not_sure=False, skip=False)


def _choice(text: str, *choices: Choice, wish: bool = False) -> Ask:
    return Ask(Kind.CHOICE, _both(text), choices=choices, skip=False, wish=wish)


OWN_QUESTIONS: Final = {
    "cover_first": _yes_no(_both(COVER_FIRST)),
    "cover_second": _yes_no(_both(COVER_SECOND)),
    "early": _yes_no(Wording(CALL_AGAIN, WRITE_AGAIN)),
    "good_time": _yes_no(_both(GOOD_TIME)),
    "safe_here": _yes_no(Wording(SAFE_TO_TALK, SAFE_TO_WRITE)),
    "may_record": _yes_no(_both(MAY_RECORD)),
    "later": _choice(WHEN_IS_BETTER, *DAY_PARTS, wish=True),
    "later_or_now": _choice(WHEN_IS_BETTER, Choice("now", AS_SOON_AS_POSSIBLE), *DAY_PARTS, wish=True),
    "confirm_time": _yes_no(_both(TIME_RIGHT)),
    "code": Ask(Kind.PASS_WORD, Wording(CODE_BY_VOICE, CODE_IN_WRITING), choose=True),
    "language": Ask(Kind.LANGUAGE, _both(WHICH_LANGUAGE), skip=False),
    "offer": _choice(
        HOW_TO_GO_ON,
        Choice("person", WITH_PERSON, key="1"),
        Choice("later", WITH_LATER, key="2"),
        Choice("go_on", WITH_SAME, key="3"),
    ),
    "unrecorded": _choice(
        HOW_TO_ANSWER,
        Choice("person", BY_PERSON, key="1"),
        Choice("text", BY_TEXT, key="2"),
        Choice("skip", BY_SKIPPING, key="4"),
    ),
    "unrecorded_no_text": _choice(
        HOW_TO_ANSWER,
        Choice("person", BY_PERSON, key="1"),
        Choice("skip", BY_SKIPPING, key="4"),
    ),
    "unrecorded_live": _choice(
        HOW_TO_ANSWER,
        Choice("person", WITH_PERSON, key="1"),
        Choice("text", BY_TEXT, key="2"),
        Choice("skip", BY_SKIPPING, key="4"),
    ),
    "unrecorded_live_no_text": _choice(
        HOW_TO_ANSWER,
        Choice("person", WITH_PERSON, key="1"),
        Choice("skip", BY_SKIPPING, key="4"),
    ),
}
"""The questions that the engine asks by itself, by the name of the session's mode."""

BEFORE_GATE: Final = (
    *(YES, NO, NOT_SURE, SKIP),
    *PRESS_YES_NO.values(),
    *PRESS.values(),
    *(TO_SKIP, ENTER_PASS_WORD, WRITE_PASS_WORD, NOT_UNDERSTOOD, PLEASE_FIRST, GOODBYE, WRONG_TIME, HIDDEN),
    *(MAIL_SUBJECT, WRITE_ABOVE, STOPPED, STARTED, NEUTRAL_HELP, CALL_LATER, WRITE_LATER, WRITE_ANY_TIME),
    *(PERSON_UNREACHABLE, COVER_FIRST, COVER_SECOND, GOOD_TIME),
    *(WHEN_IS_BETTER, AS_SOON_AS_POSSIBLE, MORNING, LUNCH, AFTERNOON, EVENING, NIGHT, WEEKEND),
    *(WRITE_WISH, TIME_RIGHT, WILL_CALL, OTHER_TIME_OR_NONE, NO_TEXT_BEFORE_CALLS),
    *(WHICH_LANGUAGE, OTHER_LANGUAGES, LINKED, GOES_ON_HERE),
)
"""Every own text that can be met before the worker has said that it is safe to talk."""

BEFORE_SAFETY: Final = (SAFE_TO_TALK, SAFE_TO_WRITE, CODE_BY_VOICE, CODE_IN_WRITING)
"""Own texts of that kind that are only met by somebody who has proved who she is, or who came to us herself."""

SPOKEN: Final = (
    *PRESS_YES_NO.values(),
    *PRESS.values(),
    *(TO_SKIP, ENTER_NUMBER, ENTER_DATE, ENTER_TIME, ENTER_PASS_WORD, SPEAK),
    *(
        NOT_UNDERSTOOD,
        PLEASE_FIRST,
        GOODBYE,
        WRONG_TIME,
        PERSON_VOICE,
        PERSON_UNREACHABLE,
        PERSON_WILL_CALL,
        TEXT_WILL_COME,
        CALL_LATER,
    ),
    *(
        COVER_FIRST,
        COVER_SECOND,
        GOOD_TIME,
        SAFE_TO_TALK,
        MAY_RECORD,
        CODE_BY_VOICE,
        CALL_AGAIN,
        WHEN_IS_BETTER,
        WHICH_LANGUAGE,
        OTHER_LANGUAGES,
        HOW_TO_GO_ON,
        HOW_TO_ANSWER,
    ),
    *(choice.label for ask in OWN_QUESTIONS.values() for choice in ask.choices),
    *(PLEASE_WAIT, LEAVE_MESSAGE, *POSITIONS, MANY_WAIT),
    *(CALLER_WAITS, CALLBACK_DUE, CALL_TAKEN, CALLER_GONE, NOT_REACHED),
)
"""Every own text that can be heard on the telephone."""

WRITTEN: Final = (
    *(YES, NO, NOT_SURE, SKIP, WRITE_DATE, WRITE_TIME, WRITE_PASS_WORD, HIDDEN, STOPPED, STARTED),
    *(HELP, NEUTRAL_HELP, KEPT, PERSON_TEXT, WRITE_AGAIN, MAIL_SUBJECT, WRITE_ABOVE),
    *(WRITE_LATER, WRITE_ANY_TIME, SAFE_TO_WRITE, CODE_IN_WRITING),
    *(LINK_CODE, NO_MORE_CODES, LINKED, GOES_ON_HERE, WRITE_WISH, TIME_RIGHT),
    *(WILL_CALL, OTHER_TIME_OR_NONE, NO_TEXT_BEFORE_CALLS),
)
"""Own texts that are only ever written."""

WORD_LISTS: Final = (YES_WORDS, NO_WORDS, NOT_SURE_WORDS)


def position(n: int) -> str:
    """What a caller hears of her place in the line, in English. ``n`` counts from 1."""
    return POSITIONS[n - 1] if n <= len(POSITIONS) else MANY_WAIT
