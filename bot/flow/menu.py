"""The order in which languages are offered: who calls from a country finds its languages first."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from babel.languages import get_official_languages

_COUNTRIES_KEPT: Final = 512


@lru_cache(maxsize=_COUNTRIES_KEPT)
def in_order(served: tuple[str, ...], country: str | None, spoken: tuple[str, ...]) -> tuple[str, ...]:
    """The served languages (BCP-47), each once: first the official ones of ``country`` (ISO 3166, by the CLDR),
    then those that many workers there speak, then the others as they stand. Without a country as they stand."""
    if not country:
        return served
    official = get_official_languages(country, regional=True, de_facto=True)
    wanted = [code.replace("_", "-") for code in (*official, *spoken)]
    first = [
        code for want in wanted for code in sorted(served, key=lambda code: code != want) if _fits(code, want)
    ]
    return tuple(dict.fromkeys((*first, *served)))


def _fits(served: str, wanted: str) -> bool:
    """Whether it is the same language, in whatever script or country."""
    return served.partition("-")[0].casefold() == wanted.partition("-")[0].casefold()
