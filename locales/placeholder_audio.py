"""Placeholder recordings for a language that no provider can speak. Run by hand, never by the service.

    apt-get install espeak-ng sox
    .venv/bin/python locales/placeholder_audio.py my

For every text that can be heard on the telephone there must be a file ``locales/<language>/audio/<name>.wav``
(see :func:`bot.flow.catalog.recording_name`). This script speaks the missing ones with espeak-ng, removes those
whose text is no longer in use, and writes ``manifest.csv`` for the speaker who will record the real ones. It
never replaces a file that is there, so real recordings stay. The voice of espeak-ng is hardly understandable;
the files let the service be tried out, and no worker should ever be called with them.
"""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bot.flow.catalog import Catalogs, recording_name
from bot.flow.check import spoken_texts
from bot.flow.library import Library

ROOT: Final = Path(__file__).resolve().parent.parent
COLUMNS: Final = ("name", "state", "english", "text", "placeholder")
WORDS_PER_MINUTE: Final = "180"
# Silence at both ends of what espeak-ng makes would only delay the menu: it is cut to a tenth of a second.
TRIM: Final = ("silence", "1", "0.01", "0.5%", "reverse", "silence", "1", "0.01", "0.5%", "reverse")
PAD: Final = ("pad", "0.1", "0.15")
_SENTENCE: Final = re.compile(r"[^။.?!]*[။.?!]*")
ESPEAK_VOICES: Final = {"zh-Hans": "cmn", "zh-Hant": "yue", "fil": "id", "km": "vi", "lo": "th"}
"""Voices for the names of languages that espeak-ng calls differently or lacks; then the nearest it has."""


@dataclass(frozen=True, slots=True)
class Line:
    """One text to be heard. ``voice`` is espeak-ng's; the name of another language is said in that language."""

    name: str
    english: str
    text: str
    voice: str


def lines(library: Library, catalogs: Catalogs, language: str) -> list[Line]:
    """Every text of a language that can be heard, once, with the English texts that it stands for."""
    tongue = catalogs.tongue(language)
    names = {catalogs.tongue(code).autonym: ESPEAK_VOICES.get(code, code) for code in catalogs.languages}
    sources: dict[str, list[str]] = {}
    for source in spoken_texts(library, catalogs, "en"):
        sources.setdefault(tongue.text(source), []).append(source)
    return [
        Line(recording_name(text), " / ".join(sources.get(text, [])), text, names.get(text, language))
        for text in spoken_texts(library, catalogs, language)
    ]


def refresh(folder: Path, wanted: list[Line]) -> tuple[int, int]:
    """Bring a folder of recordings up to date: how many were made, how many were removed.

    ``OSError`` where espeak-ng or sox is missing, ``CalledProcessError`` where one of them fails; nothing is
    changed then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = _known(folder / "manifest.csv")
    names = {line.name for line in wanted}
    made = {line.name: speak(line) for line in wanted if not _file(folder, line.name).is_file()}
    stale = [path for path in folder.glob("*.wav") if path.stem not in names]
    for path in stale:
        path.unlink()
    for name, sound in made.items():
        _file(folder, name).write_bytes(sound)
    _write_manifest(folder, wanted, {**known, **{name: _digest(sound) for name, sound in made.items()}})
    return len(made), len(stale)


def speak(line: Line) -> bytes:
    """One text as a WAV file, 8 kHz mono in G.711 mu-law as telephones use it.

    Each sentence is spoken by itself, because espeak-ng aborts over some longer Burmese texts.
    """
    sentences = [sentence for sentence in _SENTENCE.findall(line.text) if sentence.strip()]
    said = b"".join(_said(sentence, line.voice) for sentence in sentences)
    raw = ("-t", "raw", "-r", "22050", "-e", "signed", "-b", "16", "-c", "1", "-")
    # The header of a WAV file tells the length, which sox can write into a file only, not into a pipe.
    with TemporaryDirectory() as folder:
        wav = Path(folder) / "sound.wav"
        _run("sox", *raw, "-r", "8000", "-c", "1", "-e", "mu-law", str(wav), *TRIM, *PAD, given=said)
        return wav.read_bytes()


def _said(sentence: str, voice: str) -> bytes:
    """The samples of one sentence at 22.05 kHz, 16 bit, without the header that espeak-ng puts first."""
    arguments = ("-v", voice, "-s", WORDS_PER_MINUTE, "--stdin", "--stdout")
    return _run("espeak-ng", *arguments, given=sentence.encode())[44:]


def _run(program: str, *arguments: str, given: bytes) -> bytes:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"{program} is not installed")
    command = [found, *arguments]
    # The programs are the two named above; a text reaches them on standard input only.
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout  # noqa: S603 - see above


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.wav"


def _digest(sound: bytes) -> str:
    return hashlib.sha256(sound).hexdigest()[:16]


def _known(manifest: Path) -> dict[str, str]:
    """The digest of the placeholder by name, as the manifest tells it."""
    if not manifest.is_file():
        return {}
    with manifest.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["placeholder"] for row in csv.DictReader(file)}


def _write_manifest(folder: Path, wanted: list[Line], placeholders: Mapping[str, str]) -> None:
    """One row for each text; a file that is not the placeholder any more counts as recorded."""
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for line in wanted:
            placeholder = placeholders.get(line.name, "")
            state = (
                "placeholder" if _digest(_file(folder, line.name).read_bytes()) == placeholder else "recorded"
            )
            table.writerow((line.name, state, line.english, line.text, placeholder))


def main(arguments: list[str]) -> int:
    """Refresh the recordings of the languages that are named; 2 where none is, or one is not served."""
    catalogs = Catalogs.open(ROOT / "locales")
    if not arguments or not set(arguments) <= set(catalogs.languages):
        sys.stderr.write(f"Name languages out of: {' '.join(catalogs.languages)}\n")
        return 2
    library = Library.open(ROOT / "flows")
    for language in arguments:
        folder = ROOT / "locales" / language.replace("-", "_") / "audio"
        made, removed = refresh(folder, lines(library, catalogs, language))
        sys.stdout.write(f"{language}: {made} made, {removed} removed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
