"""Countries and time zones of an upload, from what people write into the cells.

Countries come from ISO 3166 (Babel's English names and the table beside the time zones), zones of a country
from the ``zone.tab`` of the time zone database, both read at first use.
"""

from __future__ import annotations

import re
import unicodedata
import zoneinfo
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

import phonenumbers
from babel import Locale
from babel.core import get_global
from phonenumbers import timezone as phone_zones

from bot.errors import InputError

_OTHER_NAMES = {
    "viet nam": "VN",
    "burma": "MM",
    "lao pdr": "LA",
    "korea": "KR",
    "republic of korea": "KR",
    "turkey": "TR",
    "hong kong": "HK",
    "macau": "MO",
    "macao": "MO",
    "great britain": "GB",
    "england": "GB",
    "brasil": "BR",
    "ivory coast": "CI",
    "russian federation": "RU",
    "peoples republic of china": "CN",
}
# By law all of China keeps Beijing time; the database's second zone is local custom in Xinjiang.
_ONE_LEGAL_ZONE = {"CN": "Asia/Shanghai"}
# Indonesia's provinces by zone (ISO 3166-2:ID codes, Indonesian and English names).
_PROVINCES = {
    "ID": {
        "Asia/Jakarta": (
            "ac aceh, su sumatera utara, su north sumatra, sb sumatera barat, sb west sumatra, ri riau, "
            "kr kepulauan riau, kr riau islands, ja jambi, ss sumatera selatan, ss south sumatra, "
            "bb kepulauan bangka belitung, bb bangka belitung, be bengkulu, la lampung, bt banten, "
            "jk dki jakarta, jk jakarta, jb jawa barat, jb west java, jt jawa tengah, jt central java, "
            "ji jawa timur, ji east java, yo daerah istimewa yogyakarta, yo yogyakarta, "
            "kb kalimantan barat, kb west kalimantan, kt kalimantan tengah, kt central kalimantan"
        ),
        "Asia/Makassar": (
            "ks kalimantan selatan, ks south kalimantan, ki kalimantan timur, ki east kalimantan, "
            "ku kalimantan utara, ku north kalimantan, ba bali, nb nusa tenggara barat, nb west nusa tenggara, "
            "nt nusa tenggara timur, nt east nusa tenggara, sn sulawesi selatan, sn south sulawesi, "
            "sr sulawesi barat, sr west sulawesi, st sulawesi tengah, st central sulawesi, "
            "sg sulawesi tenggara, sg southeast sulawesi, sa sulawesi utara, sa north sulawesi, go gorontalo"
        ),
        "Asia/Jayapura": (
            "ma maluku, mu maluku utara, mu north maluku, pa papua, pb papua barat, pb west papua, "
            "pd papua barat daya, pd southwest papua, ps papua selatan, ps south papua, pt papua tengah, "
            "pt central papua, pe papua pegunungan, pe highland papua"
        ),
    }
}


def country(text: str) -> str:
    """The ISO 3166 alpha-2 code of a country given by its alpha-2 or alpha-3 code or its English name.

    Raises :class:`InputError` (``unknown_country``), without repeating the text.
    """
    code = _countries().get(_plain(text))
    if code is None:
        raise InputError(
            "There is no such country; use its ISO 3166 code, for instance VN.", code="unknown_country"
        )
    return code


@lru_cache(maxsize=1)
def _countries() -> dict[str, str]:
    known = {line.split("\t")[0] for line in _table("iso3166.tab")}
    found = {_plain(name): code for code, name in Locale("en").territories.items() if code in known}
    aliases = get_global("territory_aliases")
    found |= {old.lower(): new[0] for old, new in aliases.items() if len(new) == 1 and new[0] in known}
    return found | {code.lower(): code for code in known} | _OTHER_NAMES


def _table(name: str) -> list[str]:
    text = resources.files("tzdata.zoneinfo").joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _plain(text: str) -> str:
    """Lower case, without diacritics and punctuation, single spaces."""
    letters = unicodedata.normalize("NFD", text.casefold())
    kept = "".join(letter for letter in letters if not unicodedata.combining(letter)).replace("'", "")
    return " ".join(re.sub(r"[^\w]+|_", " ", kept).split())


def zone(text: str) -> str:
    """The time zone database's name, given in any case. Raises :class:`InputError` (``unknown_timezone``)."""
    name = _zone_names().get(text.strip().replace(" ", "_").lower())
    if name is None:
        raise InputError(
            "There is no such time zone; use a name of the time zone database, for instance Asia/Ho_Chi_Minh.",
            code="unknown_timezone",
        )
    return name


@lru_cache(maxsize=1)
def _zone_names() -> dict[str, str]:
    return {
        name.lower(): name for name in zoneinfo.available_timezones() if name not in {"Factory", "localtime"}
    }


def zone_of(country_code: str, region: str | None, phone: phonenumbers.PhoneNumber | None, year: int) -> str:
    """The zone of a worker whose row names none: by the country, else the region, else the phone number.

    Zones that show the same time all through ``year`` and the next count as one. Raises :class:`InputError`
    (``timezone_needed``) where that leaves more than one.
    """
    choices = _distinct_zones(country_code, year)
    if len(choices) == 1:
        return choices[0]
    if region and (found := _zone_of_region(country_code, region)):
        return found
    if phone is not None:
        own = {name for name in phone_zones.time_zones_for_number(phone) if name in _zones(country_code)}
        if len(own) == 1:
            return own.pop()
    raise InputError(
        "The country has several time zones; fill in timezone, for instance Asia/Jakarta.",
        code="timezone_needed",
    )


@lru_cache(maxsize=1)
def _zones_by_country() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in _table("zone.tab"):
        code, _, name = line.split("\t")[:3]
        found[code] = (*found.get(code, ()), name)
    return found


def _zones(country_code: str) -> tuple[str, ...]:
    if country_code in _ONE_LEGAL_ZONE:
        return (_ONE_LEGAL_ZONE[country_code],)
    return _zones_by_country().get(country_code, ())


@lru_cache(maxsize=500)
def _distinct_zones(country_code: str, year: int) -> tuple[str, ...]:
    """One zone for each clock that the country shows in two years from the start of ``year``."""
    by_clock: dict[tuple[timedelta | None, ...], str] = {}
    weeks = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(weeks=number) for number in range(104)]
    for name in _zones(country_code):
        by_clock.setdefault(tuple(week.astimezone(ZoneInfo(name)).utcoffset() for week in weeks), name)
    return tuple(by_clock.values())


def _zone_of_region(country_code: str, region: str) -> str | None:
    wanted = _plain(region).removeprefix(f"{country_code.lower()} ")
    return _regions(country_code).get(wanted)


@lru_cache(maxsize=300)
def _regions(country_code: str) -> dict[str, str]:
    """Zones by region: the city that a zone is named after, and provinces where we know them."""
    found = {_plain(name.rpartition("/")[2]): name for name in _zones(country_code)}
    for name, provinces in _PROVINCES.get(country_code, {}).items():
        for entry in provinces.split(", "):
            code, _, province = entry.partition(" ")
            found |= {code: name, province: name}
    return found
