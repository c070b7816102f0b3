"""The catalog template, the documentation and the flows say the same."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_file
from babel.messages.pofile import read_po

from bot.flow.catalog import Catalogs
from bot.flow.events import ConsentScope, Outcome
from bot.flow.extract import extract
from bot.flow.library import Library
from bot.flow.model import Kind
from bot.flow.schema import schema

ROOT = Path(__file__).parents[2]


def _marked() -> set[tuple[str | None, str]]:
    found: set[tuple[str | None, str]] = set()
    for path in sorted((ROOT / "flows").glob("*.yaml")):
        with path.open("rb") as file:
            for _, name, message, _ in extract(file, [], [], {}):
                assert name == ("gettext" if isinstance(message, str) else "pgettext")
                found.add((None, message) if isinstance(message, str) else message)
    keywords = dict(DEFAULT_KEYWORDS)
    phrases = extract_from_file("python", ROOT / "bot" / "flow" / "phrases.py", keywords)
    for _, text, _, context in phrases:
        found.add((context, text if isinstance(text, str) else text[-1]))
    return found


def test_template_holds_every_text_and_no_other() -> None:
    with (ROOT / "locales" / "voiceback.pot").open("rb") as file:
        template = {(message.context, str(message.id)) for message in read_po(file) if message.id}
    assert template == _marked(), "run the command at the top of babel.cfg"


def test_translators_learn_where_a_text_is_said() -> None:
    text = b"name: a\ntitle: A\nsteps:\n  - id: one\n    note: Be kind.\n    ask: yes_no\n    text: One?\n"
    assert list(extract(io.BytesIO(text))) == [(7, "gettext", "One?", ["a: one (question). Be kind."])]


@pytest.mark.parametrize("definition", ["step", "option", "grievance", "schedule", "branch"])
def test_every_key_of_a_flow_is_documented(definition: str) -> None:
    page = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    keys = set(schema()["$defs"][definition]["properties"]) | set(schema()["properties"])
    assert sorted(key for key in keys if not re.search(rf"`{key}(: \w+)?`", page)) == []


def test_every_answer_type_outcome_and_consent_is_documented() -> None:
    page = (ROOT / "docs" / "flows.md").read_text(encoding="utf-8")
    words = [item.value for group in (Kind, Outcome, ConsentScope) for item in group]
    assert sorted(word for word in words if f"`{word}`" not in page) == []


def test_every_flow_can_be_had_by_name_and_revision(library: Library) -> None:
    for name in library.names():
        flow = library.get(name)
        assert library.get(name, flow.revision) is flow


def test_taxonomy_covers_audit_integrity_and_retaliation(library: Library) -> None:
    branches = {category.branch for category in library.taxonomy.categories.values()}
    assert branches == {"integrity", "retaliation", "work"}
    assert {
        "coaching",
        "falsified_record",
        "hidden_worker",
        "forced_disclosure",
        "dismissal",
        "discipline",
    } <= set(library.taxonomy.categories)


@pytest.mark.parametrize(
    ("wanted", "served"),
    [
        *(("id", "id"), ("id-ID", "id"), ("zh-Hans-CN", "zh-Hans"), ("zh", "zh-Hans")),
        *(("tl", "en"), ("EN-gb", "en")),
    ],
)
def test_nearest_language_is_served(wanted: str, served: str) -> None:
    assert Catalogs(None, ("id", "zh-Hans")).nearest(wanted) == served
