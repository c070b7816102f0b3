"""Promises of the ground that the other tests stand on (``tests/conftest.py``)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from redis import Redis
from sqlalchemy import text

from bot.storage.database import Database
from tests import browser as chromiums
from tests.browser import ChromiumUnavailable, NewPage, find_chromium, pages
from tests.conftest import OutsideAddress, _left
from tests.postgres import Postgres, PostgresUnavailable, binaries, running

ROOT = Path(__file__).parents[1]


# --- the watch ------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("api.twilio.example", 443), ("2001:db8::1", 25)])
def test_no_test_reaches_outside_even_if_it_swallows_the_error(
    watch: list[str], address: tuple[str, int]
) -> None:
    with pytest.raises(OutsideAddress):
        socket.create_connection(address, timeout=1)
    assert len(watch) == 1
    watch.clear()


def test_datagrams_stay_on_this_machine(watch: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, pytest.raises(OutsideAddress):
        sender.sendto(b"", ("192.0.2.1", 53))
    watch.clear()


def test_threads_and_processes_left_behind_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.conftest._LEFTOVER_SECONDS", 0.1)
    threads, release = set(threading.enumerate()), threading.Event()
    lazy = threading.Thread(target=release.wait, name="lazy")
    lazy.start()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = _left(threads, {})
        assert child.stdin
        child.stdin.write(b"\n")
    release.set()
    lazy.join()
    assert found[0] == "thread lazy"
    assert any(name.startswith("process python") for name in found[1:])


# --- databases and Redis --------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_a_migrated_and_empty_database(database: Database, turn: int) -> None:
    database.check_schema()
    with database.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM client")).scalar() == 0
        connection.execute(text("CREATE TABLE left_by_another_test (id int)"))


@pytest.mark.durable
def test_durable_tests_write_to_the_disk(postgres: Postgres, postgres_url: str) -> None:
    assert settings_of(postgres, postgres_url) == "on"


def test_other_tests_do_not(postgres: Postgres, postgres_url: str) -> None:
    assert settings_of(postgres, postgres_url) == "off"


def settings_of(postgres: Postgres, url: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW fsync").fetchone()
    assert row
    return str(row[0])


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_an_empty_redis(redis: Redis, turn: int) -> None:
    assert redis.dbsize() == 0
    redis.set("left", "by another test")


@pytest.mark.parametrize("programs", binaries(), ids=lambda folder: "-".join(folder.parts[-3:]))
def test_every_postgresql_of_this_machine_will_do(programs: Path) -> None:
    with running(lambda: (programs,)) as server:
        server.create("one")
        server.drop("one")
        folder = server.folder
        assert folder.exists()
    assert not folder.exists()


def test_missing_postgresql_fails_and_says_what_to_do() -> None:
    with pytest.raises(PostgresUnavailable, match="VOICEBACK_POSTGRES_BIN"), running(lambda: ()):
        pass


def test_killed_run_leaves_no_server_and_no_folder() -> None:
    script = (
        "import sys; from tests.postgres import running\n"
        "with running() as server: print(server.folder, flush=True); sys.stdin.read()"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with run:
        assert run.stdout
        folder = Path(run.stdout.readline().strip())
        server = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while folder.exists() or alive(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- the browser ----------------------------------------------------------------------------------


@pytest.fixture
def strict_page() -> Iterator[str]:
    """The address of a page whose policy forbids the script that it holds."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Security-Policy", "default-src 'self'")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                b"<!doctype html><link rel=icon href=data:,><h1>Hi</h1><script>alert(1)</script>"
            )

        def log_message(self, *_: object) -> None:
            """Tests keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


def test_page_opens_on_a_phone(browser: NewPage) -> None:
    page = browser(viewport={"width": 360, "height": 740}, is_mobile=True)
    page.set_content("<h1>Hi</h1>")
    assert page.inner_text("h1") == "Hi"
    assert page.evaluate("innerWidth") <= 980


def test_broken_content_security_policy_is_a_problem(chromium: Browser, strict_page: str) -> None:
    with pages(chromium) as (new_page, problems):
        new_page().goto(strict_page)
    assert problems
    assert all("Content Security Policy" in problem for problem in problems)


def test_page_that_asks_elsewhere_is_a_problem(chromium: Browser) -> None:
    with pages(chromium) as (new_page, problems):
        page = new_page()
        with page.expect_event("requestfailed"):
            page.set_content("<img src='http://tracker.example/x.png'>")
    assert problems == ["a page asked for something elsewhere: http://tracker.example"]


def test_failing_script_is_a_problem(chromium: Browser) -> None:
    with pages(chromium) as (new_page, problems):
        page = new_page()
        with page.expect_event("pageerror"):
            page.set_content("<script>throw new Error('oh')</script>")
    assert problems == ["a script failed: oh"]


def test_named_chromium_comes_first_and_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = tmp_path / "chrome"
    monkeypatch.setenv("VOICEBACK_CHROMIUM", str(mine))
    with pytest.raises(ChromiumUnavailable, match="VOICEBACK_CHROMIUM"):
        find_chromium()
    mine.touch()
    assert find_chromium() == mine


def test_npm_comes_with_the_lock_where_the_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = subprocess.run([*chromiums._npm(), "--version"], capture_output=True, check=True, text=True)
    assert int(done.stdout.split(".")[0]) >= 9


def test_cache_stays_in_the_checkout_where_there_is_no_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert chromiums.cache_folder() == ROOT / "var" / "cache"
