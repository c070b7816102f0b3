"""Which language a worker writes in, and how languages are named."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.flow.catalog import Catalogs
from bot.language import AUTONYMS, SERVED, detect, find, guess, match

# Sentences of our own, of the kind that a hotline receives.
SENTENCES = {
    "id": "Saya dipecat kemarin karena bicara dengan auditor, tolong telepon saya nanti malam",
    "ms": "Pengurus cakap saya tak boleh balik kampung sebab pasport saya dia dah simpan",
    "my": "ကျွန်တော့်လစာ မရသေးပါဘူး",
    "km": "ខ្ញុំមិនទាន់បានប្រាក់ខែទេ",
    "zh-Hans": "经理说我们不能请假，还没发工资",
    "zh-Hant": "經理說我們不能請假，還沒發薪水",
    "en": "The manager told us what we should say before the visit",
    "hi": "मेरी तनख्वाह अभी तक नहीं मिली है",
    "ja": "給料がまだ支払われていません",
    "kn": "ನನಗೆ ಇನ್ನೂ ಸಂಬಳ ಸಿಕ್ಕಿಲ್ಲ",
    "mr": "मला अजून पगार मिळाला नाही आणि सुट्टी पण नाही",
    "ko": "아직 월급을 받지 못했어요",
    "pt": "O gerente disse que eu não posso falar com vocês",
    "fil": "Hindi pa po kami binabayaran ng overtime ngayong buwan",
    "ta": "எனக்கு இன்னும் சம்பளம் கிடைக்கவில்லை",
    "th": "ฉันยังไม่ได้รับเงินเดือน",
    "vi": "Tôi vẫn chưa nhận được lương tháng này",
    "bn": "আমি এখনো বেতন পাইনি",
    "ne": "मैले अहिलेसम्म तलब पाएको छैन, के गर्नु?",
    "lo": "ຂ້ອຍຍັງບໍ່ໄດ້ຮັບເງິນເດືອນ",
    "si": "මට තවම පඩි ලැබුණේ නැහැ",
    "ur": "مجھے ابھی تک تنخواہ نہیں ملی",
    "es": "El jefe nos dijo que no podemos hablar con ustedes",
}


def test_every_served_language_has_a_sentence_here() -> None:
    assert set(SENTENCES) == set(SERVED)


@pytest.mark.parametrize(("code", "sentence"), SENTENCES.items())
def test_a_worker_is_understood_in_every_served_language(code: str, sentence: str) -> None:
    assert detect(sentence) == code


@pytest.mark.parametrize(("code", "sentence"), SENTENCES.items())
def test_capitals_links_and_smileys_change_nothing(code: str, sentence: str) -> None:
    assert detect(f"{sentence.upper()} 😡 https://example.org/en/the-page #help 12.5.") == code


@pytest.mark.parametrize(
    "text", ["", "  ", "1", "9", "😡😡", "12/05 18:30", "???", "https://example.org", "+84 90", "ok"]
)
def test_a_text_without_words_decides_nothing(text: str) -> None:
    assert detect(text) == "und"


@pytest.mark.parametrize(
    "text",
    [
        "Меня уволили вчера после проверки",
        "لم أحصل على راتبي هذا الشهر",
        "నాకు ఇంకా జీతం రాలేదు",
        "Δεν έχω πληρωθεί ακόμα",
        "Je n'ai pas encore reçu mon salaire",
        "Maaşımı henüz almadım",
    ],
)
def test_a_language_that_we_do_not_serve_is_not_forced_into_one_that_we_do(text: str) -> None:
    assert detect(text) == "und"


def test_vietnamese_is_understood_without_its_marks() -> None:
    assert detect("toi chua nhan duoc luong thang nay") == "vi"


def test_a_word_that_two_languages_share_is_left_open() -> None:
    assert detect("makan") == "und"
    assert guess("makan").best in {"id", "ms"}
    assert detect("学校") == "und"


def test_hindi_in_latin_letters_does_not_pass_for_another_language() -> None:
    assert detect("mujhe paisa nahi mila hai kya karo") == "und"


def test_a_foreign_word_does_not_hide_the_script() -> None:
    assert detect("overtime ကြေး မရသေးဘူး") == "my"
    assert detect("WhatsApp မရဘူး") == "my"


@given(st.text(max_size=300))
def test_any_text_gets_a_served_language_or_none_and_always_the_same(text: str) -> None:
    found = detect(text)
    assert found in {*SERVED, "und"}
    assert detect(text) == found


def test_a_very_long_text_is_no_trouble() -> None:
    assert detect(SENTENCES["es"] + " y más" * 100_000) == "es"


def test_nothing_is_loaded_before_the_first_text_that_needs_it() -> None:
    code = "import sys, bot.language as l; l.detect('ฉันยังไม่ได้รับ'); print('langdetect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("tag", "served"),
    [
        ("id", "id"),
        ("in", "id"),
        ("pt-BR", "pt"),
        ("pt_PT", "pt"),
        ("tl", "fil"),
        ("fil-PH", "fil"),
        ("zh", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh-TW", "zh-Hant"),
        ("ZH-hant-hk", "zh-Hant"),
        ("zh-Hans-SG", "zh-Hans"),
        ("yue", "zh-Hant"),
        ("cmn", "zh-Hans"),
        ("mya", "my"),
        ("fr", None),
        ("", None),
        ("english please", None),
    ],
)
def test_a_language_tag_is_matched_with_what_we_serve(tag: str, served: str | None) -> None:
    assert match(tag) == served


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("Bahasa Indonesia", "id"),
        ("bahasa  melayu", "ms"),
        ("Tagalog", "fil"),
        ("Burmese", "my"),
        ("မြန်မာဘာသာ", "my"),
        ("Chinese", "zh-Hans"),
        ("Traditional Chinese", "zh-Hant"),
        ("TIẾNG VIỆT", "vi"),
        (unicodedata.normalize("NFD", "Tiếng Việt"), "vi"),
        ("zh-hk", "zh-Hant"),
        ("Klingon", None),
    ],
)
def test_a_language_is_found_by_the_name_that_people_use(name: str, served: str | None) -> None:
    assert find(name) == served


def test_every_language_is_found_by_its_own_name_and_code() -> None:
    assert all(find(autonym) == code and match(code) == code for code, autonym in AUTONYMS.items())


@pytest.mark.parametrize(
    ("code", "spoken"),
    [
        ("zh", "zh-Hans"),
        ("zh-SG", "zh-Hans"),
        ("zh-TW", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"),
        ("tl", "fil"),
        ("lo", "en"),
    ],
)
def test_a_worker_hears_the_served_language_that_her_code_stands_for(code: str, spoken: str) -> None:
    served = Catalogs(None, ("zh-Hans", "zh-Hant", "fil"))
    assert served.nearest(code) == spoken
