"""What the public can reach: forged, broken and oversized requests, and what happens when the database is away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bot.storage import tables
from channels.base import MAX_BODY_BYTES
from channels.voice import Recordings
from tests.journeys.world import BEGIN, CALLER, HOTLINE, Worker, World, said_in

SENDER = "+6281200000009"
SMS = {"MessageSid": "SM" + "1" * 32, "From": SENDER, "To": HOTLINE, "Body": "hello", "NumMedia": "0"}
CALL = {
    "CallSid": "CA" + "1" * 32,
    "From": SENDER,
    "To": HOTLINE,
    "CallStatus": "ringing",
    "Direction": "inbound",
}
UNKNOWN = "0" * 32
PATHS = [
    "/channels/sms",
    "/channels/sms/status",
    "/channels/voice",
    "/channels/voice/fallback",
    "/channels/voice/status",
    f"/channels/voice/answer/{UNKNOWN}",
    f"/channels/voice/turn/{UNKNOWN}?n=1",
    f"/channels/voice/recording/{UNKNOWN}?n=1",
    f"/channels/voice/status/{UNKNOWN}",
]


# --- forged -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", [None, "", "bm90IHRoZSByaWdodCBvbmU=", "ü", "x" * 5000])
@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_signature_is_refused_and_writes_nothing(
    sqlite_world: World, path: str, signature: str | None
) -> None:
    before = sqlite_world.counts()
    headers = {} if signature is None else {"X-Twilio-Signature": signature.encode()}
    form = {**SMS, **CALL, "AnsweredBy": "machine_start", "MessageStatus": "delivered"}
    answer = requests.post(sqlite_world.url + path, data=form, headers=headers, timeout=10)
    assert answer.status_code == 403
    assert sqlite_world.counts() == before


@pytest.mark.parametrize("path", PATHS)
def test_a_good_signature_of_other_words_is_refused(sqlite_world: World, path: str) -> None:
    before = sqlite_world.counts()
    good = sqlite_world.signed("/channels/sms", SMS).request.headers["X-Twilio-Signature"]
    first = sqlite_world.counts()
    assert first != before
    answer = requests.post(
        sqlite_world.url + path,
        data={**SMS, "Body": "other"},
        headers={"X-Twilio-Signature": good},
        timeout=10,
    )
    assert answer.status_code == 403
    assert sqlite_world.counts() == first


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", PATHS)
def test_only_posts_are_taken(sqlite_world: World, path: str, method: str) -> None:
    answer = requests.request(method, sqlite_world.url + path, timeout=10)
    assert answer.status_code in {404, 405}


# --- broken -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        f"/channels/voice/answer/{UNKNOWN}",
        f"/channels/voice/turn/{UNKNOWN}?n=1",
        "/channels/whatsapp",
        "/channels/pigeon",
        "/channels/pigeon/status",
    ],
)
def test_what_is_not_known_is_not_found(sqlite_world: World, path: str) -> None:
    before = sqlite_world.counts()
    assert sqlite_world.signed(path, CALL).status_code == 404
    assert sqlite_world.counts() == before


def test_a_machine_at_an_attempt_that_is_not_known_changes_nothing(sqlite_world: World) -> None:
    before = sqlite_world.counts()
    answer = sqlite_world.signed(f"/channels/voice/answer/{UNKNOWN}", {**CALL, "AnsweredBy": "machine_start"})
    assert answer.status_code in {200, 404}
    assert sqlite_world.counts() == before


@pytest.mark.parametrize("query", ["", "?n=", "?n=-1", "?n=x", "?n=٣", "?n=1e9", "?n=9999999"])
def test_a_turn_without_a_number_is_a_bad_request(sqlite_world: World, query: str) -> None:
    answer = sqlite_world.signed(f"/channels/voice/turn/{UNKNOWN}{query}", CALL)
    assert answer.status_code in {400, 403}


@pytest.mark.parametrize("missing", ["MessageSid", "From", "To"])
def test_a_text_without_its_fields_is_a_bad_request(sqlite_world: World, missing: str) -> None:
    form = {name: value for name, value in SMS.items() if name != missing}
    assert sqlite_world.signed("/channels/sms", form).status_code == 400


def test_an_oversized_body_is_refused_before_it_is_read(sqlite_world: World) -> None:
    before = sqlite_world.counts()
    form = {**SMS, "Body": "x" * (MAX_BODY_BYTES + 1)}
    assert sqlite_world.signed("/channels/sms", form).status_code == 413
    assert sqlite_world.counts() == before


def test_a_long_text_is_kept_whole(sqlite_world: World) -> None:
    body = "They keep us in at night. " * 200
    assert sqlite_world.signed("/channels/sms", {**SMS, "Body": body}).status_code == 200
    assert ("in", body) in sqlite_world.transcript()


VALUES = st.text(st.characters(codec="utf-8"), max_size=80)
FIELDS = st.sampled_from(
    [
        *("MessageSid", "From", "To", "Body", "NumMedia", "MediaUrl0", "MediaContentType0", "FromCountry"),
        *("CallSid", "CallStatus", "Direction", "Digits", "RecordingSid", "RecordingUrl", "AnsweredBy"),
        *("RecordingDuration", "CallDuration", "MessageStatus", "ErrorCode", "SipResponseCode"),
    ]
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(path=st.sampled_from(PATHS), form=st.dictionaries(FIELDS, VALUES, max_size=8))
def test_signed_nonsense_never_breaks_the_service(
    sqlite_world: World, path: str, form: dict[str, str]
) -> None:
    answer = sqlite_world.signed(path, {**SMS, **CALL, **form})
    assert answer.status_code < 500, (path, form)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    path=st.sampled_from(PATHS),
    body=st.binary(max_size=300),
    kind=st.sampled_from(
        [
            "application/x-www-form-urlencoded",
            "application/json",
            "multipart/form-data; boundary=x",
            "",
            "x/y",
        ]
    ),
)
def test_any_bytes_are_refused_with_a_client_error(
    sqlite_world: World, path: str, body: bytes, kind: str
) -> None:
    answer = requests.post(
        sqlite_world.url + path,
        data=body,
        headers={"Content-Type": kind, "X-Twilio-Signature": "x"},
        timeout=10,
    )
    assert 400 <= answer.status_code < 500


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(turns=st.lists(st.dictionaries(st.sampled_from(["Digits", "RecordingSid"]), VALUES), max_size=5))
def test_any_keys_in_a_call_are_answered(sqlite_world: World, turns: list[dict[str, str]]) -> None:
    world = sqlite_world
    call = {**CALL, "CallSid": f"CA{len(world.hits):032x}"}
    document = world.signed("/channels/voice", call)
    for form in turns:
        assert document.status_code == 200
        at = document.text.find("/channels/voice/turn/")
        if at < 0:
            return
        path = document.text[at : document.text.index('"', at)]
        document = world.signed(path, {**call, **form})
    assert document.status_code == 200
    assert said_in(document.text) or "Hangup" in document.text


@pytest.mark.parametrize(
    "path",
    [
        "/channels/voice/audio/en/%2e%2e%2f%2e%2e%2fpyproject.wav",
        "/channels/voice/audio/..%2f..%2fbot/x.wav",
        "/channels/voice/audio/my/none.wav",
        "/channels/voice/audio/xx/none.wav",
        f"/channels/voice/audio/{'x' * 300}/none.wav",
        f"/channels/voice/audio/en/{'x' * 300}.wav",
    ],
    ids=["up from a name", "up from a language", "none in Burmese", "no language", "long", "long name"],
)
def test_no_other_file_is_given_out_as_a_recording(sqlite_world: World, path: str) -> None:
    assert requests.get(sqlite_world.url + path, timeout=10).status_code == 404


def test_asking_for_recordings_of_any_language_fills_no_memory(tmp_path: Path) -> None:
    (tmp_path / "en" / "audio").mkdir(parents=True)
    (tmp_path / "en" / "audio" / "known.wav").touch()
    recordings = Recordings(tmp_path)
    asked = [f"en{'1' * length}" for length in range(20)] + [f"x{'y' * length}" for length in range(20)]
    assert sum(recordings.has(language, "known") for language in asked) == 20
    assert len(recordings._names) == 1


# --- the database is away ------------------------------------------------------------------------------


def test_a_full_disk_is_answered_with_come_again(sqlite_world: World) -> None:
    world = sqlite_world
    world.signed("/channels/sms", SMS)
    _limit_pages(world, full=True)
    answer = world.signed("/channels/sms", {**SMS, "MessageSid": "SM" + "2" * 32, "Body": "x" * 60_000})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    _limit_pages(world, full=False)
    again = world.signed("/channels/sms", {**SMS, "MessageSid": "SM" + "2" * 32, "Body": "x" * 60_000})
    assert again.status_code == 200
    assert [text for direction, text in world.transcript() if direction == "in"] == ["hello", "x" * 60_000]


def _limit_pages(world: World, *, full: bool) -> None:
    """Let SQLite find the disk full, or let it grow again (``PRAGMA max_page_count`` holds per connection)."""
    database = world.service.database
    database.dispose()
    most = "max_page_count = 1" if full else "max_page_count = 1073741823"
    from sqlalchemy import event

    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA {most}").close()

    event.listen(database.engine, "connect", limit)


def test_a_lost_database_is_answered_with_come_again_and_told_by_readyz(
    world: World,
) -> None:
    world.interviewed(Worker(script={"steps": [*BEGIN], "then": "silent"}))
    world.at("2026-03-02T18:01:00+07:00")
    away, back = _outage(world)
    away()
    try:
        for path, form in (
            ("/channels/sms", SMS),
            ("/channels/voice", CALL),
            (f"/channels/voice/answer/{UNKNOWN}", {**CALL, "From": CALLER}),
            (f"/channels/voice/status/{UNKNOWN}", CALL),
        ):
            assert world.signed(path, form).status_code == 503, path
        ready = requests.get(world.url + "/readyz", timeout=10)
        assert ready.status_code == 503
        (why,) = [check for check in ready.json()["checks"] if check["name"] == "database"]
        assert why["ok"] is False
        assert why["why"]
        assert requests.get(world.url + "/healthz", timeout=10).status_code == 200
    finally:
        back()
    assert world.signed("/channels/sms", SMS).status_code == 200
    assert [text for direction, text in world.transcript() if direction == "in"] == ["hello"]
    world.rest()
    assert len(world.network.calls()) == 1


def _outage(world: World) -> tuple[Callable[[], None], Callable[[], None]]:
    """How to take the database away, and how to bring it back."""
    url = make_url(str(world.service.database.engine.url.render_as_string(hide_password=False)))
    if url.get_backend_name() == "sqlite":
        assert url.database
        path, hidden = Path(url.database), Path(f"{url.database}.away")

        def away() -> None:
            with world.service.database.read() as connection:
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            world.service.database.dispose()
            path.rename(hidden)
            path.mkdir()

        def back() -> None:
            path.rmdir()
            hidden.rename(path)

        return away, back
    name = url.database

    def allow(connect: bool) -> None:
        from sqlalchemy import create_engine

        engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {str(connect).lower()}'))
            if not connect:
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                    {"name": name},
                )
        engine.dispose()

    return lambda: allow(False), lambda: allow(True)


def test_twilio_delivers_again_what_came_while_the_database_was_away(sqlite_world: World) -> None:
    world = sqlite_world
    away, back = _outage(world)
    tries: list[str] = []

    def heal(path: str) -> None:
        # The second try of the provider finds the database back.
        tries.append(path)
        if len(tries) == 2:
            back()

    away()
    world.before = heal
    world.network.text(SENDER, "They have not paid us since January, nobody helps us")
    world.network.idle()
    world.before = None
    assert len(tries) == 2
    assert len(world.rows(tables.Conversation)) == 1
