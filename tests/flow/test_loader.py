"""A flow author's mistake is told with file, line, reason and, where there is one, a suggestion."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import FlowError
from bot.flow.library import Library
from bot.flow.loader import duration, load, revision_of
from bot.flow.schema import published
from bot.flow.source import Fault, FlowFaults
from bot.flow.taxonomy import Taxonomy, load_taxonomy
from tests.flow.conversation import TAXONOMY, flow_text, shelf

ROOT = Path(__file__).parents[2]
END = "  - {id: done, end: completed}\n"


def faults_of(text: str) -> list[Fault]:
    with pytest.raises(FlowFaults) as caught:
        load(text, "test.yaml", load_taxonomy(TAXONOMY, "taxonomy.yaml"))
    return list(caught.value.faults)


@cache
def library_taxonomy() -> Taxonomy:
    return Library.open(ROOT / "flows").taxonomy


def only_fault(steps: str, head: str = "") -> Fault:
    (fault,) = faults_of(flow_text("test", steps, head))
    return fault


def test_unknown_step_names_line_and_nearest_step() -> None:
    fault = only_fault("  - {id: one, ask: yes_no, text: One?}\n  - {id: two, say: Two., next: onn}\n" + END)
    assert (fault.code, fault.file, fault.line, fault.suggestion) == ("unknown_step", "test.yaml", 5, "one")
    assert "test.yaml:5" in str(fault)


def test_unknown_key_suggests_the_right_one() -> None:
    fault = only_fault(
        "  - id: one\n    ask: yes_no\n    text: One?\n    grievence: {category: wages}\n" + END
    )
    assert (fault.code, fault.line, fault.suggestion) == ("unknown_key", 7, "grievance")


def test_unknown_type_of_question_suggests_the_right_one() -> None:
    fault = only_fault("  - {id: one, ask: yes_now, text: One?}\n" + END)
    assert (fault.code, fault.suggestion) == ("value", "yes_no")


def test_unknown_category_suggests_the_right_one() -> None:
    fault = only_fault("  - {id: one, ask: yes_no, text: One?, grievance: {category: wage}}\n" + END)
    assert (fault.code, fault.suggestion) == ("category", "wages")


def test_unknown_name_in_a_condition_suggests_the_right_one() -> None:
    fault = only_fault("  - {id: one, when: {roll: interviewed}, say: One.}\n" + END)
    assert (fault.code, fault.suggestion) == ("unknown_name", "role")


def test_impossible_code_in_a_condition_is_found() -> None:
    fault = only_fault(
        "  - {id: one, ask: yes_no, text: One?}\n  - {id: two, when: {one: yeah}, say: Two.}\n" + END
    )
    assert (fault.code, fault.line) == ("unknown_code", 5)


def test_impossible_code_in_next_is_found() -> None:
    fault = only_fault("  - {id: one, ask: yes_no, text: One?, next: {nope: done}}\n" + END)
    assert fault.code == "unknown_code"


def test_two_steps_of_one_name_are_found() -> None:
    fault = only_fault("  - {id: one, say: One.}\n  - {id: one, say: Two.}\n" + END)
    assert (fault.code, fault.line) == ("duplicate_id", 5)


def test_key_that_is_given_twice_is_found() -> None:
    fault = only_fault("  - id: one\n    say: One.\n    say: Two.\n" + END)
    assert (fault.code, fault.line) == ("duplicate_key", 6)


def test_all_mistakes_of_a_file_come_together() -> None:
    text = flow_text(
        "test", "  - {id: one, say: One., next: nowhere}\n  - {id: two, say: Two., next: no_place}\n" + END
    )
    found = faults_of(text)
    assert [fault.line for fault in found] == [4, 5]
    assert str(FlowFaults(found)).endswith("(and 1 more)")
    assert isinstance(found[0], FlowError)


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ("  - {id: one, ask: choice, text: One?}\n", "options"),
        ("  - {id: one, ask: pass_word, text: Code?}\n", "pass_word"),
        ("  - {id: one, ask: open, text: One?, consent: record}\n", "yes_no_only"),
        ("  - {id: one, ask: yes_no, text: One?, first_words: true}\n", "open_only"),
        ("  - {id: one, ask: yes_no, text: One?, end: completed}\n", "two_deeds"),
        (
            "  - {id: one, say: One., schedule: {reason: later, preference: evening, answer: one}}\n",
            "schedule",
        ),
        ("  - {id: one, ask: yes_no}\n", "missing_key"),
        ("  - {say: One.}\n", "missing_key"),
        ("  - {id: One, say: One.}\n", "value"),
        ("  - {id: one, say: {voice: One.}}\n", "missing_key"),
        ("  - {id: one, say: One., next: [two]}\n", "type"),
        ("  - {id: one, say: One., schedule: {reason: later, preference: tomorrow}}\n", "value"),
    ],
)
def test_mistake_has_its_code(steps: str, code: str) -> None:
    assert code in {fault.code for fault in faults_of(flow_text("test", steps + END))}


@pytest.mark.parametrize(
    "text", ["", "name: [", "- a list", "name: test\ntitle: T\nsteps: []\n", "{{{", "\t"]
)
def test_file_that_is_no_flow_is_refused_with_a_reason(text: str) -> None:
    assert all(fault.reason for fault in faults_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "name: &a [*a]\n",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
        ),
        "[" * 200 + "]" * 200,
        "[" * 50_000,
    ],
    ids=["itself", "laughs", "deep", "deeper"],
)
def test_file_that_is_a_trap_is_refused(text: str) -> None:
    assert faults_of(text)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_flow_is_loaded_or_refused_and_never_crashes(data: st.DataObject) -> None:
    lines = (ROOT / "flows" / "hotline.yaml").read_text(encoding="utf-8").splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        other = data.draw(st.integers(0, len(lines) - 1))
        deed = data.draw(st.sampled_from(["drop", "swap", "cut", "mark"]))
        if deed == "drop":
            lines[place] = ""
        elif deed == "swap":
            lines[place], lines[other] = lines[other], lines[place]
        elif deed == "cut":
            lines[place] = lines[place][: len(lines[place]) // 2]
        else:
            lines[place] += data.draw(st.sampled_from([" [", ": x", " *y", " 3", " {", "'", " #", "\t"]))
    with suppress(FlowFaults):
        load("\n".join(lines), "hotline.yaml", library_taxonomy())


def test_bare_yes_and_no_are_answers_and_not_booleans() -> None:
    steps = "  - {id: one, ask: yes_no, text: One?, next: {no: done}}\n  - {id: two, when: {one: yes}, say: Two.}\n"
    flow = load(flow_text("test", steps + END), "test.yaml", load_taxonomy(TAXONOMY, "taxonomy.yaml"))
    assert dict(flow.steps["one"].routes) == {"no": "done"}
    two = flow.steps["two"].when
    assert two is not None
    assert two({"one": "yes"})


def test_durations_are_seconds() -> None:
    assert [duration(text) for text in ("90s", "10m", "24h", "3d")] == [90, 600, 86400, 259200]


def test_revision_changes_with_every_letter() -> None:
    assert revision_of("a") != revision_of("b")
    assert len(revision_of("a")) == 12


def test_schema_is_published_as_it_is_used() -> None:
    assert (ROOT / "flows" / "schema.json").read_text(encoding="utf-8") == published()


@pytest.mark.parametrize("path", sorted((ROOT / "flows").glob("*.yaml")), ids=lambda path: str(path.name))
def test_flows_tell_editors_their_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "steps:" not in text or text.startswith("# yaml-language-server: $schema=schema.json\n")


# --- the library ----------------------------------------------------------------------------


def test_broken_file_keeps_the_last_good_revision(tmp_path: Path) -> None:
    folder = shelf(tmp_path, test=flow_text("test", END))
    library = Library.open(folder)
    held = library.get("test")
    shelf(folder, test="name: [", words="stop: stop\n")
    codes = {fault.file: fault.code for fault in library.reload()}
    assert set(codes) == {f"{tmp_path.name}/test.yaml", f"{tmp_path.name}/words.yaml"}
    assert library.get("test") is held
    assert library.words.lists["help"]


def test_broken_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(FlowFaults):
        Library.open(shelf(tmp_path, test="name: ["))


def test_missing_words_stop_the_start(tmp_path: Path) -> None:
    folder = shelf(tmp_path, test=flow_text("test", END))
    (folder / "words.yaml").unlink()
    with pytest.raises(FlowFaults, match="missing"):
        Library.open(folder)


def test_older_revision_is_fetched(tmp_path: Path) -> None:
    old = flow_text("test", "  - {id: old, end: refused}\n")
    folder = shelf(tmp_path, test=flow_text("test", END))
    library = Library.open(folder, lambda name, _: old if name == "test" else None)
    assert library.get("test", revision_of(old)).first == "old"
    assert library.get("test").first == "done"
    assert library.source("test") == flow_text("test", END)


def test_flow_and_file_have_the_same_name(tmp_path: Path) -> None:
    with pytest.raises(FlowFaults, match="same name"):
        Library.open(shelf(tmp_path, other=flow_text("test", END)))


def test_only_parts_are_run(tmp_path: Path) -> None:
    with pytest.raises(FlowFaults, match="part: true"):
        Library.open(shelf(tmp_path, test=flow_text("test", "  - {id: one, run: tset}\n" + END)))


@pytest.mark.parametrize("word", ["end", "Quit", "CANCEL"])
def test_words_of_the_telephone_companies_are_refused(tmp_path: Path, word: str) -> None:
    folder = shelf(tmp_path, test=flow_text("test", END))
    words = (folder / "words.yaml").read_text().replace("hide: hide", f"hide: hide, {word}")
    (folder / "words.yaml").write_text(words)
    with pytest.raises(FlowFaults, match="opt-out"):
        Library.open(folder)
