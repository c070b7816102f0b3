"""The checker: what is wrong with flows and translations, found before a worker meets it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.flow import phrases
from bot.flow.catalog import SOURCE_LANGUAGE, Catalogs, Tongue, recording_name
from bot.flow.extract import Marked, marked
from bot.flow.library import APART, Library
from bot.flow.model import Flow, Kind, Step, Wording
from bot.flow.source import read
from bot.flow.words import FORBIDDEN, split_words
from bot.messages import Capabilities

SPOKEN_LIMIT: Final = 200
"""Most characters of one text that is heard: longer ones are not kept in mind."""
KEYPAD_OPTIONS: Final = 7
"""Most options that can be heard: 8 skips, 9 ends, 0 asks for a person."""

_PHRASES_FILE: Final = "bot/flow/phrases.py"
_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}|%\([^)]*\)[a-z]|%[sdif]\b")
_UNSPACED: Final = ("THAI", "LAO", "MYANMAR", "KHMER", "CJK", "HIRAGANA", "KATAKANA")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``code`` is stable for programs, ``message`` is for people."""

    file: str
    line: int | None
    code: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line is not None else self.file
        return f"{where}: {self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class EarlyText:
    """A text that can be met before the gate. ``verified``: the pass-word was already given."""

    file: str
    line: int | None
    wording: Wording
    verified: bool


def examine(
    flows: Path, locales: Path, capabilities: Sequence[Capabilities], voices: Collection[str]
) -> list[Finding]:
    """Everything that is wrong in a folder of flows and a folder of catalogs; files that cannot be read
    are findings too. ``voices`` are the languages that have a synthetic voice."""
    library, faults = Library.salvage(flows)
    findings = [Finding(fault.file, fault.line, fault.code, _message(fault)) for fault in faults]
    if library is not None:
        findings += check(library, Catalogs.open(locales), capabilities, voices)
    return findings


def check(
    library: Library, catalogs: Catalogs, capabilities: Sequence[Capabilities], voices: Collection[str]
) -> list[Finding]:
    """What is wrong with flows that could be loaded, and with their translations. Recordings are looked
    for at ``<locales>/<language>/audio/<recording_name>.wav``."""
    findings: list[Finding] = []
    for name in library.names():
        findings += _check_shape(library.get(name))
    findings += _check_sources(library)
    for language in catalogs.languages:
        findings += _check_language(library, catalogs, language, capabilities, voices)
    findings += _check_words(library, catalogs)
    return sorted(findings, key=lambda item: (item.file, item.line or 0, item.code, item.message))


def spoken_texts(library: Library, catalogs: Catalogs, language: str) -> list[str]:
    """Every text, translated, that can be heard on the telephone in one language: what is to be recorded
    where there is no synthetic voice."""
    tongue = catalogs.tongue(language)
    texts = [tongue.text(text) for text in phrases.SPOKEN]
    for name in library.names():
        texts += [tongue.text(text) for _, text in _spoken(library.get(name))]
        if any(step.ask and step.ask.kind is Kind.LANGUAGE for step in library.get(name).steps.values()):
            texts.append(tongue.autonym)
    return list(dict.fromkeys(texts))


def before_gate(flow: Flow) -> list[EarlyText]:
    """Every text that can be met before the worker said that it is safe; empty if the flow never asks."""
    if not flow.gated:
        return []
    found: dict[tuple[str, bool], EarlyText] = {}
    waiting = [(flow.first, not flow.guarded)]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        step, verified = flow.steps[place[0]], place[1]
        for wording in _wordings(step):
            found[(f"{wording}", verified)] = EarlyText(flow.file, step.line, wording, verified)
        waiting += _ways_before_gate(step, verified)
    return list(found.values())


def telling_words(text: str, listed: str) -> list[str]:
    """The words of a comma-separated list that stand in a text, at the beginning of a word; anywhere in
    scripts that do not part words with spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in split_words(listed) if _stands_in(word, folded)]


# --- the shape of a flow --------------------------------------------------------------------


def _check_shape(flow: Flow) -> Iterator[Finding]:
    reached = _reached(flow)
    for step in flow.steps.values():
        if step.id not in reached:
            yield Finding(flow.file, step.line, "unreachable", f"nothing leads to the step '{step.id}'")
        elif step.goes_on and step.onward is None and not flow.part:
            message = f"the flow stops after '{step.id}' without an 'end'"
            yield Finding(flow.file, step.line, "dead_end", message)
        if step.ask and len(step.ask.choices) > KEYPAD_OPTIONS and _is_heard(step):
            message = f"'{step.id}' has more than {KEYPAD_OPTIONS} options, which a keypad cannot offer"
            yield Finding(flow.file, step.line, "keypad", message)
        if _falls_through(step):
            message = (
                f"in writing nobody waits for a person, and '{step.id}' does not say where to go on then: "
                "give 'else', or a 'when' with 'medium: voice'"
            )
            yield Finding(flow.file, step.line, "person_in_writing", message)
    for step in _unheard(flow):
        message = f"'{step.id}' asks something where nobody is there any more"
        yield Finding(flow.file, step.line, "unheard", message)
    for step in _cycles(flow):
        message = f"the conversation can come back to '{step.id}' without waiting for anybody"
        yield Finding(flow.file, step.line, "endless", message)


def _reached(flow: Flow) -> set[str]:
    sides = (flow.expired, flow.hung_up, flow.critical, flow.person)
    waiting = [flow.first, *(step for step in sides if step)]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [target for _, target in flow.steps[name].exits()]
    return reached


def _unheard(flow: Flow) -> Iterator[Step]:
    """Questions on the ways that are gone through after the conversation has broken off."""
    waiting = [name for name in (flow.expired, flow.hung_up) if name]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            if flow.steps[name].ask is not None:
                yield flow.steps[name]
            waiting += _unwaited(flow.steps[name])


def _falls_through(step: Step) -> bool:
    """Whether a wait for a person is met in writing, where it is passed over, and leads nowhere by intent."""
    if step.ask is None or step.ask.kind is not Kind.PERSON or step.next is not None:
        return False
    return step.when is None or step.when.required.get("medium") != frozenset(("voice",))


def _cycles(flow: Flow) -> list[Step]:
    """Steps from which a way that never waits leads back to themselves."""
    found = []
    for step in flow.steps.values():
        waiting, seen = _unwaited(step), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += _unwaited(flow.steps[name])
        if step.id in seen:
            found.append(step)
    return found[:1]


def _unwaited(step: Step) -> list[str]:
    """Where the conversation can go on from a step within the same sprint."""
    if step.ask is None:
        return [target for _, target in step.exits()]
    if step.ask.kind is Kind.PERSON:
        # Where nobody is there it does not wait, and in writing it is passed over.
        return [target for reason, target in step.exits() if reason not in ("talked", "message")]
    return [step.onward] if step.when is not None and step.onward else []


# --- before the gate ------------------------------------------------------------------------


def _ways_before_gate(step: Step, verified: bool) -> list[tuple[str, bool]]:
    ways: list[tuple[str, bool]] = []
    proves = step.ask is not None and step.ask.kind is Kind.PASS_WORD and not step.ask.choose
    for reason, target in step.exits():
        past_gate = step.safety == "check" and (reason == "yes" or (reason == "" and step.when is None))
        if not past_gate:
            ways.append((target, verified or (proves and reason == "")))
    return ways


def _check_early(library: Library, tongue: Tongue, file: str) -> Iterator[Finding]:
    """Telling words in one language; ``file`` is the catalog, or empty for the English sources."""
    both = tongue.text(library.telling.before_safety, "telling")
    secretive = tongue.text(library.telling.before_pass_word, "telling")
    early = [text for name in library.names() for text in before_gate(library.get(name))]
    early += [EarlyText(_PHRASES_FILE, None, Wording(text, text), False) for text in phrases.BEFORE_GATE]
    early += [EarlyText(_PHRASES_FILE, None, Wording(text, text), True) for text in phrases.BEFORE_SAFETY]
    for item in early:
        for text in dict.fromkeys((item.wording.voice, item.wording.text)):
            listed = both if item.verified else f"{both}, {secretive}"
            for word in telling_words(tongue.text(text), listed):
                message = f"'{word}' is heard before the gate ({tongue.language})"
                yield Finding(file or item.file, None if file else item.line, "telling_word", message)


def _stands_in(word: str, folded: str) -> bool:
    if any(unicodedata.name(char, "").startswith(_UNSPACED) for char in word):
        return word in folded
    return re.search(rf"(?<!\w){re.escape(word)}", folded) is not None


# --- texts ----------------------------------------------------------------------------------


def _sources(library: Library) -> Iterator[tuple[str, Marked]]:
    for name in library.names():
        flow = library.get(name)
        for item in marked(read(library.source(name), flow.file)):
            yield flow.file, item
    for apart in (apart for apart in APART if (library.folder / apart).is_file()):
        file = f"{library.folder.name}/{apart}"
        for item in marked(read((library.folder / apart).read_text(encoding="utf-8"), file)):
            yield file, item
    for text in phrases.SPOKEN:
        yield _PHRASES_FILE, Marked(text, None, 0, "", "both")
    for text in phrases.WRITTEN:
        yield _PHRASES_FILE, Marked(text, None, 0, "", "text")
    for text in phrases.WORD_LISTS:
        yield _PHRASES_FILE, Marked(text, "words", 0, "", "text")


def _check_sources(library: Library) -> Iterator[Finding]:
    for file, item in _sources(library):
        line = item.line or None
        if item.context is None and _PLACEHOLDER.search(item.text):
            yield Finding(
                file, line, "placeholder", "a text has no placeholder, because it may be a recording"
            )
        if item.medium != "text" and item.context is None and len(item.text) > SPOKEN_LIMIT:
            yield Finding(
                file, line, "too_long_to_hear", f"a text that is heard has at most {SPOKEN_LIMIT} characters"
            )


def _check_language(
    library: Library,
    catalogs: Catalogs,
    language: str,
    capabilities: Sequence[Capabilities],
    voices: Collection[str],
) -> Iterator[Finding]:
    tongue = catalogs.tongue(language)
    path = catalogs.path(language)
    file = str(path.relative_to(path.parents[3])) if path else ""
    if language != SOURCE_LANGUAGE:
        yield from _check_translations(library, tongue, file)
    yield from _check_early(library, tongue, file)
    for limit in sorted({item.text_limit for item in capabilities if item.text_limit}):
        yield from _check_limit(library, tongue, limit)
    if language not in voices and any(item.keypad for item in capabilities):
        yield from _check_recordings(library, catalogs, language, file)


def _check_translations(library: Library, tongue: Tongue, file: str) -> Iterator[Finding]:
    done: set[tuple[str | None, str]] = set()
    for source, item in _sources(library):
        key = (item.context, item.text)
        if key in done:
            continue
        done.add(key)
        entry = tongue.entries.get(key)
        where = f"{source}:{item.line}" if item.line else source
        if entry is None or not entry.text:
            yield Finding(file, None, "missing_translation", f"the text of {where} is not translated")
        elif entry.fuzzy:
            yield Finding(file, None, "fuzzy_translation", f"the translation for {where} is to be checked")
        elif sorted(_PLACEHOLDER.findall(item.text)) != sorted(_PLACEHOLDER.findall(entry.text)):
            yield Finding(
                file, None, "placeholder_mismatch", f"the translation for {where} has other placeholders"
            )


def _check_limit(library: Library, tongue: Tongue, limit: int) -> Iterator[Finding]:
    for name in library.names():
        flow = library.get(name)
        for step in flow.steps.values():
            texts = [tongue.text(wording.text) for wording in _wordings(step)]
            texts += [f"1 {tongue.text(choice.label)}" for choice in (step.ask.choices if step.ask else ())]
            if len("\n".join(texts)) > limit:
                message = f"'{step.id}' in {tongue.language} is longer than {limit} characters"
                yield Finding(flow.file, step.line, "too_long", message)


def _check_recordings(library: Library, catalogs: Catalogs, language: str, file: str) -> Iterator[Finding]:
    texts = spoken_texts(library, catalogs, language)
    folder = catalogs.folder / language.replace("-", "_") / "audio" if catalogs.folder else None
    names = [recording_name(text) for text in texts]
    missing = [name for name in names if folder is None or not (folder / f"{name}.wav").is_file()]
    if missing:
        message = f"{language} has no voice, and {len(missing)} of {len(names)} texts have no recording"
        yield Finding(file or _PHRASES_FILE, None, "no_voice", message)


def _spoken(flow: Flow) -> Iterator[tuple[Step, str]]:
    for step in flow.steps.values():
        if _is_heard(step):
            for wording in _wordings(step):
                yield step, wording.voice
            for choice in step.ask.choices if step.ask else ():
                yield step, choice.label


def _wordings(step: Step) -> list[Wording]:
    labels = [Wording(choice.label, choice.label) for choice in (step.ask.choices if step.ask else ())]
    return [*step.say, *([step.ask.wording] if step.ask else []), *labels]


def _is_heard(step: Step) -> bool:
    """Whether the step can be met on the telephone."""
    if step.ask is not None and step.ask.kind is Kind.MEDIA:
        return False
    return step.when is None or step.when.required.get("medium") != frozenset(("text",))


# --- global words ---------------------------------------------------------------------------


def _check_words(library: Library, catalogs: Catalogs) -> Iterator[Finding]:
    """Stop is understood in every language, so its words must mean nothing else in any of them."""
    stops: dict[str, str] = {}
    for language in catalogs.languages:
        listed = catalogs.tongue(language).text(library.words.lists["stop"], "words")
        stops.update((word, language) for word in split_words(listed))
    for language in catalogs.languages:
        tongue = catalogs.tongue(language)
        path = catalogs.path(language)
        file = str(path.relative_to(path.parents[3])) if path else f"{library.folder.name}/words.yaml"
        meanings: dict[str, str] = {}
        for meaning, word in _meanings(library, tongue):
            other = "stop" if word in stops else meanings.setdefault(word, meaning)
            if other != meaning:
                message = f"'{word}' means both {other} and {meaning}"
                yield Finding(file, None, "word_collision", message)
            if word in FORBIDDEN:
                yield Finding(
                    file, None, "forbidden_word", f"'{word}' is taken as an opt-out by the provider"
                )


def _meanings(library: Library, tongue: Tongue) -> Iterator[tuple[str, str]]:
    lists: Iterable[tuple[str, str]] = (
        *library.words.lists.items(),
        ("yes", phrases.YES_WORDS),
        ("no", phrases.NO_WORDS),
        ("not sure", phrases.NOT_SURE_WORDS),
    )
    for meaning, listed in lists:
        for word in dict.fromkeys(split_words(tongue.text(listed, "words"))):
            yield meaning, word


def _message(fault: object) -> str:
    """The reason and suggestion of a fault, without the place that the finding holds anyway."""
    reason = getattr(fault, "reason", "")
    suggestion = getattr(fault, "suggestion", None)
    return f"{reason} (did you mean '{suggestion}'?)" if suggestion else str(reason)
