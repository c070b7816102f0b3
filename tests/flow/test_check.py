"""The checker finds what would go wrong in a conversation, before anybody has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.flow.catalog import Catalogs, recording_name
from bot.flow.check import Finding, before_gate, check, examine, spoken_texts, telling_words
from bot.flow.graph import dot, graph
from bot.flow.library import Library
from bot.flow.trial import VOICE, WRITTEN
from tests.flow.conversation import SMS, flow_text, shelf

ROOT = Path(__file__).parents[2]
END = "  - {id: done, end: completed}\n"
PO_HEAD = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'


def findings(tmp_path: Path, steps: str, head: str = "", **more: str) -> list[Finding]:
    folder = shelf(tmp_path / "flows", test=flow_text("test", steps, head), **more)
    locales = tmp_path / "locales"
    return examine(folder, locales, [VOICE, SMS], {"en"})


def codes(found: list[Finding]) -> list[str]:
    return [finding.code for finding in found]


def po(tmp_path: Path, language: str, entries: str) -> None:
    folder = tmp_path / "locales" / language / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "flows.po").write_text(PO_HEAD + entries, encoding="utf-8")


def test_our_own_flows_have_nothing_wrong() -> None:
    library = Library.open(ROOT / "flows")
    english = Catalogs(None, ())
    assert check(library, english, [VOICE, *WRITTEN.values()], {"en"}) == []


def test_sound_flow_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, "  - {id: one, ask: yes_no, text: One?}\n" + END) == []


def test_unreachable_step(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, "  - {id: one, say: One., next: done}\n  - {id: two, say: Two.}\n" + END)
    assert (found.code, found.file, found.line) == ("unreachable", "flows/test.yaml", 5)


def test_dead_end(tmp_path: Path) -> None:
    assert codes(findings(tmp_path, "  - {id: one, ask: yes_no, text: One?}\n")) == ["dead_end"]


def test_a_part_may_stop_anywhere(tmp_path: Path) -> None:
    part = flow_text("inner", "  - {id: deep, ask: yes_no, text: Deep?}\n", "part: true\n")
    assert findings(tmp_path, "  - {id: one, run: inner}\n" + END, inner=part) == []


def test_cycle_that_waits_for_nobody(tmp_path: Path) -> None:
    steps = (
        "  - {id: one, say: One.}\n  - {id: two, say: Two., branch: [{when: {role: interviewed}, to: one}]}\n"
    )
    assert codes(findings(tmp_path, steps + END)) == ["endless"]


def test_cycle_through_a_question_is_fine(tmp_path: Path) -> None:
    assert findings(tmp_path, "  - {id: one, ask: yes_no, text: One?, next: {no: one}}\n" + END) == []


def test_question_after_the_conversation_broke_off(tmp_path: Path) -> None:
    steps = "  - {id: one, ask: yes_no, text: One?, next: done}\n  - {id: late, ask: yes_no, text: Late?}\n"
    assert codes(findings(tmp_path, steps + END, "expired: late\n")) == ["unheard"]


@pytest.mark.parametrize(("when", "expected"), [("", ["keypad"]), ("    when: {medium: text}\n", [])])
def test_more_options_than_keys(tmp_path: Path, when: str, expected: list[str]) -> None:
    options = ", ".join(f"{{code: c{n}, label: L{n}}}" for n in range(8))
    steps = f"  - id: one\n{when}    ask: choice\n    text: One?\n    options: [{options}]\n"
    assert codes(findings(tmp_path, steps + END)) == expected


def test_broken_file_is_a_finding_beside_the_others(tmp_path: Path) -> None:
    found = findings(tmp_path, "  - {id: one, ask: yes_no, text: One?}\n", other="name: [")
    assert codes(found) == ["yaml", "dead_end"]


def test_placeholder_in_a_text(tmp_path: Path) -> None:
    assert codes(findings(tmp_path, "  - {id: one, say: 'Hello {name}.'}\n" + END)) == ["placeholder"]


def test_text_that_is_too_long_to_hear(tmp_path: Path) -> None:
    assert codes(findings(tmp_path, f"  - {{id: one, say: {'long ' * 50}}}\n" + END)) == ["too_long_to_hear"]


def test_text_that_is_too_long_for_a_channel(tmp_path: Path) -> None:
    steps = f"  - id: one\n    say: {{voice: Short., text: {'long ' * 400}}}\n" + END
    assert codes(findings(tmp_path, steps)) == ["too_long"]


def test_telling_word_before_the_gate(tmp_path: Path) -> None:
    steps = (
        "  - {id: one, say: This is about your factory.}\n"
        "  - {id: safe, ask: yes_no, safety: check, text: Is all well?}\n"
        "  - {id: two, say: Now about your factory.}\n"
    )
    (found,) = findings(tmp_path, steps + END)
    assert (found.code, found.line) == ("telling_word", 4)


def test_texts_before_the_gate_are_followed_through_every_way(library: Library) -> None:
    texts = {early.wording.voice for early in before_gate(library.get("callback"))}
    assert "Hello. Is this a good time?" in texts
    assert "When is a better time?" in texts
    assert "Sorry, wrong time. We will try later. Goodbye." in texts
    assert "Hello. Thank you for calling." in texts
    assert not any("auditors" in text for text in texts)


@pytest.mark.parametrize(
    ("text", "listed", "expected"),
    [
        ("Your factory called.", "factory", ["factory"]),
        ("The FACTORIES", "factor", ["factor"]),
        ("Satisfactory work", "factory", []),
        ("โรงงานของคุณ", "งาน", ["งาน"]),
        ("စက်ရုံကဖုန်း", "စက်ရုံ", ["စက်ရုံ"]),
    ],
)
def test_telling_words_are_found_in_any_script(text: str, listed: str, expected: list[str]) -> None:
    assert telling_words(text, listed) == expected


def test_missing_and_fuzzy_translations_and_other_placeholders(tmp_path: Path) -> None:
    entries = (
        'msgid "One?"\nmsgstr ""\n\n#, fuzzy\nmsgid "Yes"\nmsgstr "Ya"\n\nmsgid "No"\nmsgstr "Tidak {apa}"\n'
    )
    po(tmp_path, "id", entries)
    found = findings(tmp_path, "  - {id: one, ask: yes_no, text: One?}\n" + END)
    assert {"missing_translation", "fuzzy_translation", "placeholder_mismatch"} <= set(codes(found))
    one = [finding for finding in found if "test.yaml:4" in finding.message]
    assert codes(one) == ["missing_translation"]
    assert one[0].file == "locales/id/LC_MESSAGES/flows.po"


def test_language_without_voice_needs_a_recording_of_every_text(tmp_path: Path) -> None:
    po(tmp_path, "my", 'msgid "One?"\nmsgstr "တစ်?"\n')
    steps = "  - {id: one, ask: yes_no, text: One?}\n" + END
    (found,) = [item for item in findings(tmp_path, steps) if item.code == "no_voice"]
    assert "my has no voice" in found.message
    library, catalogs = Library.open(tmp_path / "flows"), Catalogs.open(tmp_path / "locales")
    audio = tmp_path / "locales" / "my" / "audio"
    audio.mkdir()
    texts = spoken_texts(library, catalogs, "my")
    assert "တစ်?" in texts
    for text in texts:
        (audio / f"{recording_name(text)}.wav").write_bytes(b"RIFF")
    assert "no_voice" not in codes(check(library, catalogs, [VOICE], {"en"}))


def test_recording_name_is_the_hash_of_the_text() -> None:
    assert recording_name("Hello.") == "2d8bd7d9bb5f85ba643f"
    assert len(recording_name("တစ်?")) == 20


def test_stop_must_mean_nothing_else_in_any_language(tmp_path: Path) -> None:
    po(tmp_path, "id", 'msgctxt "words"\nmsgid "stop"\nmsgstr "yes"\n')
    collisions = [item for item in findings(tmp_path, END) if item.code == "word_collision"]
    assert any("'yes' means both stop and yes" in item.message for item in collisions)


def test_everything_that_can_be_said_on_the_telephone_is_listed(library: Library, catalogs: Catalogs) -> None:
    texts = spoken_texts(library, catalogs, "en")
    assert "Press 1." in texts
    assert "Do you use the bus to go shopping?" in texts
    assert "English" in texts
    assert len(texts) == len(set(texts))
    assert not any("write" in text and "SKIP" in text for text in texts)


@pytest.mark.parametrize("name", ["callback", "hotline"])
def test_flow_can_be_drawn(library: Library, name: str) -> None:
    flow = library.get(name)
    drawn, digraph = graph(flow), dot(flow)
    assert drawn.startswith("flowchart TD\n")
    for step in flow.steps:
        assert f"  {step}" in drawn
        assert f'"{step}"' in digraph
