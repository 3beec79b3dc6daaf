"""The Rebyte API on loopback: a second, independent implementation, for tests and for development without a key.

All faults are in `rebyte_async.emulator.faults`, and everything about scripts is in `rebyte_async.emulator.script`; the
names of both can be imported from here as well. `__all__` has what a test needs at once.
"""

# ruff: noqa: F403, F405 - both packages list their names, and all of them are names of this package

from __future__ import annotations

from rebyte_async.emulator.artifacts.download import DownloadPlan
from rebyte_async.emulator.emulator import Emulator
from rebyte_async.emulator.faults import *
from rebyte_async.emulator.log import Record, TrafficLog
from rebyte_async.emulator.script import *
from rebyte_async.emulator.settings import ArtifactFormat, DeliveryPolicy, StreamFormat, WebhookFormat
from rebyte_async.emulator.state.files import StoredArtifact, StoredFile
from rebyte_async.emulator.state.prompts import Answer
from rebyte_async.emulator.state.tasks import MadeTask
from rebyte_async.emulator.webhooks.log import Attempt as Attempt
from rebyte_async.emulator.webhooks.log import Delivery

# The names of earlier releases.
Offer = DownloadPlan
Plan = DeliveryPlan

__all__ = [
    "Answer",
    "ArtifactFormat",
    "Cut",
    "Delay",
    "Deliveries",
    "Delivery",
    "DeliveryPolicy",
    "Drop",
    "Emulator",
    "Fault",
    "FaultRegistry",
    "HtmlPage",
    "MadeTask",
    "Match",
    "Record",
    "Rule",
    "Script",
    "Status",
    "Step",
    "Steps",
    "StoredArtifact",
    "StoredFile",
    "StreamFormat",
    "TrafficLog",
    "Turn",
    "WebhookFormat",
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
