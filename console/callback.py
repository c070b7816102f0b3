"""The page of one callback: when it is planned, what was tried, and a form that moves it to a time that the worker named.

A move is made only as it was previewed: if the callback was planned anew meanwhile, or the form says something else,
the page shows the preview again. The page knows an opaque id, and neither number nor name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection, select

from bot.callbacks import moves, overview, reminders
from bot.callbacks.moves import Proposal
from bot.callbacks.reminders import Told
from bot.callbacks.states import CallbackState
from bot.errors import InputError, NotFound
from bot.service import Service
from bot.storage.tables import Attempt, Callback, Staff, table
from bot.storage.types import AnyRow
from console import pages, session

_attempt, _callback, _staff = table(Attempt), table(Callback), table(Staff)
_CHANGED: Final = "Something changed since the preview. Look at it again, then move."


@dataclass(frozen=True, slots=True)
class _Page:
    """What the page shows."""

    callback: AnyRow
    attempts: list[AnyRow]
    last: AnyRow | None
    """The last move, if it can be taken back."""
    mover: str
    told: list[Told]
    """Texts before its calls."""
    typed: str = ""
    error: str = ""
    proposal: Proposal | None = None

    @property
    def seen(self) -> str:
        """What the form must say when the callback is moved: this was previewed."""
        return _seen(self.proposal) if self.proposal else ""

    @property
    def may_move(self) -> bool:
        """Whether it waits to be dialled."""
        return bool(self.callback.state == CallbackState.SCHEDULED)


def show(callback_id: str) -> ResponseReturnValue:
    """One callback. Raises :class:`NotFound`."""
    with _service().database.read() as connection:
        return _render(_read(connection, callback_id))


def look(callback_id: str) -> ResponseReturnValue:
    """What the time in the form would do. Changes nothing."""
    return _look(callback_id, _typed())


def move(callback_id: str) -> ResponseReturnValue:
    """Move the callback to the time in the form, if that is what was previewed."""
    service, typed = _service(), _typed()
    now, seen = service.clock.now(), request.form.get("seen", "")
    try:
        with service.database.write() as connection:
            proposal = _propose(connection, callback_id, typed)
            if _seen(proposal) == seen:
                moves.move(connection, proposal, now, by=session.staff().id)
    except InputError as error:
        return _refuse(callback_id, typed, error)
    if _seen(proposal) != seen:
        return _look(callback_id, typed, _CHANGED)
    flash(f"Moved: {proposal.said} on the worker's clock.")
    return redirect(url_for("console.callback", callback_id=callback_id), 303)


def undo(callback_id: str) -> ResponseReturnValue:
    """Plan the callback again as it was before the last move."""
    service = _service()
    with service.database.write() as connection:
        moves.undo(connection, callback_id, service.clock.now(), by=session.staff().id)
    flash("The callback is planned again as it was before the last move.")
    return redirect(url_for("console.callback", callback_id=callback_id), 303)


# --- inside -------------------------------------------------------------------------------------


def _look(callback_id: str, typed: str, error: str = "") -> ResponseReturnValue:
    try:
        with _service().database.read() as connection:
            proposal = _propose(connection, callback_id, typed)
            body = _render(_read(connection, callback_id, typed, error, proposal))
    except InputError as refused:
        return _refuse(callback_id, typed, refused)
    return pages.answer(body, 400) if error else body


def _refuse(callback_id: str, typed: str, error: InputError) -> ResponseReturnValue:
    with _service().database.read() as connection:
        return pages.answer(_render(_read(connection, callback_id, typed, str(error))), 400)


def _propose(connection: Connection, callback_id: str, typed: str) -> Proposal:
    service = _service()
    language = str(overview.one(connection, callback_id)["language"])
    words = moves.words_for(service.library, language)
    return moves.propose(connection, callback_id, typed, words, service.clock.now())


def _read(
    connection: Connection,
    callback_id: str,
    typed: str = "",
    error: str = "",
    proposal: Proposal | None = None,
) -> _Page:
    callback = connection.execute(select(_callback).where(_callback.c.id == callback_id)).one_or_none()
    if callback is None:
        raise NotFound(f"there is no callback {callback_id[:40]}")
    tried = select(_attempt).where(_attempt.c.callback_id == callback_id).order_by(_attempt.c.n)
    attempts = list(connection.execute(tried).all())
    last = moves.latest(connection, callback)
    told = reminders.of(connection, [callback_id]).get(callback_id, [])
    return _Page(callback, attempts, last, _mover(connection, last), told, typed, error, proposal)


def _mover(connection: Connection, last: AnyRow | None) -> str:
    """Who made a move."""
    if last is None or last.staff_id is None:
        return "the command line"
    return str(connection.execute(select(_staff.c.name).where(_staff.c.id == last.staff_id)).scalar_one())


def _render(page: _Page) -> str:
    now = _service().clock.now()
    return render_template("console/callback.html", page=page, callback=page.callback, now=now)


def _typed() -> str:
    return request.form.get("when", "")[: moves.LONGEST]


def _seen(proposal: Proposal) -> str:
    return hashlib.sha256(f"{proposal.version}\0{proposal.preference}".encode()).hexdigest()


def _service() -> Service:
    service: Service = current_app.extensions["voiceback"]
    return service
