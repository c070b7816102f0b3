"""Whatever a worker does, in whatever order: the engine answers, keeps no secret, and never stumbles."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.flow.catalog import Catalogs
from bot.flow.engine import is_unfinished
from bot.flow.events import Answered, Ended
from bot.flow.library import Library
from bot.flow.trial import capabilities_of
from bot.messages import (
    Button,
    Expects,
    HangUp,
    Input,
    Keys,
    Media,
    MediaRef,
    Recording,
    Silence,
    Text,
    Timeout,
    Transferred,
)
from tests.flow.conversation import NOW, PASS_WORD, Conversation

SECRET = "Mawar Kusuma lives in block 7"
WORDS = [
    "yes",
    "no",
    "stop",
    "help",
    "language",
    "later",
    "link",
    "person",
    "skip",
    "hide",
    "*",
    "",
    "  ",
    "👍",
    SECRET,
]

keys = st.one_of(st.sampled_from("0123456789*#"), st.just(PASS_WORD), st.text("0123456789*#", max_size=9))
texts = st.one_of(st.sampled_from([*WORDS, PASS_WORD, "1", "2", "24.12.2026", "18:30"]), st.text(max_size=40))
inputs: st.SearchStrategy[Input] = st.one_of(
    keys.map(Keys),
    texts.map(Text),
    st.sampled_from(["yes", "no", "later", "pay", "nothing"]).map(Button),
    st.just(Media((MediaRef("media-1", "image/png"),), "caption")),
    st.integers(0, 30).map(lambda seconds: Recording("RE1", seconds)),
    st.just(Silence()),
    st.sampled_from(["remind", "expire"]).map(lambda kind: Timeout("0" * 32, kind)),
    st.sampled_from(Transferred),
)
facts = st.fixed_dictionaries(
    {},
    optional={
        "trigger": st.sampled_from(["callback", "returned", "missed", "call", "message"]),
        "kind": st.sampled_from(["audit", "requested", "missed"]),
        "continues": st.sampled_from(["yes", "no"]),
        "reachable": st.sampled_from(["yes", "no"]),
        "callback_medium": st.sampled_from(["voice", "text"]),
        "country": st.sampled_from(["MY", "ID", "??"]),
        "role": st.sampled_from(["interviewed", "comparison"]),
        "has_pass_word": st.sampled_from(["yes", "no"]),
        "text_allowed": st.sampled_from(["yes", "no"]),
        "language_known": st.sampled_from(["yes", "no"]),
        "round": st.sampled_from(["1", "2"]),
        "language": st.sampled_from(["en", "id", "my", "zh-Hans", "xx", "not a language"]),
    },
)
# Random inputs rarely get far, so half of the sequences begin with a way through the gate.
openings = st.sampled_from(
    [
        *([], ["1", PASS_WORD, "1"], ["1", PASS_WORD, "1", "1", "1"], ["1", "1"], ["yes"]),
        *(["1", "0"], ["1", PASS_WORD, "1", "0"]),
    ]
)
peoples = st.sampled_from([frozenset[str](), frozenset(("en", "id", "my"))])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flow=st.sampled_from(["callback", "hotline"]),
    channel=st.sampled_from(["voice", "sms", "whatsapp"]),
    known=facts,
    opening=openings,
    given_inputs=st.lists(inputs, max_size=40),
    last=st.sampled_from([HangUp(), None]),
    people=peoples,
)
def test_engine_survives_anything_and_keeps_no_secret(
    library: Library,
    catalogs: Catalogs,
    flow: str,
    channel: str,
    known: dict[str, str],
    opening: list[str],
    given_inputs: list[Input],
    last: HangUp | None,
    people: frozenset[str],
) -> None:
    talk = Conversation(library, catalogs, capabilities_of(channel), NOW, people).begin(flow, known)
    for item in [*opening, *given_inputs, *([last] if last else [])]:
        talk.take(item)
        sprint = talk.sprint
        assert sprint.ended == sprint.session.ended
        assert (sprint.prompt.expects is Expects.NOTHING) == (sprint.ended or _is_stale(item))
        assert bool(sprint.timers) != (sprint.ended or _is_stale(item))
        kept = sprint.session.dump().decode()
        for secret in (PASS_WORD, SECRET):
            assert secret not in kept
            assert secret not in repr(sprint)
    assert len(talk.of(Ended)) <= 1
    if last is not None:
        assert talk.outcome is not None
    assert all(PASS_WORD not in (event.code or "") for event in talk.events if isinstance(event, Answered))


def _is_stale(item: Input | str) -> bool:
    return isinstance(item, Timeout)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(st.sampled_from("1234"), min_size=80, max_size=80),
    role=st.sampled_from(["interviewed", "comparison"]),
)
def test_every_call_that_is_answered_comes_to_an_end(
    library: Library, catalogs: Catalogs, answers: list[str], role: str
) -> None:
    known = {"trigger": "callback", "role": role, "has_pass_word": "yes"}
    talk = Conversation(library, catalogs).begin("callback", known).take("1", PASS_WORD, "1")
    talk.take(*answers)
    assert talk.outcome is not None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=200))
def test_any_first_message_is_answered(library: Library, catalogs: Catalogs, text: str) -> None:
    talk = Conversation(library, catalogs, capabilities_of("sms"))
    talk.begin("hotline", {"language_known": "yes"}, Text(text))
    assert talk.prompt.texts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    channels=st.lists(st.sampled_from(["voice", "sms", "whatsapp"]), min_size=2, max_size=4),
    given_inputs=st.lists(inputs, max_size=12),
    proven=st.booleans(),
    people=peoples,
)
def test_a_talk_is_carried_anywhere_and_loses_nothing(
    library: Library,
    catalogs: Catalogs,
    channels: list[str],
    given_inputs: list[Input],
    proven: bool,
    people: frozenset[str],
) -> None:
    first, *others = channels
    talk = Conversation(library, catalogs, capabilities_of(first), NOW, people)
    talk.begin("hotline", {"language_known": "yes"}).take("1", "1", "1", "1")
    for channel in others:
        if talk.sprint.session.ended and not is_unfinished(talk.sprint.session):
            return
        known = dict(talk.sprint.session.raised)
        talk.move(capabilities_of(channel), proven=proven)
        assert talk.prompt.expects is Expects.YES_NO
        assert not talk.sprint.session.safe
        assert dict(talk.sprint.session.raised) == known
        talk.take("1", *([] if proven else ["1"]), *given_inputs)
