"""Hours of work of factories by upload: a file is read and shown with what it would do, and then kept or not."""

from __future__ import annotations

import io

from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from bot.audits import calendars
from bot.audits.calendars import Upload
from bot.errors import FileRejected
from bot.service import Service
from console import pages, session


def show() -> ResponseReturnValue:
    """Where a file is chosen."""
    return render_template("console/shifts.html", upload=None)


def look() -> ResponseReturnValue:
    """What the shifts of a file would do. Changes nothing."""
    given = request.files.get("file")
    if given is None or not given.filename:
        return _refuse("Choose a file first.")
    service = _service()
    try:
        upload = _read(given.stream.read())
    except FileRejected as error:
        return _refuse(str(error))
    with service.database.read() as connection:
        effects, complete = calendars.effects(connection, upload.calendars, service.clock.now())
    return render_template(
        "console/shifts.html",
        upload=upload,
        effects=effects,
        complete=complete,
        whole=calendars.write(upload.calendars),
    )


def save() -> ResponseReturnValue:
    """Keep the shifts that were shown."""
    try:
        upload = _read(request.form.get("shifts", "").encode())
    except FileRejected as error:
        return _refuse(str(error))
    number = calendars.bring_in(_service(), upload, by=session.staff().id)
    places = len(upload.calendars)
    of = "1 factory" if places == 1 else f"{places} factories"
    flash(f"Saved the shifts of {of}. Callbacks planned anew: {number}.")
    return redirect(url_for("console.shifts"), 303)


def _read(data: bytes) -> Upload:
    entries = calendars.read(io.BytesIO(data))
    with _service().database.read() as connection:
        return calendars.gather(connection, entries)


def _refuse(words: str) -> ResponseReturnValue:
    return pages.answer(render_template("console/shifts.html", upload=None, error=words), 400)


def _service() -> Service:
    service: Service = current_app.extensions["voiceback"]
    return service
