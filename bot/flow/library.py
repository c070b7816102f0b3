"""All flows, by name and revision. The only part of the engine that reads files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from bot.callbacks import wishes
from bot.callbacks.wishes import Vocabulary
from bot.errors import EngineError, FlowError
from bot.flow.loader import load, revision_of
from bot.flow.model import Flow
from bot.flow.source import Fault, FlowFaults, close_match, read, validate
from bot.flow.taxonomy import Taxonomy, load_taxonomy
from bot.flow.words import COMMANDS, FORBIDDEN, Words, split_words

Fetch = Callable[[str, str], str | None]
Made = TypeVar("Made")

APART: Final = ("words.yaml", "taxonomy.yaml", "telling.yaml", "countries.yaml", "times.yaml")
"""Files of the folder that are not flows."""

_WORDS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {command: {"type": "string", "minLength": 1} for command in COMMANDS},
    "required": list(COMMANDS),
    "additionalProperties": False,
}
_TELLING_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {key: {"type": "string"} for key in ("before_pass_word", "before_safety")},
    "required": ["before_pass_word", "before_safety"],
    "additionalProperties": False,
}

_COUNTRIES_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "countries": {
            "type": "object",
            "patternProperties": {"^[A-Z]{2}$": {"type": "array", "items": {"type": "string"}}},
            "additionalProperties": False,
        }
    },
    "required": ["countries"],
    "additionalProperties": False,
}
_TIMES_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "languages": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {key: {"type": "string", "minLength": 1} for key in wishes.KEYS},
                "additionalProperties": False,
            },
        }
    },
    "required": ["languages"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Telling:
    """Words that tell a third party what a call is about: comma-separated English lists, translatable."""

    before_pass_word: str
    before_safety: str


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What one reading of the folder gave."""

    words: Words
    taxonomy: Taxonomy
    telling: Telling
    countries: Mapping[str, tuple[str, ...]]
    times: Mapping[str, Mapping[str, str]]
    flows: Mapping[str, Flow]
    texts: Mapping[str, str]


class Library:
    """The flows of a folder, and the older revisions to which conversations are pinned."""

    def __init__(self, folder: Path, shelf: _Shelf, fetch: Fetch | None) -> None:
        self.folder = folder
        self._shelf = shelf
        self._fetch = fetch
        self._vocabularies: dict[str, Vocabulary] = {}
        self._pinned = {(flow.name, flow.revision): flow for flow in shelf.flows.values()}

    @classmethod
    def open(cls, folder: Path, fetch: Fetch | None = None) -> Library:
        """Read every flow of ``folder``; :class:`~bot.flow.source.FlowFaults` with all mistakes of all files.

        ``fetch`` gives the source text of an older revision by name and revision, or None.
        """
        faults: list[Fault] = []
        shelf = _read(folder, None, faults)
        if faults or shelf is None:
            raise FlowFaults(faults)
        return cls(folder, shelf, fetch)

    @classmethod
    def salvage(cls, folder: Path) -> tuple[Library | None, list[Fault]]:
        """Whatever can be read of ``folder``, and all mistakes: for the checker."""
        faults: list[Fault] = []
        shelf = _read(folder, None, faults)
        return (cls(folder, shelf, None) if shelf else None), faults

    @property
    def words(self) -> Words:
        """The global words."""
        return self._shelf.words

    @property
    def taxonomy(self) -> Taxonomy:
        """The categories of grievances."""
        return self._shelf.taxonomy

    @property
    def telling(self) -> Telling:
        """The words that must not be said before the gate."""
        return self._shelf.telling

    def spoken_in(self, country: str | None) -> tuple[str, ...]:
        """Languages that many workers of a country (ISO 3166) speak besides its official ones."""
        return self._shelf.countries.get(country or "", ())

    def times_in(self, language: str) -> Vocabulary:
        """How people write times in a language (BCP-47 code), or in the nearest one that is listed."""
        known = self._vocabularies.get(language)
        if known is None:
            listed = self._shelf.times
            code = next((each for each in _nearest(language) if each in listed), language)
            known = self._vocabularies[language] = wishes.vocabulary(code, listed.get(code, {}))
        return known

    def names(self) -> tuple[str, ...]:
        """The names of all flows, in order."""
        return tuple(sorted(self._shelf.flows))

    def source(self, name: str) -> str:
        """The source text of the present revision, so that it can be kept for pinned conversations."""
        return self._shelf.texts[self.get(name).name]

    def get(self, name: str, revision: str | None = None) -> Flow:
        """A flow: the present revision, or exactly the given one. :class:`EngineError` if there is none."""
        if revision is not None:
            return self._pinned.get((name, revision)) or self._older(name, revision)
        try:
            return self._shelf.flows[name]
        except KeyError:
            raise EngineError(f"there is no flow '{name}'") from None

    def reload(self) -> list[Fault]:
        """Read the folder again. A file that became broken keeps its last good revision; its mistakes
        are returned. Never raises for what is in a file."""
        faults: list[Fault] = []
        shelf = _read(self.folder, self._shelf, faults)
        if shelf is not None:
            self._shelf = shelf
            self._vocabularies.clear()
            self._pinned.update(((flow.name, flow.revision), flow) for flow in shelf.flows.values())
        return faults

    def _older(self, name: str, revision: str) -> Flow:
        text = self._fetch(name, revision) if self._fetch else None
        if text is None or revision_of(text) != revision:
            raise EngineError(f"revision {revision} of the flow '{name}' is not kept anywhere")
        try:
            flow = load(text, f"{name}@{revision}", self.taxonomy)
        except FlowError as error:
            raise EngineError(f"revision {revision} of the flow '{name}' cannot be read any more") from error
        self._pinned[(name, revision)] = flow
        return flow


def _read(folder: Path, held: _Shelf | None, faults: list[Fault]) -> _Shelf | None:
    """A new shelf, with what ``held`` has in place of what is broken; None if something is missing."""
    words = _attempt(faults, folder / "words.yaml", _words) or (held.words if held else None)
    taxonomy = _attempt(faults, folder / "taxonomy.yaml", load_taxonomy) or (held.taxonomy if held else None)
    telling = _attempt(faults, folder / "telling.yaml", _telling) or (held.telling if held else None)
    if words is None or taxonomy is None or telling is None:
        return None
    countries: Mapping[str, tuple[str, ...]] | None = {}
    if (folder / "countries.yaml").is_file():
        countries = _attempt(faults, folder / "countries.yaml", _countries)
    times: Mapping[str, Mapping[str, str]] | None = {}
    if (folder / "times.yaml").is_file():
        times = _attempt(faults, folder / "times.yaml", _times)
    flows: dict[str, Flow] = {}
    texts: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name in APART:
            continue
        read_flow = _attempt(faults, path, lambda text, file: (_flow(text, file, taxonomy), text))
        if read_flow is not None:
            flows[path.stem], texts[path.stem] = read_flow
        elif held and path.stem in held.flows:
            flows[path.stem], texts[path.stem] = held.flows[path.stem], held.texts[path.stem]
    _check_runs(flows, faults)
    if countries is None:
        countries = held.countries if held else {}
    if times is None:
        times = held.times if held else {}
    return _Shelf(words, taxonomy, telling, countries, times, flows, texts)


def _attempt(faults: list[Fault], path: Path, make: Callable[[str, str], Made]) -> Made | None:
    """What ``make`` makes of a file, or None and the mistakes noted."""
    file = f"{path.parent.name}/{path.name}"
    try:
        return make(path.read_text(encoding="utf-8"), file)
    except FlowFaults as error:
        faults.extend(error.faults)
    except (OSError, UnicodeDecodeError):
        faults.append(Fault("unreadable", "the file is missing or not UTF-8", file=file, line=None))
    return None


def _flow(text: str, file: str, taxonomy: Taxonomy) -> Flow:
    flow = load(text, file, taxonomy)
    if f"{flow.name}.yaml" != file.rsplit("/", 1)[-1]:
        raise FlowFaults([Fault("name", "the flow and its file must have the same name", file=file, line=1)])
    return flow


def _words(text: str, file: str) -> Words:
    source = read(text, file)
    validate(source, _WORDS_SCHEMA)
    source.raise_if_faulty()
    for command, listed in source.data.items():
        for word in sorted(FORBIDDEN & set(split_words(listed))):
            source.fault("forbidden_word", f"'{word}' is taken as an opt-out by the provider", (command,))
    source.raise_if_faulty()
    return Words(MappingProxyType(dict(source.data)))


def _telling(text: str, file: str) -> Telling:
    source = read(text, file)
    validate(source, _TELLING_SCHEMA)
    source.raise_if_faulty()
    return Telling(**source.data)


def _countries(text: str, file: str) -> Mapping[str, tuple[str, ...]]:
    source = read(text, file)
    validate(source, _COUNTRIES_SCHEMA)
    source.raise_if_faulty()
    return MappingProxyType({country: tuple(spoken) for country, spoken in source.data["countries"].items()})


def _times(text: str, file: str) -> Mapping[str, Mapping[str, str]]:
    source = read(text, file)
    validate(source, _TIMES_SCHEMA)
    source.raise_if_faulty()
    languages = source.data["languages"].items()
    return MappingProxyType({language: MappingProxyType(dict(listed)) for language, listed in languages})


_SAME: Final = {"tl": "fil", "zh": "zh-Hans", "zh-TW": "zh-Hant", "zh-HK": "zh-Hant"}
"""Codes of languages that are listed under another one."""


def _nearest(language: str) -> list[str]:
    """The codes under which a language may be listed, the best first."""
    parts = language.replace("_", "-").split("-")
    codes = ["-".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return [each for code in codes for each in (code, _SAME.get(code, code))]


def _check_runs(flows: Mapping[str, Flow], faults: list[Fault]) -> None:
    for flow in flows.values():
        for step in flow.steps.values():
            if step.run and (step.run not in flows or not flows[step.run].part):
                message = f"'{step.run}' is not a flow with 'part: true'"
                near = close_match(step.run, flows)
                faults.append(Fault("unknown_flow", message, file=flow.file, line=step.line, suggestion=near))
