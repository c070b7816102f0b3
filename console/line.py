"""The line at this moment, for supervisors: who takes calls, and who waits. No caller is named."""

from __future__ import annotations

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue

from bot import agents, transfers
from bot.clock import wall_time
from bot.service import Service
from console import session

REFRESH_SECONDS = 5


def show() -> ResponseReturnValue:
    """The board. The script of the page asks for it again and again; that is no use of the session."""
    service: Service = current_app.extensions["voiceback"]
    if request.args.get("watching"):
        session.leave_untouched()
    with service.database.read() as connection:
        seats = agents.board(connection, wall_time())
        callers = transfers.line(connection)
    return render_template(
        "console/line.html",
        seats=seats,
        waiting=[caller for caller in callers if caller.state in transfers.IN_LINE],
        talking=[caller for caller in callers if caller.state not in transfers.IN_LINE],
        seconds=REFRESH_SECONDS,
        now=service.clock.now(),
    )
