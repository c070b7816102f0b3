"""A worker says in her own words when she wants to be contacted.

The phrases in other languages than English were made by machine and are not reviewed by speakers yet.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.callbacks.preference import Days, parse, windows
from bot.callbacks.wishes import said, understand
from bot.flow.library import Library

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
FRIDAY = datetime(2026, 3, 20, 10, 0, tzinfo=HANOI)
LIBRARY = Library.open(Path("flows"))
SUNDAY = "sun_morning;sun_lunch;sun_afternoon;sun_evening"
TOMORROW_AFTER_8 = "2026-03-21 after 20:00"
"""What the phrases mean on Friday, 20 March 2026, at 10 h."""

# In this order: tomorrow after 8, Sunday, today in the evening, tomorrow morning, at 20:30, the day after tomorrow,
# Sunday at 7 in the evening, at the weekend.
MEANINGS = (
    TOMORROW_AFTER_8,
    SUNDAY,
    "fri_evening",
    "sat_morning",
    "2026-03-20 20:30",
    "2026-03-22 after 09:00",
    "2026-03-22 19:00",
    "weekend",
)
PHRASES = {
    "en": "tomorrow after 8|Sunday|today evening|tomorrow morning|20:30|the day after tomorrow|Sunday 7 pm|weekend",
    "id": "besok setelah jam 8|Minggu|malam ini|besok pagi|jam 20.30|lusa|hari Minggu jam 7 malam|akhir pekan",
    "ms": "esok selepas pukul 8|Ahad|malam ini|esok pagi|pukul 20.30|lusa|Ahad pukul 7 malam|hujung minggu",
    "my": "မနက်ဖြန် ၈ နာရီ နောက်ပိုင်း|တနင်္ဂနွေ|ဒီညနေ|မနက်ဖြန် မနက်|၂၀:၃၀|သဘက်ခါ|တနင်္ဂနွေ ညနေ ၇ နာရီ|ပိတ်ရက်",
    "km": "ស្អែកក្រោយម៉ោង ៨|អាទិត្យ|យប់នេះ|ស្អែកព្រឹក|ម៉ោង ២០:៣០|ខានស្អែក|ថ្ងៃអាទិត្យ ម៉ោង ៧ ល្ងាច|ចុងសប្តាហ៍",
    "zh-Hans": "明天8点以后|星期天|今天晚上|明天早上|20点30分|后天|周日晚上七点|周末",
    "zh-Hant": "明天8點以後|星期天|今天晚上|明天早上|20點30分|後天|週日晚上七點|週末",
    "hi": "कल ८ बजे के बाद|रविवार|आज शाम|कल सुबह|२०:३०|परसों|रविवार शाम सात बजे|वीकेंड",
    "ja": "明日8時以降|日曜日|今夜|明日の朝|20時30分|明後日|日曜の夜7時|週末",
    "kn": "ನಾಳೆ ೮ ಗಂಟೆ ನಂತರ|ಭಾನುವಾರ|ಇಂದು ಸಂಜೆ|ನಾಳೆ ಬೆಳಿಗ್ಗೆ|೨೦:೩೦|ನಾಡಿದ್ದು|ಭಾನುವಾರ ಸಂಜೆ ೭ ಗಂಟೆಗೆ|ವಾರಾಂತ್ಯ",
    "mr": "उद्या ८ नंतर|रविवारी|आज संध्याकाळी|उद्या सकाळी|२०:३०|परवा|रविवारी संध्याकाळी सात वाजता|वीकेंड",
    "ko": "내일 8시 이후|일요일에|오늘 저녁|내일 아침|20시 30분|모레|일요일 저녁 일곱시|주말",
    "pt": "amanhã depois das 8|domingo|hoje à noite|amanhã de manhã|às 20h30|depois de amanhã"
    "|domingo às 7 da noite|fim de semana",
    "fil": "bukas pagkatapos ng alas otso|Linggo|mamayang gabi|bukas ng umaga|20:30|sa makalawa"
    "|Linggo alas siyete ng gabi|katapusan ng linggo",
    "ta": "நாளை 8 மணிக்குப் பிறகு|ஞாயிற்றுக்கிழமை|இன்று மாலை|நாளை காலை|20:30|நாளை மறுநாள்|ஞாயிறு மாலை 7 மணி|வார இறுதி",
    "th": "พรุ่งนี้หลัง ๘ โมง|วันอาทิตย์|เย็นนี้|พรุ่งนี้เช้า|20:30 น.|มะรืนนี้|วันอาทิตย์ 7 โมงเย็น|สุดสัปดาห์",
    "vi": "ngày mai sau 8 giờ|Chủ nhật|tối nay|sáng mai|20 giờ 30|ngày kia|chủ nhật 7 giờ tối|cuối tuần",
    "bn": "কাল ৮টার পরে|রবিবার|আজ সন্ধ্যায়|কাল সকালে|২০:৩০|পরশু|রবিবার সন্ধ্যা ৭টায়|সপ্তাহান্তে",
    "ne": "भोलि ८ बजे पछि|आइतबार|आज बेलुका|भोलि बिहान|२०:३०|पर्सि|आइतबार साँझ सात बजे|सप्ताहान्त",
    "lo": "ມື້ອື່ນຫຼັງ ໘ ໂມງ|ວັນອາທິດ|ແລງນີ້|ມື້ອື່ນເຊົ້າ|20:30|ມື້ຮື|ວັນອາທິດ 7 ໂມງແລງ|ທ້າຍອາທິດ",
    "si": "හෙට 8 ට පස්සේ|ඉරිදා|අද හවස|හෙට උදේ|20:30|අනිද්දා|ඉරිදා හවස 7 ට|සති අන්තය",
    "ur": "کل ۸ بجے کے بعد|اتوار|آج شام|کل صبح|۲۰:۳۰|پرسوں|اتوار شام سات بجے|ویک اینڈ",
    "es": "mañana después de las 8|domingo|esta noche|mañana por la mañana|a las 20:30|pasado mañana"
    "|domingo a las 7 de la noche|fin de semana",
}


def understood(text: str, language: str = "en", now: datetime = FRIDAY) -> str | None:
    wish = understand(text, LIBRARY.times_in(language), now, "VN")
    return str(wish) if wish else None


@pytest.mark.parametrize("language", PHRASES)
def test_a_worker_says_in_her_language_when_to_contact_her(language: str) -> None:
    phrases = PHRASES[language].split("|")
    assert dict(zip(phrases, (understood(text, language) for text in phrases), strict=True)) == dict(
        zip(phrases, MEANINGS, strict=True)
    )


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("8", "2026-03-20 20:00"),
        ("at 11", "2026-03-20 11:00"),
        ("08:30", "2026-03-21 08:30"),
        ("8 pm", "2026-03-20 20:00"),
        ("9am", "2026-03-21 09:00"),
        ("after 21:30", "2026-03-20 after 21:30"),
        ("after lunch", "afternoon"),
        ("half past 6 in the evening", "2026-03-20 18:30"),
        ("Saturday or Sunday evening", "sat_evening;sun_evening"),
        ("friday", "fri_morning;fri_lunch;fri_afternoon;fri_evening"),
        ("Friday 9 am", "2026-03-27 09:00"),
        ("Tuesday next week, evening", "tue_evening"),
        ("next week Sunday", "2026-03-29 after 09:00"),
        ("22 March", "2026-03-22 after 09:00"),
        ("March 22 at 7 pm", "2026-03-22 19:00"),
        ("1 april in the evening", "2026-04-01 evening"),
        ("today", "2026-03-20 after 10:15"),
        ("Please call me on sunday after 8, thank you", "2026-03-22 after 20:00"),
    ],
)
def test_a_time_that_may_mean_two_is_read_as_the_guide_says(text: str, meaning: str) -> None:
    assert understood(text) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "not Sunday",
        "before 8",
        "my boss hits us",
        "5551234567",
        "25:00",
        "31 February",
        "today at 9 am",
        "this morning between 8 and 10",
        "next week",
        "in June",
        "24 December",
        "the sunset was lovely",
        "besok setelah jam 8",
        "",
        "sunday " * 20,
    ],
)
def test_what_is_not_sure_is_not_guessed(text: str) -> None:
    assert understood(text) is None


def test_hours_are_those_of_the_place_where_she_is() -> None:
    late = FRIDAY.replace(hour=20, minute=50)
    assert understood("at 8", now=late) == "2026-03-21 08:00"
    assert understood("after 8", now=late) == "2026-03-21 after 20:00"
    assert understood("tonight", now=late) == "fri_night"


def test_what_was_understood_is_said_back_as_a_day_and_hours() -> None:
    wish = parse(TOMORROW_AFTER_8)
    assert said(wish, FRIDAY, "VN", "en") == "Sat, Mar 21, 20:00–21:00"
    assert said(wish, FRIDAY, "VN", "ja") == "3月21日(土), 20:00–21:00"
    assert said(parse(SUNDAY), FRIDAY, "VN", "en") == "Sun, Mar 22, 08:00–17:00, 18:00–21:00"


_WORDS = {
    language: [word for words in LIBRARY.times_in(language).words.values() for word, _ in words]
    for language in PHRASES
}


@settings(deadline=None)  # The first look at a country's calendar reads it from the disk.
@given(
    st.sampled_from(sorted(PHRASES)).flatmap(
        lambda language: st.tuples(
            st.just(language),
            st.lists(
                st.one_of(
                    st.sampled_from(_WORDS[language]),
                    st.integers(0, 31).map(str),
                    st.times().map(lambda at: f"{at:%H:%M}"),
                    st.text(max_size=5),
                ),
                max_size=6,
            ).map(" ".join),
        )
    ),
    st.integers(0, 3 * 365 * 24 * 60).map(lambda minutes: FRIDAY + timedelta(minutes=minutes)),
)
def test_whatever_is_written_no_time_is_in_the_past_or_beyond_the_day(
    phrase: tuple[str, str], now: datetime
) -> None:
    language, text = phrase
    wish = understand(text, LIBRARY.times_in(language), now, "VN")
    if wish is None:
        return
    assert parse(str(wish)) == wish
    for alternative in wish.alternatives:
        day = getattr(alternative, "day", None)
        assert day is None or now.date() <= day <= now.date() + timedelta(days=15)
    assert said(wish, now, "VN", language)
    first = min(
        window.end
        for ahead in range(16)
        for window in windows(wish, now.date() + timedelta(days=ahead), HANOI, "VN")
        if window.end > now
    )
    assert first > now


def test_every_weekday_is_known_in_every_language() -> None:
    for language in PHRASES:
        known = {meaning for words in LIBRARY.times_in(language).words.values() for _, meaning in words}
        assert {day.value for day in Days} - {"every", "weekday"} <= known
