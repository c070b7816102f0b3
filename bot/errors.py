"""Every error that Voiceback raises on purpose, in one tree.

    VoicebackError
    ├── ConfigurationError        settings, keys, database or Redis are not usable (exit code 3)
    │   └── SchemaError           the database is behind the code: run `voiceback db upgrade`
    ├── InputError                something a person gave us is wrong; says what, where and what to do (exit code 2)
    │   ├── PreferenceError       a `preferred_time` that cannot be read
    │   ├── AddressError          a phone number, e-mail or other address that cannot be used
    │   └── FileRejected          an upload that cannot be read at all (single bad rows are reported, not raised)
    ├── FlowError                 a flow file is wrong: file, line, reason and, where there is one, a suggestion
    ├── EngineError               a session cannot go on (the inbound is parked and tried again)
    ├── SealError                 a sealed value cannot be opened: wrong key, wrong row, or damaged
    ├── NotFound                  no such callback, case, ...: carries the opaque id
    ├── ConflictError             somebody else changed the row first; read again and retry
    ├── UnverifiedRequest         a webhook whose signature is wrong or missing (403, nothing written)
    └── SendError                 a provider did not take a message or a call: retryable, ambiguous or permanent

Messages hold opaque ids, codes, file names and line numbers. They never hold a number, a name, an
address, a pass-word or an answer, because messages end in logs.
"""

from __future__ import annotations

from enum import StrEnum


class VoicebackError(Exception):
    """Any error raised on purpose."""


class ConfigurationError(VoicebackError):
    """Settings, keys, database or Redis are not usable; the message says what to do."""


class SchemaError(ConfigurationError):
    """The database's schema is older than the code."""


class InputError(VoicebackError):
    """A person's input is wrong. ``code`` is stable for programs, the message is for people."""

    def __init__(self, message: str, *, code: str = "invalid") -> None:
        super().__init__(message)
        self.code = code


class PreferenceError(InputError):
    """A ``preferred_time`` that cannot be read."""


class AddressError(InputError):
    """An address that cannot be used."""


class FileRejected(InputError):
    """An upload that cannot be read at all."""


class FlowError(VoicebackError):
    """A flow file is wrong."""

    def __init__(
        self, message: str, *, file: str = "", line: int | None = None, suggestion: str | None = None
    ) -> None:
        where = f"{file}:{line}: " if line is not None else f"{file}: " if file else ""
        hint = f" Did you mean '{suggestion}'?" if suggestion else ""
        super().__init__(f"{where}{message}{hint}")
        self.reason = message
        self.file = file
        self.line = line
        self.suggestion = suggestion


class EngineError(VoicebackError):
    """A session cannot go on."""


class SealError(VoicebackError):
    """A sealed value cannot be opened."""


class NotFound(VoicebackError):
    """No such object."""


class ConflictError(VoicebackError):
    """Somebody else changed the row first."""


class UnverifiedRequest(VoicebackError):
    """A webhook's signature is wrong or missing."""


class SendOutcome(StrEnum):
    """What is known of a failed send."""

    RETRYABLE = "retryable"
    """The provider surely did not take it; trying again is safe."""
    AMBIGUOUS = "ambiguous"
    """The provider may have taken it; ask it before anything is sent again."""
    PERMANENT = "permanent"
    """It was refused and will be refused again."""


class SendError(VoicebackError):
    """A provider did not take a message or a call. ``code`` is the provider's own error code.

    ``wait`` is for how many seconds the provider is to be left alone, by whatever goes that way: because it said
    so, or because it cannot be reached. 0: the failure says nothing about others.
    """

    def __init__(self, outcome: SendOutcome, code: str, *, action: str = "", wait: float = 0.0) -> None:
        super().__init__(f"send failed: {outcome.value}, code {code}")
        self.outcome = outcome
        self.code = code
        self.action = action
        self.wait = wait
