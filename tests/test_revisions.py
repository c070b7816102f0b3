"""A flow file that is broken or edited never disturbs a talk that goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from bot import revisions
from bot.clock import FrozenClock
from bot.errors import ConfigurationError
from bot.flow.library import Library
from bot.incidents import unresolved
from bot.storage import tables
from bot.storage.database import Database
from tests.journeys.world import HOTLINE, ROOT, World, said_in

SENDER = "+6281200000009"
BROKEN = "name: hotline\nsteps: [{id: hello, sya: Hello.}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the flows that a test may edit."""
    copied = tmp_path / "flows"
    shutil.copytree(ROOT / "flows", copied)
    return copied


@pytest.fixture
def reload_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed files are looked for with every message."""
    monkeypatch.setattr(revisions, "_LOOK_EVERY_SECONDS", -1.0)


def broken_files(database: Database) -> list[str]:
    """The files that the operator was told of."""
    with database.read() as connection:
        return [subject for kind, subject, *_ in unresolved(connection) if kind == "flow_file"]


def test_a_broken_file_is_told_and_the_last_good_revision_goes_on(
    database: Database, folder: Path, frozen_clock: FrozenClock, reload_at_once: None
) -> None:
    library = revisions.open_library(database, folder, frozen_clock)
    watch = revisions.Watch(database, library, frozen_clock)
    good = library.get("hotline").revision
    (folder / "hotline.yaml").write_text(BROKEN, encoding="utf-8")
    watch.look()
    assert library.get("hotline").revision == good
    assert broken_files(database) == ["flows/hotline.yaml"]
    shutil.copy(ROOT / "flows" / "hotline.yaml", folder / "hotline.yaml")
    watch.look()
    assert broken_files(database) == []


def test_a_restart_with_a_broken_file_goes_on_with_the_last_good_revision(
    database: Database, folder: Path, frozen_clock: FrozenClock
) -> None:
    good = revisions.open_library(database, folder, frozen_clock).get("hotline").revision
    (folder / "hotline.yaml").write_text(BROKEN, encoding="utf-8")
    library = revisions.open_library(database, folder, frozen_clock)
    assert library.get("hotline").revision == good
    assert broken_files(database) == ["flows/hotline.yaml"]


@pytest.mark.parametrize("wreck", ["", "\x00", "steps: [", "- 1\n", "name: hotline\n", "&a [*a]"])
def test_no_wreck_of_a_file_stops_a_restart(
    database: Database, folder: Path, frozen_clock: FrozenClock, wreck: str
) -> None:
    revisions.open_library(database, folder, frozen_clock)
    (folder / "callback.yaml").write_text(wreck, encoding="utf-8")
    library = revisions.open_library(database, folder, frozen_clock)
    assert "callback" in library.names()
    assert "flows/callback.yaml" in broken_files(database)


def test_a_first_start_with_a_broken_file_says_what_is_wrong(
    database: Database, folder: Path, frozen_clock: FrozenClock
) -> None:
    (folder / "hotline.yaml").write_text(BROKEN, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"flows/hotline\.yaml:1"):
        revisions.open_library(database, folder, frozen_clock)


def test_a_talk_keeps_the_revision_that_it_began_with(
    world: World, folder: Path, edit: Callable[[Path], None]
) -> None:
    open_flows(world, folder)
    world.network.text(SENDER, "They have not paid us since January, nobody helps us at all")
    world.network.idle()
    edit(folder)
    # Another process, started after the edit.
    open_flows(world, folder)
    world.network.text(SENDER, "yes")
    world.network.idle()
    world.rest()
    assert "This is a confidential line for workers." in world.network.texts_to(SENDER)[-1]
    world.network.text("+6281200000010", "They have not paid us since January, nobody helps us at all")
    world.network.idle()
    world.network.text("+6281200000010", "yes")
    world.network.idle()
    world.rest()
    assert "This line has been edited." in world.network.texts_to("+6281200000010")[-1]


def test_an_edited_file_is_taken_up_while_the_service_runs(
    world: World, folder: Path, edit: Callable[[Path], None], reload_at_once: None
) -> None:
    library = open_flows(world, folder)
    from app import create_app

    world.app = create_app(service=world.service)
    before = library.get("hotline").revision
    edit(folder)
    world.network.text(SENDER, "They have not paid us since January, nobody helps us at all")
    world.network.idle()
    (talk,) = world.rows(tables.Conversation)
    assert talk.revision == library.get("hotline").revision != before


def test_a_call_goes_on_while_its_flow_is_broken(world: World, folder: Path, reload_at_once: None) -> None:
    open_flows(world, folder)
    from app import create_app

    world.app = create_app(service=world.service)
    call = {"CallSid": "CA" + "3" * 32, "From": SENDER, "To": HOTLINE, "Direction": "inbound"}
    document = world.signed("/channels/voice", call).text
    (folder / "hotline.yaml").write_text(BROKEN, encoding="utf-8")
    at = document.index("/channels/voice/turn/")
    answer = world.signed(document[at : document.index('"', at)], {**call, "Digits": "1"})
    assert answer.status_code == 200
    assert said_in(answer.text)
    world.network.text("+6281200000010", "They have not paid us since January, nobody helps us at all")
    world.network.idle()
    ready = requests.get(world.url + "/readyz", timeout=10).json()
    (flows,) = [check for check in ready["checks"] if check["name"] == "flows"]
    assert (flows["ok"], flows["needed"]) == (False, False)
    assert "hotline.yaml" in flows["why"]


def open_flows(world: World, folder: Path) -> Library:
    """Let the service read its flows from a folder, as at a start."""
    library = revisions.open_library(world.service.database, folder, world.clock)
    object.__setattr__(world.service, "library", library)
    return library


@pytest.fixture
def edit() -> Callable[[Path], None]:
    """Changes what the hotline says first after the gate."""

    def change(folder: Path) -> None:
        path = folder / "hotline.yaml"
        text = path.read_text(encoding="utf-8")
        words = (
            "This is a confidential line for workers. Your name and number are not given to your workplace."
        )
        assert words in text
        path.write_text(text.replace(words, "This line has been edited."), encoding="utf-8")

    return change
