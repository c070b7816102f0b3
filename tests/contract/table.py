"""The table of channels in writing, one row each. A new channel is one more."""

from __future__ import annotations

from tests.contract import email, sms, telegram, whatsapp

ROWS = (sms.ROW, whatsapp.ROW, telegram.ROW, email.ROW)
STORY = "They have not paid us since January and nobody in the office wants to talk about it"
