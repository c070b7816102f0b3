"""The agent's page: she comes and goes, is rung, talks, and writes down what she heard. It knows no number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from flask import current_app, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from bot import agents, talks
from bot.agents import AgentState, Seat
from bot.cases import actions
from bot.cases.lifecycle import Severity
from bot.clock import wall_time
from bot.errors import InputError
from bot.messages import Channel
from bot.service import Service
from bot.talks import OwnTalk, Script
from console import labels, pages, session
from console.session import staff

REFRESH_SECONDS = 3
"""How often an open page asks whether anything has changed."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """What she had typed or chosen when it could not be saved: the page gives it back."""

    error: str = ""
    note: str = field(default="", repr=False)
    category: str = ""
    severity: str = ""


def show() -> ResponseReturnValue:
    """Her page. Reading the talk on it is noted before it is answered."""
    return _page(_Draft())


def state() -> ResponseReturnValue:
    """Whether anything has changed, for the script of the page: a mark that is equal as long as nothing has.

    Asking keeps the session of somebody alive who takes calls, so that she is there; it does not for somebody
    who is away, whose session ends when she does nothing.
    """
    service = _service()
    with service.database.read() as connection:
        seat, talk = _read(connection)
    if seat is None or seat.state is AgentState.AWAY:
        session.leave_untouched()
    return jsonify(mark=_mark(seat, talk))


def come() -> ResponseReturnValue:
    """She takes calls from now on."""
    return _do(lambda connection, me, service: agents.come(connection, me, service.clock.now()))


def go() -> ResponseReturnValue:
    """She takes no more calls."""
    return _do(lambda connection, me, service: agents.go(connection, me, service.clock.now()))


def note(transfer_id: str) -> ResponseReturnValue:
    """What she heard goes into the case of the conversation."""
    draft = _typed()
    return _do(
        lambda connection, me, service: _keep(connection, service, me, transfer_id, draft),
        "Note saved.",
        draft,
    )


def unsafe(transfer_id: str) -> ResponseReturnValue:
    """Contact puts the worker in danger: nobody calls or writes to her again, and a supervisor looks at once."""
    if request.form.get("sure") != "yes":
        told = "Tick the box to say that you are sure. Nothing was done yet."
        return pages.answer(_page(_typed(told)), 400)
    return _do(
        lambda connection, me, service: talks.unsafe(connection, me, transfer_id, service.clock.now()),
        "Marked as unsafe. Nobody calls or writes to this worker again; a supervisor was told.",
    )


def wrap_up(transfer_id: str) -> ResponseReturnValue:
    """She is done with a talk: what still stands in the form is saved, then she takes calls again or is away."""
    draft = _typed()
    available = request.form.get("then") == "available"

    def finish(connection: Connection, me: str, service: Service) -> None:
        if draft.note.strip() or draft.category:
            _keep(connection, service, me, transfer_id, draft)
        talks.wrap_up(connection, me, transfer_id, service.clock.now(), available=available)

    return _do(finish, "The talk is closed.", draft)


def _keep(connection: Connection, service: Service, me: str, transfer_id: str, draft: _Draft) -> None:
    talks.note(
        connection,
        service.sealer,
        service.library.taxonomy,
        me,
        transfer_id,
        draft.note,
        service.clock.now(),
        category=draft.category or None,
        severity=draft.severity or None,
    )


def _do(
    act: Callable[[Connection, str, Service], None], done: str = "", draft: _Draft | None = None
) -> ResponseReturnValue:
    """Do one thing in a transaction; what was typed stands in the form again if it could not be done."""
    service, me = _service(), staff()
    try:
        with service.database.write() as connection:
            act(connection, me.id, service)
    except InputError as error:
        words = str(error)
        typed = draft or _Draft()
        told = _Draft(f"{words[:1].upper()}{words[1:]}.", typed.note, typed.category, typed.severity)
        return pages.answer(_page(told), 400)
    if done:
        flash(done)
    return redirect(url_for("console.agent"), 303)


def _typed(error: str = "") -> _Draft:
    form = request.form
    return _Draft(error, form.get("note", ""), form.get("category", ""), form.get("severity", ""))


def _page(draft: _Draft) -> str:
    service, me = _service(), staff()
    now = service.clock.now()
    with service.database.read() as connection:
        seat, talk = _read(connection)
    script = None
    if talk is not None and talk.is_open:
        with service.database.write() as connection:
            script = talks.script(connection, service.sealer, me.id, talk.transfer_id, now)
    return render_template(
        "console/agent.html",
        seat=seat,
        talk=talk,
        script=script,
        questions=_questions(service, script) if script else (),
        question=lambda step: (
            labels.question(script.flow, script.revision, step, Channel.VOICE) if script else ""
        ),
        answer=lambda step, code: labels.answer(script.flow, script.revision, step, code) if script else "",
        categories=service.library.taxonomy.categories.values(),
        severities=list(Severity),
        draft=draft,
        mark=_mark(seat, talk),
        seconds=REFRESH_SECONDS,
        note_length=actions.NOTE_LENGTH,
        joined=talk is not None and talk.answered_at is not None,
        now=now,
    )


def _read(connection: Connection) -> tuple[Seat | None, OwnTalk | None]:
    me = staff()
    return agents.mine(connection, me.id, wall_time()), talks.own_talk(connection, me.id)


def _mark(seat: Seat | None, talk: OwnTalk | None) -> str:
    """A word that changes with what the page shows. It holds states and instants, nothing of a worker."""
    if seat is None:
        return "nobody"
    parts = [seat.state.value, seat.since.isoformat(), " ".join(seat.languages)]
    if talk is not None:
        parts += [talk.transfer_id, str(talk.answered_at)]
    return "|".join(parts)


def _questions(service: Service, script: Script) -> list[tuple[str, str]]:
    """What the line would ask this worker: in English, and in the language that she speaks."""
    tongue = service.catalogs.tongue(script.language)
    asked = labels.questions(script.flow, script.revision)
    return [(words, tongue.text(words)) for words in asked]


def _service() -> Service:
    service: Service = current_app.extensions["voiceback"]
    return service
