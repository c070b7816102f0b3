"""The agent's page: she comes and goes, is rung, talks, and writes down what she heard. It knows no number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from flask import current_app, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection

from bot import agents, interviews, leads, talks
from bot.agents import AgentState, Seat
from bot.cases import actions
from bot.cases.lifecycle import Severity
from bot.clock import wall_time
from bot.errors import InputError
from bot.flow.events import Outcome
from bot.messages import Button, Channel, Text
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
    words: str = field(default="", repr=False)
    """An answer of the worker to the question of the moment."""
    outcome: str = ""
    when: str = field(default="", repr=False)


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


def answer(transfer_id: str) -> ResponseReturnValue:
    """What a worker whom she calls back has answered to the question of the moment."""
    code, sprint = request.form.get("code", ""), request.form.get("question", "")
    given = Button(code) if code else Text(request.form.get("words", "")[: interviews.LONGEST])
    return _lead(lambda service, me: interviews.enter(service, me, transfer_id, sprint, given))


def end(transfer_id: str) -> ResponseReturnValue:
    """How the talk with a worker whom she calls back has ended, before its last question; it ends with this."""
    try:
        outcome = Outcome(request.form.get("outcome", ""))
    except ValueError:
        return pages.answer(_page(_typed("Choose how the talk ended.")), 400)
    when = request.form.get("when", "")[: interviews.LONGEST]
    return _lead(
        lambda service, me: interviews.conclude(service, me, transfer_id, outcome, when),
        "The talk has ended.",
    )


def unsafe(transfer_id: str) -> ResponseReturnValue:
    """Contact puts the worker in danger: nobody calls or writes to her again, and a supervisor looks at once."""
    if request.form.get("sure") != "yes":
        told = "Tick the box to say that you are sure. Nothing was done yet."
        return pages.answer(_page(_typed(told)), 400)
    done = "Marked as unsafe. Nobody calls or writes to this worker again; a supervisor was told."
    with _service().database.read() as connection:
        talk = talks.own_talk(connection, staff().id)
    if talk is not None and talk.is_callback:
        return _lead(lambda service, me: interviews.conclude(service, me, transfer_id, Outcome.UNSAFE), done)
    return _do(
        lambda connection, me, service: talks.unsafe(connection, me, transfer_id, service.clock.now()), done
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
        return _refused(error, draft or _Draft())
    return _done(done)


def _lead(act: Callable[[Service, str], None], done: str = "") -> ResponseReturnValue:
    """Do one thing in an interview of hers, likewise."""
    try:
        act(_service(), staff().id)
    except InputError as error:
        return _refused(error, _typed())
    return _done(done)


def _refused(error: InputError, typed: _Draft) -> ResponseReturnValue:
    words = str(error)
    return pages.answer(_page(replace(typed, error=f"{words[:1].upper()}{words[1:]}.")), 400)


def _done(words: str) -> ResponseReturnValue:
    if words:
        flash(words)
    return redirect(url_for("console.agent"), 303)


def _typed(error: str = "") -> _Draft:
    names = ("note", "category", "severity", "words", "outcome", "when")
    return _Draft(error, **{name: request.form.get(name, "") for name in names})


def _page(draft: _Draft) -> str:
    service, me = _service(), staff()
    now = service.clock.now()
    with service.database.read() as connection:
        seat, talk = _read(connection)
        waiting = leads.waiting(connection, seat.languages, now) if seat else 0
    script, sheet = None, None
    if talk is not None and talk.is_open and talk.is_callback:
        sheet = interviews.sheet(service, me.id, talk.transfer_id, now)
    elif talk is not None and talk.is_open:
        with service.database.write() as connection:
            script = talks.script(connection, service.sealer, me.id, talk.transfer_id, now)
    return render_template(
        "console/agent.html",
        seat=seat,
        talk=talk,
        script=script,
        sheet=sheet,
        waiting=waiting,
        ends=labels.ENDS,
        answer_length=interviews.LONGEST,
        questions=_questions(service, script) if script else (),
        question=lambda of, step: labels.question(of.flow, of.revision, step, Channel.VOICE),
        answer=lambda of, step, code: labels.answer(of.flow, of.revision, step, code),
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
        parts += [talk.transfer_id, str(talk.answered_at), str(talk.dialled), str(talk.version)]
    return "|".join(parts)


def _questions(service: Service, script: Script) -> list[tuple[str, str]]:
    """What the line would ask this worker: in English, and in the language that she speaks."""
    tongue = service.catalogs.tongue(script.language)
    asked = labels.questions(script.flow, script.revision)
    return [(words, tongue.text(words)) for words in asked]


def _service() -> Service:
    service: Service = current_app.extensions["voiceback"]
    return service
