"""Reading written words: normal form, lists of synonyms, and the words that work at any step."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from bot.flow.catalog import SOURCE_LANGUAGE, Catalogs, Tongue

COMMANDS: Final = (
    "stop",
    "start",
    "help",
    "language",
    "human",
    "later",
    "hide",
    "skip",
    "link",
    "quiet",
    "greeting",
)
"""The global words by their canonical names, as keys of ``flows/words.yaml``."""

FORBIDDEN: Final = frozenset(("end", "quit", "cancel"))
"""Words that Twilio takes as an opt-out by itself before we see them, so that no flow may use them."""

_ZERO_WIDTH: Final = dict.fromkeys((0x200B, 0x2060, 0xFEFF))
_TRIMMED: Final = frozenset("PZSC")


def digits(text: str) -> str:
    """``text`` with the digits of every script turned into 0-9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def normal(text: str) -> str:
    """The form in which written words are compared.

    Compatibility forms folded (NFKC), case folded, native digits turned into 0-9, punctuation and
    symbols trimmed from both ends, spaces collapsed. A text of symbols alone keeps them.
    """
    folded = digits(unicodedata.normalize("NFKC", text).casefold().translate(_ZERO_WIDTH))
    start, stop = 0, len(folded)
    while start < stop and unicodedata.category(folded[start])[0] in _TRIMMED:
        start += 1
    while stop > start and unicodedata.category(folded[stop - 1])[0] in _TRIMMED:
        stop -= 1
    return " ".join(folded[start:stop].split()) or "".join(folded.split())


def split_words(listed: str) -> list[str]:
    """The normal forms in a comma-separated list; the commas of other scripts part words too."""
    for comma in "،、,":
        listed = listed.replace(comma, ",")
    return [word for word in map(normal, listed.split(",")) if word]


@dataclass(frozen=True, slots=True)
class Words:
    """The global words: English lists by command, translated under the context ``words``."""

    lists: Mapping[str, str]

    def table(self, tongue: Tongue) -> dict[str, str]:
        """Command by normal form, in one language alone."""
        table: dict[str, str] = {}
        for command, listed in self.lists.items():
            for word in split_words(tongue.text(listed, "words")):
                table.setdefault(word, command)
        return table

    def command(self, text: str, tongue: Tongue, catalogs: Catalogs) -> str | None:
        """The command that a whole written text is, in the conversation's language, then in English.

        Stop, and that no text is to come before a call, are understood in every served language, always.
        """
        key = ("commands", id(self))
        table = cast("dict[str, str] | None", tongue.cache.get(key))
        if table is None:
            table = tongue.cache[key] = self._combined(tongue, catalogs)
        return table.get(normal(text))

    def _combined(self, tongue: Tongue, catalogs: Catalogs) -> dict[str, str]:
        own = self.table(tongue)
        table = self.table(catalogs.tongue(SOURCE_LANGUAGE)) | own
        for language in catalogs.languages:
            for command in ("quiet", "stop"):
                words = split_words(catalogs.tongue(language).text(self.lists[command], "words"))
                table.update(dict.fromkeys(words, command))
        return table
