"""The staff's door: pages for supervisors and operators, rendered on the server, working without JavaScript.

:func:`register` hangs it on an application. It knows the heart (``bot``) and not the workers' door.
"""

from __future__ import annotations

from flask import Blueprint, Flask

from bot.errors import ConfigurationError
from bot.staff import POLICY
from console import (
    agents,
    assets,
    callback,
    callbacks,
    cases,
    files,
    guard,
    labels,
    line,
    operations,
    pages,
    policies,
    recordings,
    roster,
    shifts,
    signing,
    timing,
    watch,
)
from console.session import ConsoleSessions

PREFIX = "/console"


def register(app: Flask) -> None:
    """Hang the console under ``/console``.

    The application must carry its :class:`bot.service.Service` in ``app.extensions["voiceback"]``
    already. Raises :class:`ConfigurationError` if it does not, or if any route under ``/console`` has
    no entry in the policy table of :mod:`bot.staff`.
    """
    if "voiceback" not in app.extensions:
        raise ConfigurationError("the console needs app.extensions['voiceback'] before it is registered")
    app.session_interface = ConsoleSessions()
    guard.install(app)
    app.register_blueprint(_door())
    assets.install(app)
    pages.install(app)
    labels.install(app)
    timing.install(app)
    refuse_unruled(app)


def refuse_unruled(app: Flask) -> None:
    """Raise :class:`ConfigurationError` that names the routes of the console without a policy."""
    ours = {rule.endpoint for rule in app.url_map.iter_rules() if guard.is_ours(rule.rule)}
    unruled = sorted(ours - set(POLICY))
    if unruled:
        raise ConfigurationError(f"routes of the console without a policy in bot/staff.py: {unruled}")


def _door() -> Blueprint:
    """The floor plan: every room of the console and the way to it."""
    door = Blueprint(
        "console", __name__, url_prefix=PREFIX, template_folder="templates", static_folder="static"
    )
    get, post = ["GET"], ["POST"]
    door.add_url_rule("/", "home", pages.home, methods=get)
    door.add_url_rule("/sign-in", "sign_in", signing.sign_in, methods=[*get, *post])
    door.add_url_rule("/sign-out", "sign_out", signing.sign_out, methods=post)
    door.add_url_rule("/cases", "cases", cases.show_queue, methods=get)
    door.add_url_rule("/cases/<case_id>", "case", cases.show_case, methods=get)
    door.add_url_rule("/cases/<case_id>/take", "case_take", cases.take, methods=post)
    door.add_url_rule("/cases/<case_id>/review", "case_review", cases.review, methods=post)
    door.add_url_rule("/cases/<case_id>/note", "case_note", cases.note, methods=post)
    door.add_url_rule("/cases/<case_id>/answer", "case_answer", cases.answer_worker, methods=post)
    door.add_url_rule("/cases/<case_id>/severity", "case_severity", cases.severity, methods=post)
    door.add_url_rule(
        "/cases/<case_id>/circumstances", "case_circumstances", cases.circumstances, methods=post
    )
    door.add_url_rule("/cases/<case_id>/move", "case_move", cases.move, methods=post)
    door.add_url_rule("/cases/<case_id>/undo", "case_undo", cases.undo, methods=post)
    door.add_url_rule("/recordings/<recording_id>", "recording", recordings.play, methods=get)
    door.add_url_rule("/files/<file_id>", "file", files.show, methods=get)
    door.add_url_rule("/agent", "agent", agents.show, methods=get)
    door.add_url_rule("/agent/state", "agent_state", agents.state, methods=get)
    door.add_url_rule("/agent/come", "agent_come", agents.come, methods=post)
    door.add_url_rule("/agent/go", "agent_go", agents.go, methods=post)
    talk = "/agent/talks/<transfer_id>"
    door.add_url_rule(f"{talk}/note", "agent_note", agents.note, methods=post)
    door.add_url_rule(f"{talk}/answer", "agent_answer", agents.answer, methods=post)
    door.add_url_rule(f"{talk}/end", "agent_end", agents.end, methods=post)
    door.add_url_rule(f"{talk}/unsafe", "agent_unsafe", agents.unsafe, methods=post)
    door.add_url_rule(f"{talk}/wrap-up", "agent_wrap_up", agents.wrap_up, methods=post)
    door.add_url_rule("/line", "line", line.show, methods=get)
    door.add_url_rule("/watch", "watch", watch.show, methods=get)
    door.add_url_rule("/callbacks", "callbacks", callbacks.show, methods=get)
    one = "/callbacks/<callback_id>"
    door.add_url_rule(one, "callback", callback.show, methods=get)
    door.add_url_rule(f"{one}/preview", "callback_look", callback.look, methods=post)
    door.add_url_rule(f"{one}/move", "callback_move", callback.move, methods=post)
    door.add_url_rule(f"{one}/undo", "callback_undo", callback.undo, methods=post)
    door.add_url_rule("/policies", "policies", policies.show, methods=get)
    policy = "/policies/<client_id>"
    door.add_url_rule(policy, "policy", policies.show_client, methods=get)
    door.add_url_rule(f"{policy}/preview", "policy_look", policies.look, methods=post)
    door.add_url_rule(f"{policy}/save", "policy_save", policies.save, methods=post)
    door.add_url_rule(f"{policy}/undo", "policy_undo", policies.undo, methods=post)
    door.add_url_rule("/shifts", "shifts", shifts.show, methods=get)
    door.add_url_rule("/shifts/preview", "shifts_look", shifts.look, methods=post)
    door.add_url_rule("/shifts/save", "shifts_save", shifts.save, methods=post)
    door.add_url_rule("/operations", "operations", operations.show, methods=get)
    door.add_url_rule(
        "/operations/incidents/<incident_id>/resolve", "incident_resolve", operations.resolve, methods=post
    )
    _people(door)
    pages.install_errors(door)
    return door


def _people(door: Blueprint) -> None:
    """The rooms where people are looked after."""
    get, post = ["GET"], ["POST"]
    door.add_url_rule("/account", "account", roster.account, methods=get)
    door.add_url_rule("/account/password", "account_password", roster.change_password, methods=post)
    door.add_url_rule("/staff", "staff", roster.show, methods=get)
    door.add_url_rule("/newcomer", "staff_add", roster.add, methods=post)
    member = "/staff/<staff_id>"
    door.add_url_rule(member, "staff_member", roster.show_member, methods=get)
    door.add_url_rule(f"{member}/roles", "staff_roles", roster.set_roles, methods=post)
    door.add_url_rule(f"{member}/line", "staff_line", roster.set_line, methods=post)
    door.add_url_rule(f"{member}/email", "staff_email", roster.set_email, methods=post)
    door.add_url_rule(f"{member}/password", "staff_password", roster.reset_password, methods=post)
    door.add_url_rule(f"{member}/totp", "staff_totp", roster.reset_totp, methods=post)
    door.add_url_rule(f"{member}/deactivate", "staff_deactivate", roster.deactivate, methods=post)
    door.add_url_rule(f"{member}/activate", "staff_activate", roster.activate, methods=post)
