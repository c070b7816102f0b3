"""From the text of a flow file to a compiled :class:`~bot.flow.model.Flow`, or to a list of its mistakes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from bot.flow.condition import Condition, compile_condition
from bot.flow.events import ConsentScope, Outcome
from bot.flow.model import (
    FACTS,
    Ask,
    Branch,
    Choice,
    Flow,
    Grievance,
    Kind,
    Schedule,
    Step,
    Wording,
)
from bot.flow.schema import schema
from bot.flow.source import Path, Source, read, validate
from bot.flow.taxonomy import Taxonomy

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIMEOUTS: Final = {Kind.PASS_WORD: 10, Kind.NUMBER: 10, Kind.DATE: 15, Kind.TIME: 15}
_ENGINE_NAMES: Final = frozenset(("consent_record", "consent_take_part", "severity"))


def revision_of(text: str) -> str:
    """The revision of a flow: a short hash of its source, the same on every machine."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def duration(text: str) -> int:
    """Seconds of a duration such as ``90s``, ``10m``, ``24h`` or ``3d``."""
    return int(text[:-1]) * _SECONDS[text[-1]]


@cache
def _schema() -> dict[str, Any]:
    return schema()


def load(text: str, file: str, taxonomy: Taxonomy) -> Flow:
    """Compile one flow. Raises :class:`~bot.flow.source.FlowFaults` with every mistake found."""
    source = read(text, file)
    validate(source, _schema())
    if not isinstance(source.data, dict) or any(fault.code != "unknown_key" for fault in source.faults):
        source.raise_if_faulty()
    builder = _Builder(source, taxonomy)
    flow = builder.flow(revision_of(text))
    source.raise_if_faulty()
    return flow


@dataclass
class _Builder:
    source: Source
    taxonomy: Taxonomy

    def flow(self, revision: str) -> Flow:
        data = self.source.data
        steps = self._steps(data["steps"])
        shares = data.get("part", False) or any(step.run for step in steps.values())
        flow = Flow(
            name=data["name"],
            revision=revision,
            file=self.source.file,
            title=data["title"],
            first=next(iter(steps)),
            steps=MappingProxyType(steps),
            known=None if shares else _known(steps.values()),
            part=data.get("part", False),
            remind=duration(data["remind"]) if "remind" in data else None,
            expire=duration(data.get("expire", "3d")),
            expired=data.get("expired"),
            hung_up=data.get("hung_up"),
            critical=data.get("critical"),
            unasked=data.get("unasked"),
            person=data.get("person"),
            guarded=any(
                step.ask and step.ask.kind is Kind.PASS_WORD and not step.ask.choose
                for step in steps.values()
            ),
            gated=any(step.safety == "check" for step in steps.values()),
            facts=MappingProxyType({name: tuple(codes) for name, codes in data.get("facts", {}).items()}),
        )
        self._check_targets(flow)
        self._check_names(flow)
        return flow

    def _steps(self, listed: list[dict[str, Any]]) -> dict[str, Step]:
        steps: dict[str, Step] = {}
        for place, data in enumerate(listed):
            if data["id"] in steps:
                self.source.fault(
                    "duplicate_id", f"there are two steps '{data['id']}'", ("steps", place, "id")
                )
                continue
            following = listed[place + 1]["id"] if place + 1 < len(listed) else None
            steps[data["id"]] = self._step(data, ("steps", place), following)
        return steps

    def _step(self, data: Mapping[str, Any], path: Path, following: str | None) -> Step:
        doing = [key for key in ("ask", "run", "end", "handoff", "back", "continue") if key in data]
        if len(doing) > 1:
            self.source.fault(
                "two_deeds", f"a step has '{doing[0]}' or '{doing[1]}', not both", (*path, doing[1])
            )
        routes = data.get("next", {})
        mapped = dict(routes) if isinstance(routes, dict) else {}
        onward = mapped.pop("else", None) if isinstance(routes, dict) else routes
        step = Step(
            id=data["id"],
            line=self.source.line((*path, "id")),
            note=data.get("note", ""),
            when=_condition(data.get("when")),
            say=_statements(data.get("say", [])),
            ask=self._ask(data, path) if "ask" in data else None,
            routes=MappingProxyType(mapped),
            next=onward,
            following=following,
            branches=tuple(Branch(compile_condition(b["when"]), b["to"]) for b in data.get("branch", [])),
            grievances=self._grievances(data, path),
            consent=ConsentScope(data["consent"]) if "consent" in data else None,
            safety=data.get("safety"),
            schedule=self._schedule(data, path),
            handoff=data.get("handoff"),
            run=data.get("run"),
            end=Outcome(data["end"]) if "end" in data else None,
            first_words=data.get("first_words", False),
            back=data.get("back", False),
            carries=data.get("continue", False),
        )
        self._check_step(step, path)
        return step

    def _ask(self, data: Mapping[str, Any], path: Path) -> Ask:
        kind = Kind(data["ask"])
        if (kind is Kind.CHOICE) != ("options" in data):
            self.source.fault("options", "a choice has 'options', and nothing else has them", (*path, "ask"))
        if kind is Kind.PASS_WORD and not data.get("choose") and not {"failed", "third_party"} <= data.keys():
            self.source.fault("pass_word", "a pass_word says 'failed' and 'third_party'", (*path, "ask"))
        safety = "safety" in data
        return Ask(
            kind=kind,
            wording=_wording(data["text"]),
            choices=self._choices(data.get("options", []), path),
            not_sure=data.get("not_sure", not safety),
            skip=data.get("skip", not safety and _can_be_left_out(kind, data)),
            minimum=data.get("min"),
            maximum=data.get("max"),
            period=data.get("period", "any"),
            wish=data.get("wish", False),
            timeout=data.get("timeout", _TIMEOUTS.get(kind, 8)),
            choose=data.get("choose", False),
            failed=data.get("failed"),
            third_party=data.get("third_party"),
        )

    def _choices(self, options: list[dict[str, str]], path: Path) -> tuple[Choice, ...]:
        codes = [option["code"] for option in options]
        for place, code in enumerate(codes):
            if code in codes[:place] or code == "skip":
                message = (
                    f"the code '{code}' is used twice"
                    if code != "skip"
                    else "'skip' is the engine's own code"
                )
                self.source.fault("duplicate_code", message, (*path, "options", place, "code"))
        return tuple(Choice(option["code"], option["label"], option.get("words", "")) for option in options)

    def _grievances(self, data: Mapping[str, Any], path: Path) -> tuple[Grievance, ...]:
        listed = data.get("grievance", [])
        single = isinstance(listed, dict)
        found = []
        for place, item in enumerate([listed] if single else listed):
            inner: Path = (*path, "grievance") if single else (*path, "grievance", place)
            category = self.taxonomy.categories.get(item["category"])
            if category is None:
                message = f"the category '{item['category']}' is not in the taxonomy"
                near = self.taxonomy.categories
                self.source.fault("category", message, (*inner, "category"), near=near, word=item["category"])
                continue
            when = _condition(item.get("when"))
            if when is None and data.get("ask") == "yes_no":
                when = compile_condition({data["id"]: "yes"})
            found.append(
                Grievance(
                    category.code,
                    item.get("severity", category.severity),
                    tuple(item.get("indicators", category.ilo)),
                    when,
                    item.get("only_if_nothing_else", False),
                )
            )
        return tuple(found)

    def _schedule(self, data: Mapping[str, Any], path: Path) -> Schedule | None:
        if "schedule" not in data:
            return None
        given = data["schedule"]
        ways = [key for key in ("preference", "answer", "date") if key in given]
        if len(ways) > 1 or ("date" in given) != ("time" in given):
            message = "a schedule has a 'preference', or an 'answer', or a 'date' and a 'time'"
            self.source.fault("schedule", message, (*path, "schedule"))
        schedule = Schedule(**given)
        return schedule if ways else replace(schedule, answer=data["id"])

    def _check_step(self, step: Step, path: Path) -> None:
        kind = step.ask.kind if step.ask else None
        if (step.consent or step.safety) and kind is not Kind.YES_NO:
            self.source.fault("yes_no_only", "'consent' and 'safety' belong to a yes_no question", path)
        if step.first_words and kind is not Kind.OPEN:
            self.source.fault(
                "open_only", "'first_words' belongs to an open question", (*path, "first_words")
            )
        if step.ask is not None and step.routes and kind is not Kind.LANGUAGE:
            self._check_codes(step.ask, step.routes, (*path, "next"))
        if step.routes and step.ask is None:
            self.source.fault("next", "'next' by code needs a question", (*path, "next"))

    def _check_codes(self, ask: Ask, routes: Mapping[str, str], path: Path) -> None:
        codes = ask.codes()
        for code in routes:
            if code not in codes:
                message = f"'{code}' is not an answer of this question"
                self.source.fault("unknown_code", message, (*path, code), near=codes, word=code)

    def _check_targets(self, flow: Flow) -> None:
        for place, step in self._placed(flow):
            base: Path = ("steps", place)
            named = [(target, (*base, "next", code)) for code, target in step.routes.items()]
            named += [(branch.to, (*base, "branch", n, "to")) for n, branch in enumerate(step.branches)]
            named += [(step.next, (*base, "next"))] if step.next else []
            if step.ask is not None:
                named += [(step.ask.failed, (*base, "failed"))] if step.ask.failed else []
                named += [(step.ask.third_party, (*base, "third_party"))] if step.ask.third_party else []
            for target, path in named:
                self._check_target(flow, target, path)
        for key in ("expired", "hung_up", "critical", "person"):
            if key in self.source.data:
                self._check_target(flow, self.source.data[key], (key,))
        if flow.unasked is not None and flow.unasked not in self.taxonomy.categories:
            message = f"the category '{flow.unasked}' is not in the taxonomy"
            self.source.fault(
                "category", message, ("unasked",), near=self.taxonomy.categories, word=flow.unasked
            )

    def _check_target(self, flow: Flow, target: str, path: Path) -> None:
        if target not in flow.steps:
            self.source.fault(
                "unknown_step", f"there is no step '{target}'", path, near=flow.steps, word=target
            )

    def _placed(self, flow: Flow) -> list[tuple[int, Step]]:
        places = {data["id"]: place for place, data in reversed(list(enumerate(self.source.data["steps"])))}
        return [(places[step.id], step) for step in flow.steps.values()]

    def _check_names(self, flow: Flow) -> None:
        possible = {**FACTS, **flow.facts}
        runs_others = any(step.run for step in flow.steps.values())
        for place, step in self._placed(flow):
            for condition, path in _conditions(step, ("steps", place)):
                self._check_condition(flow, condition, path, possible, lenient=runs_others or flow.part)
            if step.schedule:
                for name in (step.schedule.answer, step.schedule.date, step.schedule.time):
                    if name and name not in flow.steps:
                        path = ("steps", place, "schedule")
                        self.source.fault(
                            "unknown_step", f"there is no step '{name}'", path, near=flow.steps, word=name
                        )

    def _check_condition(
        self,
        flow: Flow,
        condition: Condition,
        path: Path,
        facts: Mapping[str, tuple[str, ...]],
        *,
        lenient: bool,
    ) -> None:
        for name in sorted(condition.names):
            if name not in flow.steps and name not in facts and not lenient:
                message = f"'{name}' is neither a step nor a fact"
                self.source.fault("unknown_name", message, path, near=[*flow.steps, *facts], word=name)
        for name, code in condition.wanted:
            step = flow.steps.get(name)
            codes: Iterable[str] = (
                step.ask.codes() if step and step.ask else () if step else facts.get(name, ())
            )
            if codes and code not in codes:
                message = f"'{name}' is never '{code}'"
                self.source.fault("unknown_code", message, path, near=codes, word=code)


def _conditions(step: Step, base: Path) -> list[tuple[Condition, Path]]:
    found: list[tuple[Condition, Path]] = [(step.when, (*base, "when"))] if step.when else []
    found += [(branch.when, (*base, "branch", place)) for place, branch in enumerate(step.branches)]
    found += [(grievance.when, (*base, "grievance")) for grievance in step.grievances if grievance.when]
    return found


def _known(steps: Iterable[Step]) -> frozenset[str]:
    """Names that are asked for by another step than the one that answers them, or before it is asked."""
    names: set[str] = set()
    for step in steps:
        for condition, path in _conditions(step, ()):
            names |= condition.names if path == ("when",) else condition.names - {step.id}
        if step.schedule:
            made_of = (step.schedule.answer, step.schedule.date, step.schedule.time)
            names |= {name for name in made_of if name and name != step.id}
    return frozenset(names)


def _can_be_left_out(kind: Kind, data: Mapping[str, Any]) -> bool:
    return kind not in (Kind.LANGUAGE, Kind.PERSON) and (
        kind is not Kind.PASS_WORD or bool(data.get("choose"))
    )


def _condition(data: object) -> Condition | None:
    return None if data is None else compile_condition(data)


def _wording(data: str | dict[str, str]) -> Wording:
    return Wording(data, data) if isinstance(data, str) else Wording(data["voice"], data["text"])


def _statements(data: str | dict[str, str] | list[str | dict[str, str]]) -> tuple[Wording, ...]:
    return tuple(_wording(item) for item in (data if isinstance(data, list) else [data]))
