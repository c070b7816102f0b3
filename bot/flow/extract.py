"""The translatable texts of a YAML file: for Babel (``babel.cfg``) and for the checker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from bot.flow.source import Path, Source, read

_WORDS_NOTE: Final = "ways in which people write it, parted by commas; give the words of your language"
_TELLING_NOTE: Final = "words that would tell a third party what this is about, parted by commas"


@dataclass(frozen=True, slots=True)
class Marked:
    """One text to be translated: where it stands, in which context, and what translators should know."""

    text: str
    context: str | None
    line: int
    note: str
    medium: str = "both"
    """``voice`` or ``text`` where the text belongs to one of them only."""


def extract(
    fileobj: IO[bytes], *_: object, **__: object
) -> Iterator[tuple[int, str, str | tuple[str, str], list[str]]]:
    """Babel's extraction method for flows, ``words.yaml`` and ``telling.yaml``. Babel's keywords, comment
    tags and options mean nothing in YAML."""
    source = read(fileobj.read().decode(), getattr(fileobj, "name", "flow"))
    for item in marked(source):
        if item.context is None:
            yield item.line, "gettext", item.text, [item.note]
        else:
            yield item.line, "pgettext", (item.context, item.text), [item.note]


def marked(source: Source) -> Iterator[Marked]:
    """Every translatable text of a parsed file, in the order of the file."""
    data = source.data
    if not isinstance(data, dict) or data.keys() & {"categories", "countries", "languages"}:
        return
    if "steps" in data:
        yield from _of_flow(source, data)
        return
    telling = "before_pass_word" in data
    for key, listed in data.items():
        context, note = ("telling", _TELLING_NOTE) if telling else ("words", _WORDS_NOTE)
        yield Marked(str(listed), context, source.line((key,)), f"{key}: {note}", "text")


def _of_flow(source: Source, data: Mapping[str, Any]) -> Iterator[Marked]:
    for place, step in enumerate(data["steps"]):
        base: Path = ("steps", place)
        where = f"{data.get('name', '')}: {step.get('id', '')}"
        note = f". {step['note']}" if "note" in step else ""
        said = step.get("say", [])
        for number, item in enumerate(said if isinstance(said, list) else [said]):
            path: Path = (*base, "say", number) if isinstance(said, list) else (*base, "say")
            yield from _texts(source, item, path, f"{where} (statement){note}")
        if "text" in step:
            yield from _texts(source, step["text"], (*base, "text"), f"{where} (question){note}")
        for number, option in enumerate(step.get("options", [])):
            line = source.line((*base, "options", number))
            yield Marked(option["label"], None, line, f"{where} (option '{option['code']}')")
            if "words" in option:
                words = f"{where} (option '{option['code']}'): {_WORDS_NOTE}"
                yield Marked(option["words"], "words", line, words, "text")


def _texts(source: Source, item: str | Mapping[str, str], path: Path, note: str) -> Iterator[Marked]:
    if isinstance(item, str):
        yield Marked(item, None, source.line(path), note)
    elif item["voice"] == item["text"]:
        yield Marked(item["text"], None, source.line(path), note)
    else:
        yield Marked(item["voice"], None, source.line((*path, "voice")), f"{note}, heard", "voice")
        yield Marked(item["text"], None, source.line((*path, "text")), f"{note}, read", "text")
