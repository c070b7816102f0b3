"""Composition: ``create_app()`` puts the doors on one Flask application; nothing else."""

from __future__ import annotations

from flask import Flask

import channels.web
import console
from bot import health, logs, metrics
from bot.service import Service, open_service
from bot.settings import load

DOORS = ("channels", "console")


def create_app(only: str | None = None, service: Service | None = None) -> Flask:
    """The web application. ``only`` serves one of :data:`DOORS` alone; without it both.

    Raises :class:`bot.errors.ConfigurationError` when keys, database or flows cannot be used.
    """
    if service is None:
        settings = load()
        logs.set_up(settings.log_level)
        service = open_service(settings)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 16 * 1024 * 1024
    app.extensions["voiceback"] = service
    health.register(app, service)
    metrics.register(app, service)
    if only != "console":
        channels.web.register(app, service)
    if only != "channels":
        console.register(app)
    return app
