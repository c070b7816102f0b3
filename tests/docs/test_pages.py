"""Promises of the pages: links lead somewhere, linked tests exist, and every page can be found."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.reference import ROOT

MOST_IMAGE_BYTES = 150 * 1024
PNG = b"\x89PNG\r\n\x1a\n"
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|`[^`]*`)*)\]\(([^()\s]+)\)")
_PLACES = re.compile(r"(?<![\w./-])/(?:home|root|work|tmp|Users)/|localhost:\d|(?:10|172|192)\.\d+\.\d+\.\d+")


def markdown() -> list[Path]:
    """Every page of the project's own."""
    top = [path for path in ROOT.glob("*.md") if path.is_file()]
    rooms = ("docs", "simulator", "locales", "benchmarks", "console", "flows")
    return sorted([*top, *(page for room in rooms for page in (ROOT / room).rglob("*.md"))])


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Words and target of every link and image, outside of code blocks."""
    for _, words, target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        yield words, target


def anchors(page: Path) -> set[str]:
    """What ``#…`` may name in a page, by the rule that code hosts use."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", head).lower()) for head in heads)
    return {head.replace(" ", "-") for head in plain}


@cache
def named_tests(path: Path) -> frozenset[str]:
    """The names of the tests in a file."""
    tree = ast.parse(path.read_bytes())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(n.name for n in ast.walk(tree) if isinstance(n, kinds) and n.name.startswith("test_"))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- links ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", markdown(), ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for _, target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (heading and there.suffix == ".md" and heading not in anchors(there)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", markdown(), ids=name)
def test_every_linked_test_exists(page: Path) -> None:
    missing = []
    for words, target in links(page):
        named = words.strip("`")
        if named.startswith("test_"):
            file = (page.parent / target).resolve()
            if not file.is_file() or named not in named_tests(file):
                missing.append(named)
    assert missing == []


def test_claims_of_privacy_link_their_tests() -> None:
    tables = (ROOT / "docs/privacy.md").read_text().split("| claim | test |\n|---|---|\n")[1:]
    claims = [row for table in tables for row in table.partition("\n\n")[0].splitlines()]
    assert len(claims) > 20
    assert [row for row in claims if "[test_" not in row and "not yet" not in row] == []


def test_every_page_can_be_found_from_the_readme() -> None:
    found, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md" or not page.exists():
            continue
        found.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for _, target in links(page)]
    assert [name(page) for page in markdown() if page not in found and not is_licence(page)] == []


def is_licence(page: Path) -> bool:
    return "LICENSE" in page.name


# --- what the readme and the change log promise -----------------------------------------------------


def test_the_two_commands_of_the_readme_are_targets_of_make() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][\w-]*)", (ROOT / "README.md").read_text()))
    assert {"demo", "test"} <= named <= targets


def test_every_room_of_the_house_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    rooms = [path.parent.name for path in ROOT.glob("*/__init__.py")] + ["flows", "locales", "docs"]
    modules = [path.name for path in ROOT.glob("*.py")]
    assert [room for room in rooms if f"`{room}/`" not in readme] == []
    assert [module for module in modules if f"`{module}`" not in readme] == []


def test_change_log_tells_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    heads = re.findall(r"^## (?:\[)?([\w.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version in heads


def test_licence_is_the_one_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "LICENSE").read_text()
    assert project["license"] == "AGPL-3.0-or-later"
    assert "GNU AFFERO GENERAL PUBLIC LICENSE" in text
    assert "Version 3, 19 November 2007" in text


# --- decisions and images ---------------------------------------------------------------------------


def test_every_decision_has_its_number_status_and_reasons() -> None:
    records = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(record.name[:4])}. "), record.name
        parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], record.name
        assert re.search(r"^Status: (accepted|replaced by \[)", text, re.MULTILINE), record.name


def test_images_are_small_and_used() -> None:
    used = {(page.parent / target).resolve() for page in markdown() for _, target in links(page)}
    for image in (ROOT / "docs/images").iterdir():
        content = image.read_bytes()
        assert content.startswith(PNG), image.name
        assert len(content) <= MOST_IMAGE_BYTES, image.name
        assert image in used, image.name


@pytest.mark.parametrize("page", markdown(), ids=name)
def test_no_page_names_a_place_on_somebodys_machine(page: Path) -> None:
    assert _PLACES.findall(page.read_text(encoding="utf-8")) == []
