"""TwiML, read strictly: names are case-sensitive, and what Twilio does not know is an error.

:func:`parse_voice` turns a document into a tuple of verbs, :func:`parse_messaging` into replies. The debugger
codes are Twilio's: 12100 the document is no XML, 12200 it breaks the schema, 135xx to 137xx a verb is wrong.
Attributes and defaults follow https://www.twilio.com/docs/voice/twiml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

# The documents come from the customer under test; size and document type are checked before parsing.
from xml.etree import ElementTree

from simulator.errors import TwimlError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LONGEST_DOCUMENT = 64 * 1024

# Locales for which <Say> has a voice, https://www.twilio.com/docs/voice/twiml/say/text-speech. Twilio wants the
# region, save for a few old short forms. Burmese, Khmer, Nepali, Lao, Sinhala and Urdu among others have no voice,
# and Bengali only the Indian one, so those texts must be recordings that <Play> fetches.
_LOCALES = """
    af-ZA ar-AE ar-XA arb bg-BG bn-IN ca-ES cmn-CN cmn-TW cs-CZ cy-GB da-DK de-AT de-DE el-GR en-AU en-GB en-GB-WLS
    en-IE en-IN en-NZ en-US en-ZA es-ES es-MX es-US et-EE eu-ES fi-FI fil-PH fr-BE fr-CA fr-FR gl-ES gu-IN he-IL hi-IN
    hr-HR hu-HU id-ID is-IS it-IT ja-JP kn-IN ko-KR lt-LT lv-LV ml-IN mr-IN ms-MY nb-NO nl-BE nl-NL pa-IN pl-PL pt-BR
    pt-PT ro-RO ru-RU sk-SK sl-SI sr-RS sv-SE ta-IN te-IN th-TH tr-TR uk-UA vi-VN yue-HK zh-CN zh-HK zh-TW
    de en en-gb es fr it
"""
SPOKEN_LOCALES = frozenset(_LOCALES.split())
VOICE = re.compile(r"man|woman|alice|basic|(Polly|Google|ElevenLabs)\.[\w.-]+")
VOICE_LANGUAGE = re.compile(r"Google\.([a-z]{2,3}(?:-[A-Z]{2})?)-")
SSML = frozenset({"break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"})

# Known to Twilio and not yet carried out here: they fail by name, so that nobody takes it for success.
LATER_VERBS = frozenset(
    {"Enqueue", "Leave", "Connect", "Start", "Stop", "Refer", "Pay", "Prompt", "Sms", "Message"}
)


@dataclass(frozen=True)
class Say:
    """Speak a text; ``loop`` 0 means until the call ends."""

    text: str
    language: str
    voice: str
    loop: int


@dataclass(frozen=True)
class Play:
    """Play a sound file, or dial ``digits`` tones; ``loop`` 0 means until the call ends."""

    url: str
    digits: str
    loop: int


@dataclass(frozen=True)
class Pause:
    """Wait in silence for ``length`` seconds."""

    length: int


@dataclass(frozen=True)
class Gather:
    """Collect keys or speech; ``num_digits`` 0 means any number of them."""

    prompts: tuple[Say | Play | Pause, ...]
    input: tuple[str, ...]
    action: str | None
    method: str
    timeout: float
    finish_on_key: str
    num_digits: int
    action_on_empty: bool
    barge_in: bool
    language: str


@dataclass(frozen=True)
class Record:
    """Record what is said; ``timeout`` is the silence in seconds that ends it."""

    action: str | None
    method: str
    timeout: float
    finish_on_key: str
    max_length: float
    play_beep: bool
    trim: bool
    status_callback: str | None
    status_method: str
    status_events: tuple[str, ...]


@dataclass(frozen=True)
class Redirect:
    """Go on with another document."""

    url: str
    method: str


@dataclass(frozen=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True)
class Reject:
    """Refuse an incoming call before it is answered."""

    reason: str


@dataclass(frozen=True)
class Number:
    """A telephone to ring; ``url`` is a document that only its owner hears before both are joined."""

    number: str
    url: str | None
    method: str
    send_digits: str
    status_callback: str | None
    status_method: str
    status_events: tuple[str, ...]


@dataclass(frozen=True)
class Conference:
    """A room to enter. ``wait_url`` None means the default music, an empty text silence; ``most`` people fit in."""

    name: str
    start_on_enter: bool = True
    end_on_exit: bool = False
    muted: bool = False
    beep: str = "true"
    wait_url: str | None = None
    wait_method: str = "POST"
    most: int = 250
    label: str = ""
    status_callback: str | None = None
    status_method: str = "POST"
    status_events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dial:
    """Join the caller with somebody: ``targets`` are numbers that ring at once, or one room. Times in seconds."""

    targets: tuple[Number, ...] | Conference
    action: str | None
    method: str
    timeout: int
    time_limit: int
    caller_id: str
    answer_on_bridge: bool
    hangup_on_star: bool


Verb = Say | Play | Pause | Gather | Record | Redirect | Hangup | Reject | Dial


@dataclass(frozen=True)
class Reply:
    """A message that answers an incoming one."""

    body: str
    to: str | None
    status_callback: str | None


def parse_voice(text: str) -> tuple[Verb, ...]:
    """The verbs of a voice document in order; :class:`TwimlError` if it breaks a rule."""
    return tuple(_parse_verb(node) for node in _response(text))


def parse_messaging(text: str) -> tuple[Reply, ...]:
    """The replies of a messaging document; :class:`TwimlError` if it breaks a rule."""
    return tuple(_parse_reply(node) for node in _response(text))


def has_voice(language: str) -> bool:
    """Whether ``<Say>`` can speak the BCP-47 ``language``."""
    return language in SPOKEN_LOCALES


def _response(text: str) -> list[Element]:
    if len(text.encode()) > LONGEST_DOCUMENT:
        raise TwimlError(11750, "the document is longer than 64 kB")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise TwimlError(12100, "a document type is not allowed")
    try:
        root = ElementTree.fromstring(text.strip())  # noqa: S314 - small, and entities are refused above
    except ElementTree.ParseError as error:
        raise TwimlError(12100, f"not well-formed at line {error.position[0]}") from error
    if root.tag != "Response":
        raise TwimlError(12100, "the root must be <Response>")
    _attributes(root, frozenset())
    _no_text(root)
    return list(root)


def _parse_verb(node: Element) -> Verb:
    reader = _VERBS.get(node.tag)
    if reader is not None:
        return reader(node)
    if node.tag in LATER_VERBS:
        raise TwimlError(12200, f"<{node.tag}> is not simulated here")
    raise TwimlError(12200, f"<{node.tag}> is not a verb")


def _parse_say(node: Element) -> Say:
    given = _attributes(node, frozenset({"voice", "language", "loop"}))
    for child in node.iter():
        if child is not node and child.tag not in SSML:
            raise TwimlError(12200, f"<{child.tag}> is not allowed in <Say>")
    voice = given.get("voice", "")
    if voice and not VOICE.fullmatch(voice):
        raise TwimlError(13512, "<Say> has an unknown voice")
    language = given.get("language", "")
    named = VOICE_LANGUAGE.match(voice)
    if named and language and named[1].split("-")[0] != language.split("-")[0]:
        raise TwimlError(13520, "<Say> has a voice of another language")
    language = language or (named[1] if named else "en-US")
    if not has_voice(language):
        raise TwimlError(13511, f"<Say> has no voice for {language}")
    text = " ".join("".join(node.itertext()).split())
    return Say(text, language, voice, _whole(given, "loop", 1, 13510))


def _parse_play(node: Element) -> Play:
    given = _attributes(node, frozenset({"loop", "digits"}))
    _no_children(node)
    url = (node.text or "").strip()
    digits = given.get("digits", "")
    if not url and not digits:
        raise TwimlError(13420, "<Play> names no file")
    if not set(digits) <= set("0123456789*#wW"):
        raise TwimlError(13420, "<Play> has wrong digits")
    return Play(url, digits, _whole(given, "loop", 1, 13410))


def _parse_pause(node: Element) -> Pause:
    given = _attributes(node, frozenset({"length"}))
    _empty(node)
    return Pause(_whole(given, "length", 1, 13910))


_GATHER_ATTRIBUTES = """
    input action method timeout finishOnKey numDigits partialResultCallback
    partialResultCallbackMethod language hints bargeIn profanityFilter speechTimeout speechModel
    enhanced actionOnEmptyResult debug
"""
GATHER_ATTRIBUTES = frozenset(_GATHER_ATTRIBUTES.split())


def _parse_gather(node: Element) -> Gather:
    given = _attributes(node, GATHER_ATTRIBUTES)
    _no_text(node)
    prompts = tuple(_parse_prompt(child) for child in node)
    modes = tuple(given.get("input", "dtmf").split())
    if not modes or not set(modes) <= {"dtmf", "speech"}:
        raise TwimlError(13315, "<Gather> has a wrong input")
    return Gather(
        prompts=prompts,
        input=modes,
        action=given.get("action"),
        method=_method(given, "method", 13312),
        timeout=5.0 if given.get("timeout") == "auto" else float(_whole(given, "timeout", 5, 13311)),
        finish_on_key=_finish_keys(given, "#", 13310),
        num_digits=_whole(given, "numDigits", 0, 13314),
        action_on_empty=_truth(given, "actionOnEmptyResult", False),
        barge_in=_truth(given, "bargeIn", True),
        language=given.get("language", "en-US"),
    )


def _parse_prompt(node: Element) -> Say | Play | Pause:
    reader = _PROMPTS.get(node.tag)
    if reader is None:
        raise TwimlError(12200, f"<{node.tag}> is not allowed in <Gather>")
    return reader(node)


_RECORD_ATTRIBUTES = """
    action method timeout finishOnKey maxLength playBeep trim recordingStatusCallback
    recordingStatusCallbackMethod recordingStatusCallbackEvent transcribe transcribeCallback
"""
RECORD_ATTRIBUTES = frozenset(_RECORD_ATTRIBUTES.split())


def _parse_record(node: Element) -> Record:
    given = _attributes(node, RECORD_ATTRIBUTES)
    _empty(node)
    events = tuple(given.get("recordingStatusCallbackEvent", "completed").split())
    if not set(events) <= {"in-progress", "completed", "absent"}:
        raise TwimlError(13617, "<Record> has an unknown recordingStatusCallbackEvent")
    trim = given.get("trim", "trim-silence")
    if trim not in ("trim-silence", "do-not-trim"):
        raise TwimlError(13616, "<Record> has a wrong trim")
    return Record(
        action=given.get("action"),
        method=_method(given, "method", 13611),
        timeout=float(_whole(given, "timeout", 5, 13612)),
        finish_on_key=_finish_keys(given, "1234567890*#", 13613),
        max_length=float(_whole(given, "maxLength", 3600, 13614)),
        play_beep=_truth(given, "playBeep", True),
        trim=trim == "trim-silence",
        status_callback=given.get("recordingStatusCallback"),
        status_method=_method(given, "recordingStatusCallbackMethod", 13618),
        status_events=events,
    )


def _parse_redirect(node: Element) -> Redirect:
    given = _attributes(node, frozenset({"method"}))
    _no_children(node)
    return Redirect((node.text or "").strip(), _method(given, "method", 13710))


def _parse_hangup(node: Element) -> Hangup:
    _attributes(node, frozenset())
    _empty(node)
    return Hangup()


def _parse_reject(node: Element) -> Reject:
    reason = _attributes(node, frozenset({"reason"})).get("reason", "rejected")
    _empty(node)
    if reason not in ("rejected", "busy"):
        raise TwimlError(12200, "<Reject> has a wrong reason")
    return Reject(reason)


_DIAL_ATTRIBUTES = """
    action method timeout hangupOnStar timeLimit callerId record trim answerOnBridge recordingStatusCallback
    recordingStatusCallbackMethod recordingStatusCallbackEvent recordingTrack ringTone sequential
"""
DIAL_ATTRIBUTES = frozenset(_DIAL_ATTRIBUTES.split())
TELEPHONE = re.compile(r"\+[1-9]\d{6,14}")
MOST_NUMBERS = 10


def _parse_dial(node: Element) -> Dial:
    given = _attributes(node, DIAL_ATTRIBUTES)
    _not_recorded(node, given)
    time_limit = _whole(given, "timeLimit", 14400, 13216)
    return Dial(
        targets=_targets(node),
        action=given.get("action"),
        method=_method(given, "method", 13211),
        timeout=_whole(given, "timeout", 30, 13212),
        time_limit=time_limit,
        caller_id=given.get("callerId", ""),
        answer_on_bridge=_truth(given, "answerOnBridge", False),
        hangup_on_star=_truth(given, "hangupOnStar", False),
    )


def _targets(node: Element) -> tuple[Number, ...] | Conference:
    """Whom a ``<Dial>`` calls: its own text, up to ten ``<Number>``, or one ``<Conference>``."""
    if not len(node):
        return (_number((node.text or "").strip(), {}),)
    _no_text(node)
    tags = {child.tag for child in node}
    if tags == {"Conference"} and len(node) == 1:
        return _parse_conference(node[0])
    if tags != {"Number"}:
        raise TwimlError(
            12200, "<Dial> takes <Number>s or one <Conference>; other nouns are not simulated here"
        )
    if len(node) > MOST_NUMBERS:
        raise TwimlError(12200, "<Dial> rings at most ten numbers")
    return tuple(_parse_number(child) for child in node)


NUMBER_ATTRIBUTES = frozenset(
    ["sendDigits", "url", "method", "statusCallback", "statusCallbackMethod", "statusCallbackEvent"]
)
CALL_EVENTS = frozenset({"initiated", "ringing", "answered", "completed"})


def _parse_number(node: Element) -> Number:
    given = _attributes(node, NUMBER_ATTRIBUTES)
    _no_children(node)
    return _number((node.text or "").strip(), given)


def _number(text: str, given: Mapping[str, str]) -> Number:
    if not TELEPHONE.fullmatch(text):
        raise TwimlError(13223, "<Dial> names no telephone number in E.164 form")
    digits = given.get("sendDigits", "")
    if not set(digits) <= set("0123456789*#wW"):
        raise TwimlError(13222, "<Number> has wrong sendDigits")
    events = tuple(given.get("statusCallbackEvent", "completed").split())
    if not set(events) <= CALL_EVENTS:
        raise TwimlError(12200, "<Number> has an unknown statusCallbackEvent")
    return Number(
        number=text,
        url=given.get("url"),
        method=_method(given, "method", 13221),
        send_digits=digits,
        status_callback=given.get("statusCallback"),
        status_method=_method(given, "statusCallbackMethod", 13221),
        status_events=events,
    )


_CONFERENCE_ATTRIBUTES = """
    muted beep startConferenceOnEnter endConferenceOnExit waitUrl waitMethod maxParticipants record trim region
    participantLabel jitterBufferSize statusCallback statusCallbackMethod statusCallbackEvent
    recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent
"""
CONFERENCE_ATTRIBUTES = frozenset(_CONFERENCE_ATTRIBUTES.split())
CONFERENCE_EVENTS = frozenset(
    ["start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"]
)
LONGEST_LABEL = 128
LARGEST_ROOM = 250


def _parse_conference(node: Element) -> Conference:
    given = _attributes(node, CONFERENCE_ATTRIBUTES)
    _no_children(node)
    _not_recorded(node, given)
    name = " ".join((node.text or "").split())
    if not name:
        raise TwimlError(12200, "<Conference> has no name")
    events = tuple(given.get("statusCallbackEvent", "").split())
    if not set(events) <= CONFERENCE_EVENTS:
        raise TwimlError(12200, "<Conference> has an unknown statusCallbackEvent")
    return Conference(
        name=name,
        start_on_enter=_truth(given, "startConferenceOnEnter", True),
        end_on_exit=_truth(given, "endConferenceOnExit", False),
        muted=_truth(given, "muted", False),
        beep=_one_of(given, "beep", ("true", "false", "onEnter", "onExit")),
        wait_url=given.get("waitUrl"),
        wait_method=_method(given, "waitMethod", 13234),
        most=_room_size(given),
        label=_label(given),
        status_callback=given.get("statusCallback"),
        status_method=_method(given, "statusCallbackMethod", 12200),
        status_events=events,
    )


def _room_size(given: Mapping[str, str]) -> int:
    size = _whole(given, "maxParticipants", LARGEST_ROOM, 12200)
    if not 1 <= size <= LARGEST_ROOM:
        raise TwimlError(12200, "maxParticipants must be from 1 to 250")
    return size


def _label(given: Mapping[str, str]) -> str:
    label = given.get("participantLabel", "")
    if len(label) > LONGEST_LABEL:
        raise TwimlError(12200, "participantLabel is longer than 128 characters")
    return label


def _not_recorded(node: Element, given: Mapping[str, str]) -> None:
    if given.get("record", "do-not-record") not in ("do-not-record", "false"):
        raise TwimlError(12200, f"recording a <{node.tag}> is not simulated here")


_PROMPTS: dict[str, Callable[[Element], Say | Play | Pause]] = {
    "Say": _parse_say,
    "Play": _parse_play,
    "Pause": _parse_pause,
}
_VERBS: dict[str, Callable[[Element], Verb]] = {
    **_PROMPTS,
    "Gather": _parse_gather,
    "Record": _parse_record,
    "Redirect": _parse_redirect,
    "Hangup": _parse_hangup,
    "Reject": _parse_reject,
    "Dial": _parse_dial,
}


def _parse_reply(node: Element) -> Reply:
    if node.tag != "Message":
        raise TwimlError(12200, f"<{node.tag}> is not simulated in a message's answer")
    given = _attributes(node, frozenset({"to", "from", "action", "method", "statusCallback"}))
    bodies = [node.text or ""]
    for child in node:
        if child.tag != "Body":
            raise TwimlError(12200, f"<{child.tag}> is not simulated in <Message>")
        bodies.append(child.text or "")
    callback = given.get("statusCallback") or given.get("action")
    return Reply("".join(bodies).strip(), given.get("to"), callback)


def _attributes(node: Element, allowed: frozenset[str]) -> Mapping[str, str]:
    for name in node.attrib:
        if name not in allowed:
            raise TwimlError(12200, f"<{node.tag}> has no attribute {name!r}")
    return node.attrib


def _no_children(node: Element) -> None:
    if len(node):
        raise TwimlError(12200, f"<{node[0].tag}> is not allowed in <{node.tag}>")


def _no_text(node: Element) -> None:
    if any((text or "").strip() for text in (node.text, *(child.tail for child in node))):
        raise TwimlError(12200, f"text is not allowed in <{node.tag}>")


def _empty(node: Element) -> None:
    _no_children(node)
    _no_text(node)


def _whole(given: Mapping[str, str], name: str, default: int, code: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise TwimlError(code, f"{name} must be a whole number")
    return int(text)


def _truth(given: Mapping[str, str], name: str, default: bool) -> bool:
    text = given.get(name)
    if text is None:
        return default
    if text.lower() not in ("true", "false"):
        raise TwimlError(12200, f"{name} must be true or false")
    return text.lower() == "true"


def _one_of(given: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """One of the ``allowed`` words, the first of which is the default."""
    text = given.get(name, allowed[0])
    if text not in allowed:
        raise TwimlError(12200, f"{name} must be one of {', '.join(allowed)}")
    return text


def _method(given: Mapping[str, str], name: str, code: int) -> str:
    method = given.get(name, "POST").upper()
    if method not in ("GET", "POST"):
        raise TwimlError(code, f"{name} must be GET or POST")
    return method


def _finish_keys(given: Mapping[str, str], default: str, code: int) -> str:
    keys = given.get("finishOnKey", default)
    if not set(keys) <= set("0123456789*#"):
        raise TwimlError(code, "finishOnKey may hold 0-9, * and #")
    return keys
