"""Words for codes. A code without words is shown as itself, so that nothing is ever hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from babel import Locale, UnknownLocaleError
from flask import Flask, current_app

from bot.agents import AgentState
from bot.cases.deliveries import Delivery
from bot.cases.lifecycle import CaseState, ClockName, Ground, Need, Severity
from bot.errors import EngineError
from bot.flow.events import Outcome
from bot.flow.model import Flow, Kind, Step
from bot.messages import Channel
from bot.service import Service
from console.failures import why
from console.session import person

SEVERITIES: Final[Mapping[str, str]] = MappingProxyType(
    {Severity.S1: "critical", Severity.S2: "high", Severity.S3: "medium", Severity.S4: "low"}
)
GROUNDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Ground.MINOR: "A child or young worker",
        Ground.MIGRANT: "A migrant worker",
        Ground.PREGNANT: "A pregnant worker",
        Ground.DORMITORY: "Lives in the employer's dormitory",
        Ground.REPEAT: "Three or more reports of this site in 30 days",
        Ground.SUPERVISOR_ACCUSED: "A superior is accused",
    }
)
"""What makes a case graver than its kind (:func:`bot.cases.lifecycle.raise_severity`)."""
STATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        CaseState.RECEIVED: "Received",
        CaseState.SAFETY_SCREEN: "Safety check",
        CaseState.ACKNOWLEDGED: "Acknowledged to the worker",
        CaseState.TRIAGED: "Triaged",
        CaseState.SHARING_CONSENT: "Asking the worker what may be shared",
        CaseState.INVESTIGATING: "Under investigation",
        CaseState.SUBSTANTIATED: "Substantiated",
        CaseState.PARTLY: "Partly substantiated",
        CaseState.UNSUBSTANTIATED: "Closed: not substantiated",
        CaseState.INCONCLUSIVE: "Closed: inconclusive",
        CaseState.REFERRED: "Closed: referred or out of scope",
        CaseState.REMEDY_AGREED: "Remedy agreed",
        CaseState.REMEDY_IN_PROGRESS: "Remedy in progress",
        CaseState.EMPLOYER_SAYS_DONE: "Employer says it is done",
        CaseState.WORKER_CHECK: "Asking the worker whether it is done",
        CaseState.CLOSED_VALIDATED: "Closed: the worker confirmed",
        CaseState.CLOSED_UNREACHED: "Closed: worker not reached",
        CaseState.DISPUTED: "Disputed by the worker",
        CaseState.REOPENED: "Reopened",
        CaseState.WITHDRAWN: "Closed: withdrawn by the worker",
        CaseState.HELD: "On hold at the worker's request",
    }
)
CLOCKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        ClockName.REVIEW: "Review by a person",
        ClockName.SAFETY: "Safety contact with the worker",
        ClockName.PLAN: "Plan for the remedy",
        ClockName.CLOSE: "Closing",
    }
)
NEEDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Need.NOTHING: "",
        Need.NOTE: "needs a reason",
        Need.WORKER_CONFIRMS: "the worker confirmed",
        Need.WORKER_DENIES: "the worker said no",
    }
)
CONSENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "take_part": "Take part",
        "record": "Record the voice",
        "transcribe": "Write down the recording",
        "share_client": "Share with the client",
        "share_employer": "Share with the employer",
        "contact_again": "Contact again",
        "text": "Write to this phone",
        "call_if_cut_off": "Call again if cut off",
        "remind": "A text before we call",
    }
)
HAPPENINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "opened": "Case opened",
        "created": "Case opened",
        "taken": "Taken to work on",
        "reviewed": "Marked as reviewed",
        "note": "Note",
        "severity": "Severity changed",
        "circumstances": "Graver by its circumstances",
        "state": "Moved",
        "undo": "Last move taken back",
        "severity_raised": "Something graver was reported",
        "classified": "Became known what it is about",
        "wants_a_person": "The worker wants to talk with a person",
        "worker_wrote": "The worker wrote",
        "answered_worker": "Answer sent to the worker",
        "audit_integrity_alert": "Three workers of this audit were told what to say, or questioned afterwards",
    }
)
DELIVERIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        Delivery.QUEUED: "waits to be sent",
        Delivery.AGAIN: "did not get through yet, is tried again",
        Delivery.SENDING: "is being sent",
        Delivery.UNKNOWN: "perhaps sent; the provider is being asked",
        Delivery.WAITING: "waits for the worker's next message",
        Delivery.SENT: "sent",
        Delivery.DELIVERED: "delivered",
        Delivery.READ: "read",
        Delivery.FAILED: "not delivered",
        Delivery.CANCELLED: "not sent: it meant nothing any more",
    }
)
ENDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Outcome.LATER: "She wants another time",
        Outcome.NOT_SAFE_NOW: "Not safe at this moment: call again",
        Outcome.CUT_OFF: "The line broke: call again",
        Outcome.HANDED_OFF: "She has said what she wanted: do not call again",
        Outcome.REFUSED: "She does not want to take part",
        Outcome.STOPPED: "She wants no more calls or messages from us",
    }
)
"""How an agent can end a callback that she leads, before its last question. Danger has a button of its own."""
AGENT_STATES: Final[Mapping[str, str]] = MappingProxyType(
    {
        AgentState.AWAY: "Away",
        AgentState.FREE: "Available",
        AgentState.RINGING: "Telephone rings",
        AgentState.TALKING: "In a call",
        AgentState.WRAP_UP: "Writing up a call",
    }
)
CHANNELS: Final[Mapping[str, str]] = MappingProxyType(
    {"sms": "SMS", "voice": "Telephone", "whatsapp": "WhatsApp", "telegram": "Telegram", "email": "E-mail"}
)
ANSWERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "yes": "Yes",
        "no": "No",
        "not_sure": "Not sure",
        "skip": "Skipped",
        "said": "Said",
        "talked": "Talked with a person",
        "nobody": "Nobody could take the call",
        "message": "Left the line for a message",
    }
)


def install(app: Flask) -> None:
    """Teach the templates the words, and who is asking."""
    app.jinja_env.filters["category"] = category
    app.jinja_env.filters["words"] = words
    app.jinja_env.filters["language"] = language
    app.jinja_env.filters["way"] = way
    app.jinja_env.filters["why"] = why
    app.jinja_env.globals["labels"] = {
        "severities": SEVERITIES,
        "states": STATES,
        "clocks": CLOCKS,
        "needs": NEEDS,
        "consents": CONSENTS,
        "happenings": HAPPENINGS,
        "channels": CHANNELS,
        "agent_states": AGENT_STATES,
        "deliveries": DELIVERIES,
        "grounds": GROUNDS,
    }
    app.context_processor(lambda: {"visitor": person()})


def words(code: str, known: Mapping[str, str] | None = None) -> str:
    """The words for a code; its own letters, made readable, if it has none."""
    plain = code.replace("_", " ")
    return (known or {}).get(code) or f"{plain[:1].upper()}{plain[1:]}"


def way(detail: str) -> str:
    """A change ``from>to`` of states or severities, in words."""
    left, arrow, entered = detail.partition(">")
    known = {**STATES, **{severity.value: severity.value for severity in Severity}}
    return f"{words(left, known)} → {words(entered, known)}" if arrow else words(detail, known)


def language(code: str) -> str:
    """The English name of a language (BCP-47 code)."""
    try:
        name = Locale.parse(code, sep="-").get_display_name("en")
    except (UnknownLocaleError, ValueError):
        name = None
    return name or code


def category(code: str) -> str:
    """The label of a category of grievances, from the taxonomy of the flows."""
    service: Service = current_app.extensions["voiceback"]
    known = service.library.taxonomy.categories.get(code)
    return known.label if known else words(code)


def question(flow: str, revision: str, step_id: str, channel: str) -> str:
    """What was asked, in English, as the revision of the flow had it that the worker talked with."""
    step = _step(flow, revision, step_id)
    return (
        step.ask.wording.on(keypad=channel == Channel.VOICE)
        if step is not None and step.ask is not None
        else words(step_id)
    )


def questions(flow: str, revision: str) -> list[str]:
    """What a flow, and the flows that it runs, ask about work: in English, as it is written and not as keys."""
    service: Service = current_app.extensions["voiceback"]
    try:
        steps = list(_steps(service.library.get(flow, revision), service, set()))
    except EngineError:
        return []
    asked = (
        step.ask.wording.text
        for step in steps
        if step.ask and (step.grievances or step.ask.kind is Kind.OPEN)
    )
    return list(dict.fromkeys(asked))


def _steps(flow: Flow, service: Service, seen: set[str]) -> Iterator[Step]:
    """The steps of a flow in their order, each flow that it runs once and where it is run."""
    for step in flow.steps.values():
        yield step
        if step.run and step.run not in seen:
            seen.add(step.run)
            yield from _steps(service.library.get(step.run), service, seen)


def answer(flow: str, revision: str, step_id: str, code: str) -> str:
    """The English label of a canonical answer."""
    step = _step(flow, revision, step_id)
    choices = step.ask.choices if step is not None and step.ask is not None else ()
    return next((choice.label for choice in choices if choice.code == code), words(code, ANSWERS))


def _step(flow: str, revision: str, step_id: str) -> Step | None:
    service: Service = current_app.extensions["voiceback"]
    try:
        told = service.library.get(flow, revision)
    except EngineError:
        return None
    return _search(told, step_id, service, frozenset())


def _search(flow: Flow, step_id: str, service: Service, seen: frozenset[str]) -> Step | None:
    """A step of a flow, or of a flow that it runs."""
    if step_id in flow.steps:
        return flow.steps[step_id]
    parts = {step.run for step in flow.steps.values() if step.run} - seen
    for part in sorted(parts):
        try:
            found = _search(service.library.get(part), step_id, service, seen | parts)
        except EngineError:
            continue
        if found is not None:
            return found
    return None
