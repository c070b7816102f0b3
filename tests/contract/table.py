"""The table of channels, one row each. A new channel is one more."""

from __future__ import annotations

from tests.contract import email, sms, telegram, voice, whatsapp

WRITTEN = (sms.ROW, whatsapp.ROW, telegram.ROW, email.ROW)
ROWS = (*WRITTEN, voice.ROW)
STORY = "They have not paid us since January and nobody in the office wants to talk about it"
