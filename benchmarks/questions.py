"""Twelve yes/no questions: the flow on which engines are compared, and answers raced."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.serving import ROOT

QUESTIONS = (
    "Were you paid on time last month?",
    "Was all of your overtime paid?",
    "Do you have a written contract?",
    "Do you keep your own papers?",
    "Can you leave the workplace after your shift?",
    "Do you have a day off every week?",
    "Is there clean water where you work?",
    "Are the fire exits open?",
    "Were you told what to say to visitors?",
    "Was anybody punished for talking?",
    "Can you join a union?",
    "Do you want to tell more another time?",
)


def flow_text(name: str) -> str:
    """The questions as a flow of ours."""
    steps = "".join(
        f"  - {{id: question_{place}, ask: yes_no, text: {json.dumps(question)}}}\n"
        for place, question in enumerate(QUESTIONS, 1)
    )
    end = "  - {id: closing, say: Thank you., end: completed}\n"
    return f"name: {name}\ntitle: Twelve questions\nremind: 20h\nexpire: 3d\nsteps:\n{steps}{end}"


def folder_of_flows(folder: Path) -> Path:
    """A copy of our flows in ``folder``, in which the hotline asks the twelve questions and nothing else."""
    copy = folder / "flows"
    shutil.copytree(ROOT / "flows", copy)
    (copy / "hotline.yaml").write_text(flow_text("hotline"), encoding="utf-8")
    return copy
