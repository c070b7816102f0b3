"""The two doors can be served together or apart."""

from __future__ import annotations

import pytest

from app import create_app
from tests.journeys.world import World


@pytest.mark.parametrize(
    ("only", "channels", "console"), [(None, True, True), ("channels", True, False), ("console", False, True)]
)
def test_each_door_can_be_served_alone(
    sqlite_world: World, only: str | None, channels: bool, console: bool
) -> None:
    visitor = create_app(only, sqlite_world.service).test_client()
    assert (visitor.post("/channels/sms").status_code == 403) == channels
    assert (visitor.get("/console/sign-in").status_code == 200) == console
    for path in ("/healthz", "/readyz", "/metrics"):
        assert visitor.get(path).status_code == 200


def test_nothing_is_served_from_the_folder(sqlite_world: World) -> None:
    visitor = sqlite_world.app.test_client()
    for path in ("/static/app.py", "/app.py", "/var/keys.json", "/../pyproject.toml"):
        assert visitor.get(path).status_code == 404
