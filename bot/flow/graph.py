"""A flow as a picture: Mermaid for pages, DOT for Graphviz."""

from __future__ import annotations

from bot.flow.model import Flow, Step

_WIDTH = 60


def graph(flow: Flow) -> str:
    """The flow as a Mermaid flowchart: questions are rhombs, ends are rounded."""
    lines = ["flowchart TD"]
    lines += [f"  {step.id}{_shape(step)}" for step in flow.steps.values()]
    for step in flow.steps.values():
        for reason, target in step.exits():
            label = f"|{_safe(reason)}|" if reason else ""
            lines.append(f"  {step.id} -->{label} {target}")
    for reason, target in _sides(flow):
        lines.append(f"  {reason}(({reason})) -.-> {target}")
    return "\n".join(lines) + "\n"


def dot(flow: Flow) -> str:
    """The flow as a Graphviz digraph."""
    lines = [f'digraph "{flow.name}" {{', "  node [shape=box];"]
    for step in flow.steps.values():
        shape = "diamond" if step.ask else "oval" if step.end else "box"
        lines.append(f'  "{step.id}" [shape={shape}, label="{_safe(_label(step))}"];')
        lines += [f'  "{step.id}" -> "{to}" [label="{_safe(reason)}"];' for reason, to in step.exits()]
    lines += [f'  "({reason})" -> "{to}" [style=dashed];' for reason, to in _sides(flow)]
    return "\n".join(lines) + "\n}\n"


def _sides(flow: Flow) -> list[tuple[str, str]]:
    named = [("expired", flow.expired), ("hung_up", flow.hung_up), ("critical", flow.critical)]
    named.append(("person", flow.person))
    return [(reason, target) for reason, target in named if target]


def _shape(step: Step) -> str:
    label = _safe(_label(step))
    if step.ask is not None:
        return f'{{"{label}"}}'
    return f'(["{label}"])' if step.end or step.handoff or step.carries else f'["{label}"]'


def _label(step: Step) -> str:
    if step.ask is not None:
        text = step.ask.wording.text
    elif step.end is not None:
        text = f"end: {step.end.value}"
    elif step.handoff or step.run:
        text = f"handoff: {step.handoff}" if step.handoff else f"run: {step.run}"
    elif step.carries or step.back:
        text = "continue" if step.carries else "back"
    else:
        text = step.say[0].text if step.say else step.id
    short = text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
    return f"{step.id}: {short}"


def _safe(text: str) -> str:
    return text.replace('"', "'").replace("|", "/").replace("\\", "/")
