"""Files on the case page: shown where that is safe, saved as they are, and every opening noted."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import insert, select, update

from bot.clock import wall_time
from bot.ids import new_id
from bot.service import Service
from bot.staff import Role
from bot.storage.tables import AccessLog, Attachment, Case, Conversation, Media, RecordingRow, table
from console.guard import SANDBOX
from tests.cases.planting import NUMBER, PICTURE, Planted, attach, say
from tests.console.conftest import SignedIn, Visitor

HTML = b"<html><script>alert('canary')</script></html>"


@pytest.fixture
def supervisor(signed_in: SignedIn) -> Visitor:
    """A supervisor who is signed in."""
    return signed_in(Role.SUPERVISOR)


def add(service: Service, case: Planted, content: bytes, kind: str, name: str = "") -> str:
    """Let a file come with a message of the case; gives its id."""
    now = service.clock.now()
    message_id = say(service.database, service.sealer, case, "in", "look", now)
    return attach(service.database, service.sealer, message_id, content, kind, now, name=name)


def path_of(file_id: str) -> str:
    """The address of a file."""
    return f"/console/files/{file_id}"


def page(visitor: Visitor, case: Planted) -> str:
    """The case page."""
    return visitor.get(f"/console/cases/{case.id}").text


def test_a_picture_is_shown_on_demand_without_the_place_where_it_was_taken(
    supervisor: Visitor, case: Planted
) -> None:
    shown = page(supervisor, case)
    assert f'<img src="{path_of(case.file_id)}" loading="lazy"' in shown
    assert "Show the picture" in shown
    assert re.search(r"Picture \(image/jpeg, [\d.]+ kB\)", shown)
    with supervisor.get(path_of(case.file_id)) as picture:
        assert picture.mimetype == "image/jpeg"
        assert picture.data.startswith(b"\xff\xd8")
        assert len(picture.data) < len(PICTURE)
        assert b"Exif" in PICTURE


def test_the_original_is_saved_as_it_came_under_a_name_that_tells_nothing(
    supervisor: Visitor, case: Planted
) -> None:
    with supervisor.get(path_of(case.file_id) + "?save=1") as saved:
        assert saved.data == PICTURE
        assert saved.headers["Content-Disposition"] == f"attachment; filename={case.file_id}.jpg"
        assert saved.mimetype == "application/octet-stream"


def test_a_file_is_kept_by_no_browser_and_can_do_nothing_in_it(supervisor: Visitor, case: Planted) -> None:
    for path in (path_of(case.file_id), path_of(case.file_id) + "?save=1"):
        with supervisor.get(path) as file:
            assert file.headers["Cache-Control"] == "no-store"
            assert file.headers["Content-Security-Policy"] == SANDBOX
            assert SANDBOX.endswith("; sandbox")
            assert file.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "application/pdf"])
def test_a_page_that_a_worker_sends_is_never_shown(
    service: Service, supervisor: Visitor, case: Planted, kind: str
) -> None:
    file_id = add(service, case, HTML, kind)
    assert f'src="{path_of(file_id)}"' not in page(supervisor, case)
    with supervisor.get(path_of(file_id)) as file:
        assert file.mimetype == "application/octet-stream"
        assert file.headers["Content-Disposition"].startswith("attachment")


def test_sound_and_film_are_played_from_anywhere_in_them(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    sound = add(service, case, b"OggS" + bytes(96), "audio/ogg")
    film = add(service, case, b"\0\0\0\x18ftypisom" + bytes(96), "video/mp4")
    shown = page(supervisor, case)
    assert f'<audio controls preload="none" src="{path_of(sound)}"' in shown
    assert f'<video controls preload="none" src="{path_of(film)}"' in shown
    with supervisor.client.get(path_of(sound), headers={"Range": "bytes=0-3"}) as part:
        assert (part.status_code, part.data) == (206, b"OggS")


def test_the_name_that_a_worker_gave_is_masked_and_cannot_act(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    add(service, case, b"%PDF-1.7", "application/pdf", name=f"<b>pay {NUMBER}.pdf")
    shown = page(supervisor, case)
    assert "&lt;b&gt;pay" in shown
    assert NUMBER not in shown


@pytest.mark.parametrize(
    ("state", "words"),
    [("due", "on its way"), ("absent", "could not be had"), ("refused", "was too large")],
)
def test_what_is_not_here_is_told_and_why(
    service: Service, supervisor: Visitor, case: Planted, state: str, words: str
) -> None:
    now = service.clock.now()
    row = {
        "id": new_id(),
        "message_id": say(service.database, service.sealer, case, "in", "look", now),
        "n": 1,
        "channel": "sms",
        "content_type": "image/png",
        "state": state,
        "due_at": wall_time(),
        "created_at": now,
    }
    with service.database.write() as connection:
        connection.execute(insert(table(Media)).values(row))
    assert re.search(rf"image/png\)[^<]*{words}", page(supervisor, case))


@pytest.mark.parametrize(
    ("state", "words"),
    [("due", "is on its way"), ("absent", "could not be had"), ("refused", "was not allowed")],
)
def test_what_became_of_a_recording_is_told(
    service: Service, supervisor: Visitor, case: Planted, state: str, words: str
) -> None:
    with service.database.write() as connection:
        connection.execute(update(table(RecordingRow)).values(state=state, audio_sealed=None))
    shown = page(supervisor, case)
    assert re.search(rf"The recording [^<]*{words}", shown)
    assert f"/console/recordings/{case.recording_id}" not in shown


def test_what_a_mail_holds_beside_its_files_is_not_among_them(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    with service.database.write() as connection:
        connection.execute(update(table(Attachment)).values(is_file=False))
    assert path_of(case.file_id) not in page(supervisor, case)
    assert supervisor.get(path_of(case.file_id)).status_code == 404


def test_every_opening_is_in_the_access_log_and_showing_the_page_opens_none(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    page(supervisor, case)
    supervisor.get(path_of(case.file_id)).close()
    supervisor.get(path_of(case.file_id) + "?save=1").close()
    log = table(AccessLog)
    with service.database.read() as connection:
        found = connection.execute(
            select(log.c.action, log.c.object_id).where(log.c.object_kind == "attachment").order_by(log.c.id)
        ).all()
    assert [tuple(row) for row in found] == [("open_file", case.file_id), ("save_file", case.file_id)]


def test_nothing_is_opened_when_it_cannot_be_logged(
    service: Service, supervisor: Visitor, case: Planted
) -> None:
    with service.database.write() as connection:
        table(AccessLog).drop(connection)
    response = supervisor.get(path_of(case.file_id))
    assert response.status_code == 500
    assert PICTURE[:64] not in response.data


def test_a_file_of_no_case_is_not_there(service: Service, supervisor: Visitor, case: Planted) -> None:
    assert supervisor.get(path_of(new_id())).status_code == 404
    another = _another(service)
    with service.database.write() as connection:
        connection.execute(update(table(Case)).values(conversation_id=another))
    assert supervisor.get(path_of(case.file_id)).status_code == 404


def _another(service: Service) -> str:
    """The id of a conversation in which no file was sent."""
    conversation = table(Conversation)
    with service.database.write() as connection:
        row = dict(connection.execute(select(conversation)).one()._mapping)
        row |= {"id": new_id(), "address_id": None, "contact_id": None, "call_id": None}
        connection.execute(insert(conversation).values(row))
    return str(row["id"])
