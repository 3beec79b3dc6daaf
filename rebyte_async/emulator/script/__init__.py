"""Scripts: what an emulated agent does, as steps that a test puts together."""

from __future__ import annotations

from rebyte_async.emulator.script.artifacts import WriteArtifact, artifact
from rebyte_async.emulator.script.delegation import Delegate, delegate
from rebyte_async.emulator.script.endings import End, cancel, fail, succeed
from rebyte_async.emulator.script.player import ScriptPlayer, Step, Steps
from rebyte_async.emulator.script.questions import Ask, question
from rebyte_async.emulator.script.script import Script
from rebyte_async.emulator.script.steps import (
    Comment,
    Emit,
    comment,
    delta,
    error,
    init,
    raw,
    result,
    text,
    thinking,
    tool_result,
    tool_use,
)
from rebyte_async.emulator.script.turn import Turn
from rebyte_async.emulator.script.waits import Hold, Pause, hold, pause

Stage = ScriptPlayer

__all__ = [
    "Ask",
    "Comment",
    "Delegate",
    "Emit",
    "End",
    "Hold",
    "Pause",
    "Script",
    "ScriptPlayer",
    "Stage",
    "Step",
    "Steps",
    "Turn",
    "WriteArtifact",
    "artifact",
    "cancel",
    "comment",
    "delegate",
    "delta",
    "error",
    "fail",
    "hold",
    "init",
    "pause",
    "question",
    "raw",
    "result",
    "succeed",
    "text",
    "thinking",
    "tool_result",
    "tool_use",
]
