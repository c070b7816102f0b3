"""An upload may come again, changed, in parts, and by two people at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.audits.importing import Report, bring_in
from bot.audits.upload import read
from bot.storage import tables
from tests.journeys.world import REPORTS_DISMISSAL, Worker, World, upload

MANY = tuple(Worker(number=f"+62812000001{n:02}", alias=f"W-{n}", pass_word=f"47{n:02}") for n in range(30))


def bring(world: World, *workers: Worker, **audit: str) -> Report:
    """Upload workers."""
    path = world.folder / "again.csv"
    path.write_text(upload(workers, **audit), encoding="utf-8")
    return bring_in(world.service, read(path))


def test_an_upload_that_comes_again_changes_nothing(world: World) -> None:
    first = bring(world, *MANY)
    counts = world.counts()
    again = bring(world, *MANY)
    assert (first.created, again.created, again.unchanged) == (30, 0, 30)
    assert world.counts() == counts


def test_a_crash_in_the_middle_leaves_whole_rows_and_the_next_upload_goes_on(world: World) -> None:
    path = world.folder / "many.csv"
    many = tuple(Worker(number=f"+6281200{n:06}", alias=f"W-{n}") for n in range(150))
    path.write_text(upload(many), encoding="utf-8")

    def fail(_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_in(world.service, read(path), fail)
    kept = len(world.rows(tables.CohortMember))
    assert 0 < kept < 150
    assert len(world.rows(tables.Callback)) == kept
    report = bring_in(world.service, read(path))
    assert (report.created, report.unchanged) == (150 - kept, kept)


def test_one_phone_of_two_workers_is_one_address_and_two_people(world: World) -> None:
    bring(world, Worker(alias="a", pass_word="1111"), Worker(alias="b", pass_word="2222"))
    assert len(world.rows(tables.AddressRow)) == 1
    assert len(world.rows(tables.Contact)) == 2
    assert len(world.callbacks()) == 2


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"preferred_time": "morning"}, "preference", "morning"),
        ({"language": "id"}, "language", "id"),
        ({"timezone": "Asia/Makassar"}, "timezone", "Asia/Makassar"),
        ({"channel": "sms"}, "channel", "sms"),
    ],
)
def test_a_changed_row_changes_its_callback(
    sqlite_world: World, change: dict[str, str], field: str, value: str
) -> None:
    bring(sqlite_world, Worker())
    before = sqlite_world.callback()
    assert bring(sqlite_world, Worker(**change)).updated == 1
    after = sqlite_world.callback()
    assert (after["id"], after[field]) == (before["id"], value)


def test_a_changed_pass_word_is_the_one_that_counts(sqlite_world: World) -> None:
    world = sqlite_world
    bring(world, Worker())
    (before,) = world.rows(tables.Contact)
    bring(world, Worker(pass_word="8888"))
    (after,) = world.rows(tables.Contact)
    sealer = world.service.sealer
    assert sealer.is_pass_word(after.id, "8888", after.pass_word_digest)
    assert not sealer.is_pass_word(before.id, "4711", after.pass_word_digest)


def test_a_worker_who_was_reached_is_not_called_again_by_a_new_upload(sqlite_world: World) -> None:
    world = sqlite_world
    world.interviewed(Worker(script=REPORTS_DISMISSAL))
    world.at("2026-03-02T18:01:00+07:00")
    world.rest()
    before = world.callback()["state"]
    bring(world, Worker(preferred_time="night"))
    assert world.callback()["state"] == before != "scheduled"


def test_two_uploads_at_once_make_nobody_twice(world: World) -> None:
    files: list[Path] = []
    for name in ("one", "two"):
        files.append(world.folder / f"{name}.csv")
        files[-1].write_text(upload(MANY), encoding="utf-8")

    def take(path: Path) -> object:
        try:
            return bring_in(world.service, read(path))
        except Exception as error:  # the loser of a race may be asked to upload again
            return error

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(take, files))
    for path in files:
        bring_in(world.service, read(path))
    assert len(world.rows(tables.CohortMember)) == len(world.callbacks()) == 30
    assert len(world.rows(tables.Audit)) == len(world.rows(tables.Client)) == 1


def test_numbers_names_and_codes_are_sealed(sqlite_world: World) -> None:
    world = sqlite_world
    bring(world, Worker(number="+6281277788899", alias="Kestrel", pass_word="40926173"))
    for row in (
        tables.AddressRow,
        tables.Contact,
        tables.CohortMember,
        tables.Callback,
        tables.ContactAddress,
    ):
        for found in world.rows(row):
            for value in found:
                plain = value if isinstance(value, bytes) else str(value).encode()
                assert not any(secret in plain for secret in (b"77788899", b"Kestrel", b"40926173"))
