"""The person (or machine) at the other end, following a script or held by hand on the phone page."""

from __future__ import annotations

from simulator.line import Breath, Key, Leave, Line, Speech
from simulator.records import Handset
from simulator.scripts import Script, ScriptStep

FEW_WORDS = "A few words from a script."


class Callee:
    """One person during one call. Each question that is reached uses up one step of the script."""

    def __init__(self, handset: Handset, script: Script, line: Line) -> None:
        self.script = script
        self._pass_word = handset.pass_word
        self._line = line
        self._taken = 0

    def take(self) -> ScriptStep | None:
        """The reaction to the question that was just reached; ``None`` if a hand decides, or nobody does."""
        if self.script.answer == "manual":
            return None
        if self._taken < len(self.script.steps):
            self._taken += 1
            return self.script.steps[self._taken - 1]
        if self.script.then == "keys":
            return ScriptStep(keys=self.script.then_keys)
        return ScriptStep(hangup=True) if self.script.then == "hangup" else None

    async def react(self, step: ScriptStep) -> None:
        """Do on the line what ``step`` says."""
        if step.pause:
            await self._line.rest(step.pause)
        if step.speak:
            self._line.put(Speech(step.speak, step.seconds))
        if step.keys:
            self._line.type(step.keys.replace("{pass_word}", self._pass_word))
        if step.hangup:
            self._line.put(Leave())

    def begin_talk(self) -> None:
        """Somebody else is on the line: put on it, in order, all that this person does in the talk."""
        step = self.take()
        if step is None:
            return
        always = self.script.then == "keys" and self._taken == len(self.script.steps)
        if always and step.keys == self.script.then_keys:
            step = ScriptStep(speak=FEW_WORDS)
        for each in step.talk or (step,):
            self._put(each)

    def _put(self, step: ScriptStep) -> None:
        if step.pause:
            self._line.put(Breath(step.pause))
        if step.speak:
            self._line.put(Speech(step.speak, step.seconds))
        for symbol in step.keys.replace("{pass_word}", self._pass_word):
            self._line.put(Key(symbol))
        if step.hangup:
            self._line.put(Leave())

    async def react_to_beep(self, step: ScriptStep, finish_on_key: str) -> None:
        """Do it at a ``<Record>``: one who presses the same at every question says a few words instead."""
        always = self.script.then == "keys" and step.keys == self.script.then_keys
        if not always or self._taken < len(self.script.steps):
            await self.react(step)
            return
        self._line.put(Speech(FEW_WORDS, step.seconds))
        if "#" in finish_on_key:
            self._line.type("#")
