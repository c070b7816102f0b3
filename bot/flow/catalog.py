"""Translations: the texts of the flows in every served language, read lazily from ``.po`` files."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from babel.messages.pofile import read_po

from bot.language import AUTONYMS, match

SOURCE_LANGUAGE: Final = "en"
DOMAIN: Final = "flows"


def recording_name(text: str) -> str:
    """The name, without folder and ending, of the recording that speaks this translated text."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Entry:
    """One translation as it stands in the file."""

    text: str
    fuzzy: bool


class Tongue:
    """One language: its translations, and a cache of whatever is made from them."""

    def __init__(self, language: str, entries: dict[tuple[str | None, str], Entry]) -> None:
        self.language = language
        self.entries = entries
        self.cache: dict[Hashable, object] = {}
        self._texts = {key: entry.text for key, entry in entries.items() if entry.text and not entry.fuzzy}

    def text(self, source: str, context: str | None = None) -> str:
        """The translation of an English text; the English text where there is none or it is fuzzy."""
        return self._texts.get((context, source), source)

    @property
    def autonym(self) -> str:
        """The language's name in the language itself."""
        return AUTONYMS.get(self.language, self.language)


class Catalogs:
    """Every served language. A folder ``locales/<language>/LC_MESSAGES`` makes one."""

    def __init__(self, folder: Path | None, languages: tuple[str, ...]) -> None:
        self.folder = folder
        self.languages = (SOURCE_LANGUAGE, *(code for code in languages if code != SOURCE_LANGUAGE))
        self._tongues: dict[str, Tongue] = {}

    @classmethod
    def open(cls, folder: Path) -> Catalogs:
        """The catalogs below ``folder``; files are read when their language is first needed."""
        found = sorted(path.parent.parent.name for path in folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))
        return cls(folder, tuple(name.replace("_", "-") for name in found))

    def tongue(self, language: str) -> Tongue:
        """The language by its BCP-47 code; the nearest served one (``zh-Hans`` → ``zh``), else English."""
        known = self._tongues.get(language)
        if known is None:
            known = self._tongues[language] = self._read(self.nearest(language))
        return known

    def nearest(self, language: str) -> str:
        """The served language that fits a BCP-47 code best."""
        served = {code.casefold(): code for code in self.languages}
        parts = language.replace("_", "-").casefold().split("-")
        while parts:
            if code := served.get("-".join(parts)):
                return code
            parts.pop()
        # A code of another country, script or standard: ``zh`` and ``zh-SG`` are zh-Hans, ``zh-HK`` zh-Hant, ``tl`` fil.
        named = match(language)
        return named if named in self.languages else SOURCE_LANGUAGE

    def path(self, language: str) -> Path | None:
        """The file that holds a served language; None for English, whose texts are the sources."""
        if self.folder is None:
            return None
        path = self.folder / language.replace("-", "_") / "LC_MESSAGES" / f"{DOMAIN}.po"
        return path if path.is_file() else None

    def _read(self, language: str) -> Tongue:
        if language in self._tongues:
            return self._tongues[language]
        path = self.path(language)
        tongue = Tongue(language, _entries(path) if path else {})
        self._tongues[language] = tongue
        return tongue


def _entries(path: Path) -> dict[tuple[str | None, str], Entry]:
    with path.open("rb") as file:
        catalog = read_po(file)
    return {
        (message.context, str(message.id)): Entry(str(message.string), message.fuzzy)
        for message in catalog
        if message.id and isinstance(message.id, str)
    }
