"""A voice note reaches us by every channel: sealed, told what it is by its content, and left at no provider."""

from __future__ import annotations

import pytest

from bot.storage import tables
from simulator.attachments import sample
from tests.contract.row import Row
from tests.contract.table import ROWS
from tests.journeys.world import World

VOICE = sample("voice")[2]
CARRYING = pytest.mark.parametrize("row", [row for row in ROWS if row.voice_note], ids=str, indirect=True)


@CARRYING
def test_a_voice_note_is_brought_home_and_sealed(world: World, row: Row) -> None:
    assert row.voice_note is not None
    row.voice_note(world)
    world.network.idle()
    world.run()
    (kept,) = world.rows(tables.Attachment)
    assert (kept.content_type, kept.size, kept.is_file) == ("audio/ogg", len(VOICE), True)
    assert VOICE[:32] not in kept.content_sealed
    opened = world.service.sealer.open_bytes(f"attachment.content_sealed:{kept.id}", kept.content_sealed)
    assert opened == VOICE
    assert [(each.state, each.ref_sealed) for each in world.rows(tables.Media)] in ([("kept", None)], [])
    assert world.incidents() == set()


@CARRYING
def test_a_file_that_the_provider_has_not_yet_is_not_given_up(world: World, row: Row) -> None:
    assert row.media(world, 1).post(world).ok
    world.run()
    assert {each.state for each in world.rows(tables.Media)} <= {"due"}
    assert world.incidents() == set()
