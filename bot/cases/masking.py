"""A worker's own addresses, masked in what they wrote.

Workers write their number into a message so that they can be called. Who reads the message must not
see it, and must still see any other number, because that may be evidence. So only what has the blind
index of one of the worker's own addresses is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import phonenumbers

from bot.messages import Address, AddressKind
from bot.privacy.seal import Sealer

MASK: Final = "[the worker's own address]"
_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_NUMBERED: Final = (AddressKind.PHONE, AddressKind.WHATSAPP)


def mask(sealer: Sealer, text: str, own: Collection[str], country: str | None) -> str:
    """``text`` without the addresses whose blind indexes are in ``own``.

    ``country`` (ISO 3166 alpha-2) tells how numbers without a country code are read.
    """
    if not own:
        return text
    spans = [
        (found.start(), found.end()) for found in _EMAIL.finditer(text) if _is_own(sealer, found[0], own)
    ]
    for match in phonenumbers.PhoneNumberMatcher(text, country, leniency=phonenumbers.Leniency.POSSIBLE):
        number = phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)
        if any(sealer.address_index(Address(kind, number)) in own for kind in _NUMBERED):
            spans.append((match.start, match.end))
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + MASK + text[end:]
    return text


def _is_own(sealer: Sealer, email: str, own: Collection[str]) -> bool:
    return sealer.address_index(Address(AddressKind.EMAIL, email.lower())) in own
