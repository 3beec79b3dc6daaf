"""Scripts: what an emulated agent does, as steps that tests combine."""

from __future__ import annotations

from rebyte_async.emulator.script.player import ScriptPlayer, Step, Steps
from rebyte_async.emulator.script.script import Script
from rebyte_async.emulator.script.steps import (
    Ask,
    Comment,
    Delegate,
    Emit,
    End,
    Hold,
    Pause,
    WriteArtifact,
    artifact,
    cancel,
    comment,
    delegate,
    delta,
    error,
    fail,
    hold,
    init,
    pause,
    question,
    raw,
    result,
    succeed,
    text,
    thinking,
    tool_result,
    tool_use,
)
from rebyte_async.emulator.script.turn import Turn

Stage = ScriptPlayer
"""The name of `ScriptPlayer` in earlier releases."""

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
