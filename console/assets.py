"""Style sheets and pictures: their addresses carry a digest, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, url_for

_FOLDER = Path(__file__).parent / "static"


def install(app: Flask) -> None:
    """Teach the templates ``asset``."""
    app.jinja_env.globals["asset"] = asset


def asset(name: str) -> str:
    """The address of a file of ``console/static``."""
    return url_for("console.static", filename=name, v=_digest(name))


@lru_cache
def _digest(name: str) -> str:
    return hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()[:12]
