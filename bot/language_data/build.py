"""Make ``words.txt.gz`` again. Run by hand, never by the service:

    uv run --with wordfreq==3.1.1 python -m bot.language_data.build

The source is the package wordfreq 3.1.1 (its data: CC BY-SA 4.0, see ``LICENSE.md`` beside this file).
The file holds for each language a line ``= code`` and then one line for each frequency: the negative
common logarithm in hundredths, and the words that are that frequent.
"""

from __future__ import annotations

import gzip
import math
import unicodedata
from collections import defaultdict
from pathlib import Path

from wordfreq import get_frequency_dict

TARGET = Path(__file__).parent / "words.txt.gz"
LANGUAGES = ("en", "id", "ms", "pt", "fil", "es", "vi")


def main() -> None:
    """Write the file into this folder, the same bytes every time."""
    sections = [_section(code, get_frequency_dict(code, "small")) for code in LANGUAGES]
    TARGET.write_bytes(gzip.compress("".join(sections).encode(), compresslevel=9, mtime=0))


def _section(code: str, frequencies: dict[str, float]) -> str:
    by_frequency: defaultdict[int, list[str]] = defaultdict(list)
    for word, frequency in frequencies.items():
        if all(unicodedata.category(letter)[0] in "LM" or letter in "'’" for letter in word):
            by_frequency[round(-100 * math.log10(frequency))].append(word)
    lines = (f"{number} {' '.join(sorted(words))}\n" for number, words in sorted(by_frequency.items()))
    return f"= {code}\n" + "".join(lines)


if __name__ == "__main__":
    main()
