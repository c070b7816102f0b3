"""Composition: ``create_app()`` puts the doors on one Flask application; nothing else."""

from __future__ import annotations

from functools import partial

from flask import Flask, Response, jsonify

import channels.web
import console
from bot import alerts, health, logs, metrics
from bot.service import Service, open_service
from bot.settings import load
from channels import notices


def create_app(only: str | None = None, service: Service | None = None) -> Flask:
    """The web application. ``only`` serves one door alone: ``channels`` or ``console``; without it both.

    Raises :class:`bot.errors.ConfigurationError` when keys, database or flows cannot be used.
    """
    if service is None:
        settings = load()
        logs.set_up(settings.log_level)
        service = open_service(settings)
    app = Flask(__name__, static_folder=None)
    app.extensions["voiceback"] = service
    if only != "console":
        channels.web.register(app, service)
    if only != "channels":
        console.register(app)
    _vital_signs(app, service)
    return app


create_channels = partial(create_app, "channels")
create_console = partial(create_app, "console")


def _vital_signs(app: Flask, service: Service) -> None:
    @app.get("/healthz")
    def alive() -> Response:
        return jsonify(ok=True)

    @app.get("/readyz")
    def ready() -> tuple[Response, int]:
        found = health.checks(service)
        ok = all(check.ok for check in found if check.needed)
        response = jsonify(ready=ok, checks=[check.as_data() for check in found])
        if ok and alerts.clock_stopped(service):
            # After the answer, because mail is slow and who asks is impatient.
            response.call_on_close(partial(notices.tell_administrators, service))
        return response, 200 if ok else 503

    @app.get("/metrics")
    def numbers() -> Response:
        return Response(metrics.text(service), mimetype="text/plain; version=0.0.4")
