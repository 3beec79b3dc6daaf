"""What the agent of `scripted_server.py` does with a prompt, for its server and for those who compare what came."""

from __future__ import annotations

import random


def expected_events(prompt: str) -> list[tuple[str, str]]:
    """Return the type and the mark of every event of the turn for a prompt, in order."""
    chance = random.Random(prompt)
    events = [("init", prompt)]
    for number in range(chance.randint(1, 30)):
        mark = f"{prompt}#{number} " + "x" * chance.randint(0, 300)
        kind = chance.choice(["thinking", "text", "delta", "tool_use"])
        events.append((kind, mark))
        if kind == "tool_use":
            events.append(("tool_result", mark))
    return [*events, ("text", f"{prompt} is done")]


def expected_result(prompt: str) -> str:
    """Return the final result of the turn for a prompt."""
    return f"{prompt} is done"
