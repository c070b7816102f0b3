"""How many SMS segments a text needs: GSM 03.38 (160, then 153 each) or UCS-2 (70, then 67 each)."""

from __future__ import annotations

import math

GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# These letters are reached through an escape and so count as two.
GSM_EXTENDED = frozenset("^{}\\[~]|€\f")


def segment_count(text: str) -> int:
    """Segments for ``text``; at least one, as an empty message is still sent as one."""
    if all(letter in GSM_BASIC or letter in GSM_EXTENDED for letter in text):
        septets = sum(2 if letter in GSM_EXTENDED else 1 for letter in text)
        return 1 if septets <= 160 else math.ceil(septets / 153)
    units = len(text.encode("utf-16-be")) // 2
    return 1 if units <= 70 else math.ceil(units / 67)
