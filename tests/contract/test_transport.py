"""Whatever happens on the wire to a provider, the worker gets our answer, and no more often than is said of the channel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from bot.storage import tables
from channels import jobs
from tests.contract.row import Row
from tests.contract.table import ROWS, STORY
from tests.contract.wire import Break, Wire, wire
from tests.journeys.world import World, forget_doors

LONG_ENOUGH = timedelta(seconds=90)
"""For a lease, a doubt and a delay to be over."""

WIRED = [
    pytest.param(row, how, id=f"{row}-{how.name.lower()}")
    for row in ROWS
    if row.wired is not None
    for how in Break
]


@contextmanager
def cut_wire(world: World, row: Row, how: Break, patch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """The jobs reach the provider over a wire that breaks once."""
    assert row.wired is not None
    settings = world.service.settings
    whole = getattr(settings, row.wired.setting)
    address = urlsplit(getattr(whole, "get_secret_value", lambda: whole)())
    assert address.hostname
    assert address.port
    with wire((address.hostname, address.port), row.wired.marker) as made:
        over_it = f"{address.scheme}://127.0.0.1:{made.port}"
        moved = settings.model_copy(update={row.wired.setting: type(whole)(over_it)})
        patch.setattr(jobs, "service", lambda: replace(world.service, settings=moved))
        row.wired.hurry(patch)
        forget_doors()
        made.breaks(how)
        yield made
        forget_doors()


@pytest.mark.parametrize(("row", "how"), WIRED, indirect=["row"])
def test_a_broken_wire_loses_nothing_and_doubles_nothing(
    world: World, row: Row, how: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert row.text(world, STORY, 1).post(world).ok
    with cut_wire(world, row, how, monkeypatch) as line:
        world.beat()
        world.network.idle()
        assert line.broke == (how is not Break.REFUSED)
        line.mend()
        for _ in range(3):
            world.pass_time(LONG_ENOUGH)
            world.run()
    shown = row.sent(world)
    assert row.wired is not None
    assert 1 <= shown.count(shown[0]) <= row.wired.most
    assert {each.state for each in world.rows(tables.Outbox)} == {"sent"}
    assert world.incidents() == set()
