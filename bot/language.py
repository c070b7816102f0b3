"""Which language a text is in, and what the languages that we serve are called.

Detection goes from sure to unsure, because ``langdetect`` alone gets fewer than three of four short messages
right: it has no Burmese, Khmer, Lao, Malay or Sinhala, takes Chinese for Korean, and its probability is no
confidence.

1. The text is cleaned: addresses, tags, digits and invisible characters say nothing.
2. A script that only one served language uses decides. Letters that a script has for one language only
   decide as well, or rule every served language out.
3. Among Hindi, Marathi and Nepali, frequent words decide, with ``langdetect`` beside them.
4. Among languages in Latin script, word frequencies decide (``language_data``), with ``langdetect`` beside them.
5. An answer that has too little evidence is ``und``. The caller then keeps the contact's language, or asks.

The word lists (about 25 MB in memory) and profiles are read at the first text that needs them.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any

AUTONYMS: Mapping[str, str] = MappingProxyType(
    {
        "id": "Bahasa Indonesia",
        "ms": "Bahasa Melayu",
        "my": "မြန်မာဘာသာ",
        "km": "ភាសាខ្មែរ",
        "zh-Hans": "简体中文",
        "zh-Hant": "繁體中文",
        "en": "English",
        "hi": "हिन्दी",
        "ja": "日本語",
        "kn": "ಕನ್ನಡ",
        "mr": "मराठी",
        "ko": "한국어",
        "pt": "Português",
        "fil": "Filipino",
        "ta": "தமிழ்",
        "th": "ภาษาไทย",
        "vi": "Tiếng Việt",
        "bn": "বাংলা",
        "ne": "नेपाली",
        "lo": "ພາສາລາວ",
        "si": "සිංහල",
        "ur": "اردو",
        "es": "Español",
    }
)
"""Each served language's name for itself, by BCP-47 code."""

SERVED: tuple[str, ...] = tuple(AUTONYMS)
UNDECIDED = "und"

_ENGLISH_NAMES = {
    "id": "indonesian",
    "ms": "malay, malaysian",
    "my": "burmese, myanmar, myanmar language",
    "km": "khmer, cambodian",
    "zh-Hans": "chinese, mandarin, mandarin chinese, simplified chinese, chinese simplified, putonghua, 中文, 汉语",
    "zh-Hant": "traditional chinese, chinese traditional, cantonese, taiwanese mandarin",
    "en": "english",
    "hi": "hindi, हिंदी",
    "ja": "japanese",
    "kn": "kannada",
    "mr": "marathi",
    "ko": "korean",
    "pt": "portuguese, brazilian portuguese",
    "fil": "filipino, tagalog, pilipino, wikang filipino",
    "ta": "tamil",
    "th": "thai, ไทย",
    "vi": "vietnamese, tieng viet",
    "bn": "bengali, bangla",
    "ne": "nepali, nepalese",
    "lo": "lao, laotian, ລາວ",
    "si": "sinhala, sinhalese, singhalese",
    "ur": "urdu",
    "es": "spanish, castilian, espanol",
}
# Older, longer and regional codes of the same languages (IANA language subtag registry, ISO 639-2/3).
_CODE_ALIASES = {
    "in": "id", "ind": "id", "msa": "ms", "may": "ms", "zsm": "ms", "mya": "my", "bur": "my", "khm": "km",
    "zho": "zh", "chi": "zh", "cmn": "zh", "yue": "zh-hant", "eng": "en", "hin": "hi", "jpn": "ja", "kan": "kn",
    "mar": "mr", "kor": "ko", "por": "pt", "tl": "fil", "tgl": "fil", "tam": "ta", "tha": "th", "vie": "vi",
    "ben": "bn", "nep": "ne", "npi": "ne", "lao": "lo", "sin": "si", "urd": "ur", "spa": "es",
}  # fmt: skip
_TRADITIONAL_SUBTAGS = {"hant", "tw", "hk", "mo"}


def match(code: str) -> str | None:
    """The served language that a BCP-47 tag stands for, or None: ``pt-BR`` is pt, ``tl`` fil, ``zh-HK`` zh-Hant."""
    language, *subtags = code.strip().lower().replace("_", "-").split("-")
    language, _, script = _CODE_ALIASES.get(language, language).partition("-")
    if language == "zh":
        return "zh-Hant" if _TRADITIONAL_SUBTAGS & {script, *subtags} else "zh-Hans"
    return language if language in AUTONYMS else None


def find(text: str) -> str | None:
    """The served language that a person means by a tag or by the language's own or English name, or None."""
    name = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    return _names().get(name) or match(name)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    names = {name: code for code, listed in _ENGLISH_NAMES.items() for name in listed.split(", ")}
    return names | {
        unicodedata.normalize("NFC", autonym).casefold(): code for code, autonym in AUTONYMS.items()
    }


# --- detection ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guess:
    """The likeliest served language (``und`` if there is no letter to go by), and whether that is sure enough."""

    best: str
    decided: bool


def detect(text: str) -> str:
    """The served language of ``text`` as a BCP-47 code, or ``und`` when the text does not decide it.

    The same text always gives the same answer. Texts of any length are taken; the first 2,000 characters count.
    """
    found = guess(text)
    return found.best if found.decided else UNDECIDED


def guess(text: str) -> Guess:
    """The likeliest served language even where it is not sure, for instance to order a menu."""
    cleaned = _clean(text[:_LONGEST])
    script = _main_script(cleaned)
    if script in _ONE_LANGUAGE:
        return Guess(_ONE_LANGUAGE[script], True)
    routes = {"Latin": _latin, "Han": _han, "Devanagari": _devanagari, "Arabic": _arabic, "Bengali": _bengali}
    return routes[script](cleaned) if script in routes else Guess(UNDECIDED, False)


_LONGEST = 2000
_NOISE = re.compile(r"https?://\S+|www\.\S+|\S+@\S+\.\S+|[@#]\w+")
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")


def _clean(text: str) -> str:
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
    return _NOISE.sub(" ", visible).replace("’", "'").lower()


_SCRIPTS = {
    "Latin": "a-zª-ʯ\u1e00-\u1eff",
    "Thai": "\u0e01-\u0e4e",
    "Lao": "\u0e81-\u0ede",
    "Khmer": "\u1780-\u17d3",
    "Myanmar": "\u1000-\u103f\u1050-\u108f\u109a-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f",
    "Kannada": "\u0c80-\u0ce3",
    "Tamil": "\u0b82-\u0bd7",
    "Sinhala": "\u0d81-\u0df3",
    "Bengali": "\u0980-\u09e3\u09f0\u09f1",
    "Hangul": "\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e",
    "Kana": "\u3041-\u3096\u30a1-\u30fa\u30fc\u31f0-\u31ff\uff66-\uff9f",
    "Han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    "Arabic": "\u0620-\u064a\u066e-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06fc\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "Devanagari": "\u0900-\u0963\u0971-\u097f",
}
_ONE_LANGUAGE = {
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Myanmar": "my",
    "Kannada": "kn",
    "Tamil": "ta",
    "Sinhala": "si",
    "Hangul": "ko",
    "Kana": "ja",
}
_SHARE_THAT_DECIDES = 0.3
# A Chinese, Japanese or Korean sign says as much as two or three letters.
_WEIGHTS = {"Han": 2.5, "Kana": 2.5, "Hangul": 2.5}


@lru_cache(maxsize=1)
def _script_patterns() -> dict[str, re.Pattern[str]]:
    return {script: re.compile(f"[{ranges}]") for script, ranges in _SCRIPTS.items()}


def _main_script(text: str) -> str:
    """The script that decides, or nothing. Latin only if no other script has enough letters."""
    counts = {script: len(pattern.findall(text)) for script, pattern in _script_patterns().items()}
    letters = sum(1 for letter in text if letter.isalpha())
    if counts["Kana"] and counts["Kana"] + counts["Han"] >= counts["Hangul"]:
        counts["Kana"] += counts.pop("Han")
    weights = {script: count * _WEIGHTS.get(script, 1) for script, count in counts.items()}
    strangers = max(0, letters - sum(counts.values()))
    total = sum(weights.values()) + strangers
    others = {script: weight for script, weight in weights.items() if script != "Latin"}
    script = max(others, key=lambda name: others[name])
    if total and others[script] / total >= _SHARE_THAT_DECIDES:
        return script
    return "Latin" if counts["Latin"] and strangers <= counts["Latin"] else ""


# --- scripts of several languages --------------------------------------------------------------


def _bengali(text: str) -> Guess:
    # Assamese writes r and w with letters of its own (Unicode chart U+0980).
    return Guess("bn", not re.search("[\u09f0\u09f1]", text))


_URDU = re.compile("[\u0679\u0688\u0691\u06ba\u06be\u06c1\u06d2\u06d3]")
_NOT_URDU = re.compile(
    # Pashto, Sindhi, Uyghur, Kurdish and Arabic letters that Urdu does not have.
    "[\u067c\u0681\u0685\u0689\u0693\u0696\u069a\u06ab\u06bc\u06d0\u06cd"
    "\u067a\u067b\u067d\u067f\u0680\u0683\u0684\u0687\u068a\u068c\u068d\u068f\u0699\u06a6\u06aa\u06b1\u06b3\u06bb"
    "\u06c6\u06c7\u06c8\u06cb\u06d5\u0695\u06b5\u0629\u0643\u0649\u064a]"
)


def _arabic(text: str) -> Guess:
    own = len(_URDU.findall(text))
    strange = len(_NOT_URDU.findall(text))
    words = sum(word in _markers()["ur"] for word in text.split())
    return Guess("ur", own + words > 3 * strange)


@lru_cache(maxsize=20_000)
def _in_charset(sign: str, charset: str, first: int, last: int) -> bool:
    """Whether a national character set has the sign among those whose first byte lies in the range."""
    try:
        return first <= sign.encode(charset)[0] <= last
    except UnicodeEncodeError:
        return False


def _han(text: str) -> Guess:
    """Simplified or traditional Chinese, by signs that only one of the national character sets has.

    GB 2312 is simplified; the first level of Big5 (lead bytes A4–C6) holds the signs in common use in
    traditional texts; the first level of JIS X 0208 (in EUC-JP B0–CF) those in use in Japanese.
    """
    simplified = traditional = japanese = chinese = 0
    for sign in _script_patterns()["Han"].findall(text):
        in_gb = _in_charset(sign, "gb2312", 0xB0, 0xF7)
        in_big5 = _in_charset(sign, "big5", 0xA4, 0xC6)
        in_jis = _in_charset(sign, "euc_jp", 0xB0, 0xCF)
        simplified += in_gb and not in_big5
        traditional += in_big5 and not in_gb
        japanese += in_jis and not in_gb and not in_big5
        chinese += not in_jis
    if japanese > chinese:
        return Guess("ja", True)
    best = "zh-Hant" if traditional > simplified else "zh-Hans"
    # Without a sign that Japanese does not use, the text may be Japanese as well.
    return Guess(best, simplified != traditional and chinese > 0)


_DEVANAGARI = ("hi", "mr", "ne")
_DEVANAGARI_LANGDETECT_WEIGHT = 0.25
_DEVANAGARI_MARGIN = 2.0


@lru_cache(maxsize=1)
def _markers() -> dict[str, frozenset[str]]:
    """Words and endings chosen by hand, by list: frequent ones that only one language has."""
    lists = json.loads(
        resources.files("bot.language_data").joinpath("markers.json").read_text(encoding="utf-8")
    )
    return {name: frozenset(words.split()) for name, words in lists.items()}


def _devanagari(text: str) -> Guess:
    words = re.findall(r"[\u0900-\u0963\u0971-\u097f]+", text)
    scores = {
        code: sum(_signs_of(word, _markers()[code], tuple(_markers()[f"{code} endings"])) for word in words)
        for code in _DEVANAGARI
    }
    # Only Marathi has these two signs.
    scores["mr"] += 3.0 * ("ळ" in text or "ॅ" in text)
    evidence = dict(scores)
    for code, likelihood in _langdetect(text, _DEVANAGARI).items():
        scores[code] += _DEVANAGARI_LANGDETECT_WEIGHT * likelihood
    best, margin = _best_of(scores)
    return Guess(best, margin >= _DEVANAGARI_MARGIN and evidence[best] > 0)


def _signs_of(word: str, known: frozenset[str], endings: tuple[str, ...]) -> float:
    return 3.0 if word in known else 1.5 if word.endswith(endings) else 0.0


# --- Latin script -------------------------------------------------------------------------------

_VIETNAMESE = re.compile(r"[ăđơư\u1ea0-\u1ef9]")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_UNKNOWN_WORD = -7.5
_MARGIN = 2.25
_MARGIN_OF_ONE_WORD = 3.0
_MARGIN_OF_ID_AND_MS = 1.5
_LEAST_EVIDENCE = -4.7
_MALAY_BIAS = 0.2
_LANGDETECT_WEIGHT = 0.1
_LATIN_PROFILES = ("en", "id", "pt", "es", "tl", "vi")


def _latin(text: str) -> Guess:
    if _VIETNAMESE.search(text):
        return Guess("vi", True)
    words = _WORD.findall(text)
    if not words:
        return Guess(UNDECIDED, False)
    scores = {
        code: sum(known.get(word, _UNKNOWN_WORD) for word in words) for code, known in _frequencies().items()
    }
    folded = [_plain(word) for word in words]
    scores["vi"] = sum(_frequencies()["vi"].get(word, _UNKNOWN_WORD) for word in folded)
    evidence = dict(scores)
    likelihoods = _langdetect(text, _LATIN_PROFILES)
    for code in scores:
        scores[code] += _LANGDETECT_WEIGHT * likelihoods.get({"fil": "tl", "ms": "id"}.get(code, code), 0.0)
    scores["ms"] += _MALAY_BIAS
    best, margin = _best_of(scores)
    sure = margin >= (_MARGIN if len(words) > 1 else _MARGIN_OF_ONE_WORD)
    if len(words) > 1 and best in {"id", "ms"}:
        # The two share most of their words, so a small difference between them says more than among others.
        others, _ = _best_of({code: score for code, score in scores.items() if code not in {"id", "ms"}})
        apart = abs(scores["id"] - scores["ms"])
        sure = apart >= _MARGIN_OF_ID_AND_MS and scores[best] - scores[others] >= _MARGIN
    known_words = evidence[best] / len(words) >= _LEAST_EVIDENCE
    return Guess(best, sure and known_words and _markers()["romanised"].isdisjoint(words))


def _best_of(scores: Mapping[str, float]) -> tuple[str, float]:
    (best, first), (_, second), *_ = sorted(scores.items(), key=lambda item: -item[1])
    return best, first - second


@lru_cache(maxsize=1)
def _frequencies() -> dict[str, dict[str, float]]:
    """For each language, the common logarithm of each known word's frequency."""
    packed = resources.files("bot.language_data").joinpath("words.txt.gz").read_bytes()
    found: dict[str, dict[str, float]] = {}
    for line in gzip.decompress(packed).decode().splitlines():
        number, *words = line.split()
        if number == "=":
            known = found.setdefault(words[0], {})
            continue
        known |= dict.fromkeys(words, -int(number) / 100)
    found["vi"] = _without_marks(found["vi"])
    return found


def _plain(word: str) -> str:
    """The word without diacritics."""
    letters = unicodedata.normalize("NFD", word)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).replace("đ", "d")


def _without_marks(frequencies: Mapping[str, float]) -> dict[str, float]:
    """The same words as people type them without diacritics; words that become one add up."""
    folded: dict[str, float] = {}
    for word, logarithm in frequencies.items():
        plain = _plain(word)
        folded[plain] = math.log10(10 ** folded.get(plain, -99.0) + 10**logarithm)
    return folded


# --- langdetect ---------------------------------------------------------------------------------


def _langdetect(text: str, profiles: tuple[str, ...]) -> dict[str, float]:
    """langdetect's logarithm of the likelihood of each profile's language, the same on every call."""
    detector = _factory(profiles).create()
    detector.append(text)
    detector.set_prior_map(dict.fromkeys(profiles, 1.0))
    try:
        found = {entry.lang: entry.prob for entry in detector.get_probabilities()}
    except _no_features():
        return {}
    return {profile: math.log10(max(found.get(profile, 0.0), 1e-9)) for profile in profiles}


def _no_features() -> type[Exception]:
    from langdetect.lang_detect_exception import LangDetectException

    error: type[Exception] = LangDetectException
    return error


@lru_cache(maxsize=4)
def _factory(profiles: tuple[str, ...]) -> Any:
    """langdetect with only some of its profiles, which is quicker and smaller, and with a fixed seed."""
    from langdetect.detector_factory import DetectorFactory

    folder = resources.files("langdetect").joinpath("profiles")
    factory = DetectorFactory()
    factory.load_json_profile([folder.joinpath(name).read_text(encoding="utf-8") for name in profiles])
    factory.set_seed(0)
    return factory
