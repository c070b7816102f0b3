"""Letters out of bytes: the charset that a mail declares, or the one that its bytes speak for.

Phones and old webmail of Asia declare charsets wrongly or not at all. A charset that was declared is
believed if the bytes fit; else UTF-8, which hardly ever fits by chance; else the charset in which the
text has the largest share of the commonest characters of its language.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Final

_SAME: Final = {
    **dict.fromkeys(("gb2312", "gbk", "x-gbk", "gb_2312-80", "csgb2312", "cp936", "euc-cn"), "gb18030"),
    **dict.fromkeys(("big5-hkscs", "x-x-big5", "cn-big5", "big5", "cp950"), "big5hkscs"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "ms_kanji", "windows-31j"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ks_c_5601", "ksc5601", "x-windows-949"), "cp949"),
    **dict.fromkeys(("tis-620", "windows-874", "iso-8859-11", "x-windows-874", "dos-874"), "cp874"),
    **dict.fromkeys(("unicode-1-1-utf-7", "utf7"), "utf-7"),
    **dict.fromkeys(("utf8", "cp65001", "unicode-1-1-utf-8"), "utf-8"),
    "hz-gb-2312": "hz",
    "iso-2022-jp": "iso2022_jp_ext",
}
"""Names that mail programs use, and the widest charset that reads what they mean by it."""

_WEAK: Final = frozenset({"ascii", "iso8859-1", "cp1252", "iso8859-15"})
"""Declared so often by programs that do not know better that the bytes are asked first."""

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_ESCAPES: Final = ((b"\x1b$)C", "iso2022_kr"), (b"\x1b$", "iso2022_jp_ext"), (b"\x1b(", "iso2022_jp_ext"))
_LEAST_SHARE: Final = 0.12

# The commonest characters of running text, after the frequency lists that wordfreq and Jun Da publish.
_SIMPLIFIED: Final = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "工打班厂钱给吗请话老被加问谢资吧让几"
)
_TRADITIONAL: Final = frozenset(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡"
    "用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實"
    "工打班廠錢給嗎請話老被加問謝資吧讓幾"
)
_KOREAN: Final = frozenset(
    "이다는을의에하고가지한들어를사기도은자리로나서게시인대그있해일수장만부보과전아여제주정오라것습니까요"
    "저제우안면었말생원공업동했내무신상구소스조연비모성적관경네예때"
)
_LATIN: Final = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝ‘’“”–—…€£°«»·")
_THAI: Final = re.compile(r"(?:[เแโใไ]?[ก-ฮ][ัิ-ฺ็-๎]*[ะาำๅ]*|[ฯๆ๏-๛฿\u00a0‘’“”•–—…])+")
_COMMON_THAI: Final = frozenset("านรอกเงมยลวดท่้สตะปบคหพัีิแไใชจขุูำ์ื็ผถ")
_BESIDE_LATIN: Final = re.compile("[A-Za-z][ก-๎]|[ก-๎][A-Za-z]")
_RUN: Final = re.compile(r"[^\x00-\x7f]+")


def decode(data: bytes, declared: str | None) -> str:
    """The text that ``data`` holds. Never raises; what no charset explains becomes U+FFFD."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data.decode(name, "replace").lstrip("\ufeff")
    named = _codec(declared)
    for escape, name in _ESCAPES:
        if escape in data and (text := _strict(data, name)) is not None:
            return text
    if named and named not in _WEAK and (text := _strict(data, named)) is not None:
        return text
    if (text := _strict(data, "utf-8")) is not None:
        return text
    guessed = _guess(data)
    if guessed is not None:
        return guessed
    return data.decode(named if named and named != "ascii" else "cp1252", "replace")


def _codec(name: str | None) -> str | None:
    """Python's name of a declared charset; None for one that says nothing (``unknown-8bit``)."""
    cleaned = (name or "").strip().strip("'\"").lower()
    try:
        return codecs.lookup(_SAME.get(cleaned, cleaned)).name
    except (LookupError, ValueError):
        return None


def _strict(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except (UnicodeError, LookupError, ValueError):
        return None


def _guess(data: bytes) -> str | None:
    best, share = None, _LEAST_SHARE
    for codec, measure in _CANDIDATES:
        text = _strict(data, codec)
        if text is not None and (found := measure(text)) > share:
            best, share = text, found
    return best


def _in(common: frozenset[str]) -> Callable[[str], float]:
    def share(text: str) -> float:
        foreign = [char for char in text if char > "\x7f"]
        return sum(char in common for char in foreign) / len(foreign) if foreign else 0.0

    return share


def _kana(text: str) -> float:
    """Hiragana and katakana; half-width katakana, which wrong readings are full of, count for nothing."""
    foreign = [char for char in text if char > "\x7f"]
    return sum("\u3040" <= char <= "\u30ff" for char in foreign) / len(foreign) if foreign else 0.0


def _thai(text: str) -> float:
    """How far it is Thai: the letters are common ones, and no vowel sign or tone is without its consonant.

    Every pair of bytes of Chinese or Korean looks like two letters of Thai, so much is asked.
    """
    runs = _RUN.findall(text)
    length = sum(map(len, runs))
    if not length or _BESIDE_LATIN.search(text):
        return 0.0
    spelled = sum(len(found) for run in runs for found in _THAI.findall(run)) / length
    common = sum(char in _COMMON_THAI for run in runs for char in run) / length
    return spelled * max(0.0, common - 0.4) / 0.6


def _latin(text: str) -> float:
    """Accented letters in ones and twos between plain ones; longer runs are another script, read wrongly."""
    runs = _RUN.findall(text)
    length = sum(map(len, runs))
    fitting = sum(len(run) for run in runs if len(run) <= 2 and all(char in _LATIN for char in run))
    return fitting / length if length else 0.0


_CANDIDATES: Final[tuple[tuple[str, Callable[[str], float]], ...]] = (
    ("gb18030", _in(_SIMPLIFIED)),
    ("big5hkscs", _in(_TRADITIONAL)),
    ("cp932", _kana),
    ("euc_jp", _kana),
    ("cp949", _in(_KOREAN)),
    ("cp874", _thai),
    ("cp1252", lambda text: 0.95 * _latin(text)),
)
