"""The Rebyte API on loopback: a second, independent implementation, for tests and for development without a key.

`__all__` has what a test needs at once. All faults are in `rebyte_async.emulator.faults`, and everything about scripts
is in `rebyte_async.emulator.script`; the names of both can be imported from here as well.
"""

from __future__ import annotations

from rebyte_async.emulator.artifacts.download import DownloadPlan
from rebyte_async.emulator.emulator import Emulator
from rebyte_async.emulator.faults import DOWNLOADS as DOWNLOADS
from rebyte_async.emulator.faults import BrokenBody as BrokenBody
from rebyte_async.emulator.faults import ByteFault as ByteFault
from rebyte_async.emulator.faults import (
    Cut,
    Delay,
    Deliveries,
    Drop,
    Fault,
    FaultRegistry,
    HtmlPage,
    Match,
    Rule,
    Status,
)
from rebyte_async.emulator.faults import CutBytes as CutBytes
from rebyte_async.emulator.faults import DeliveryFault as DeliveryFault
from rebyte_async.emulator.faults import DeliveryPlan as DeliveryPlan
from rebyte_async.emulator.faults import DownloadFault as DownloadFault
from rebyte_async.emulator.faults import Duplicate as Duplicate
from rebyte_async.emulator.faults import EagerCompletedAt as EagerCompletedAt
from rebyte_async.emulator.faults import EarlyDone as EarlyDone
from rebyte_async.emulator.faults import EmptyBody as EmptyBody
from rebyte_async.emulator.faults import EmptyDone as EmptyDone
from rebyte_async.emulator.faults import ExpiredUrl as ExpiredUrl
from rebyte_async.emulator.faults import FaultBook as FaultBook
from rebyte_async.emulator.faults import FrameFault as FrameFault
from rebyte_async.emulator.faults import LateDelivery as LateDelivery
from rebyte_async.emulator.faults import LateRow as LateRow
from rebyte_async.emulator.faults import NoDone as NoDone
from rebyte_async.emulator.faults import Noise as Noise
from rebyte_async.emulator.faults import NoRanges as NoRanges
from rebyte_async.emulator.faults import OtherETag as OtherETag
from rebyte_async.emulator.faults import ReadLag as ReadLag
from rebyte_async.emulator.faults import Redirect as Redirect
from rebyte_async.emulator.faults import Renumber as Renumber
from rebyte_async.emulator.faults import RepeatedDelivery as RepeatedDelivery
from rebyte_async.emulator.faults import ReplayPrevious as ReplayPrevious
from rebyte_async.emulator.faults import Reply as Reply
from rebyte_async.emulator.faults import RequestFault as RequestFault
from rebyte_async.emulator.faults import Respell as Respell
from rebyte_async.emulator.faults import Rewrite as Rewrite
from rebyte_async.emulator.faults import Silence as Silence
from rebyte_async.emulator.faults import Slow as Slow
from rebyte_async.emulator.faults import Split as Split
from rebyte_async.emulator.faults import StaleDelivery as StaleDelivery
from rebyte_async.emulator.faults import TamperedDelivery as TamperedDelivery
from rebyte_async.emulator.faults import UnreadableDelivery as UnreadableDelivery
from rebyte_async.emulator.faults import WrongLength as WrongLength
from rebyte_async.emulator.log import Record, TrafficLog
from rebyte_async.emulator.script import Ask as Ask
from rebyte_async.emulator.script import Comment as Comment
from rebyte_async.emulator.script import Delegate as Delegate
from rebyte_async.emulator.script import Emit as Emit
from rebyte_async.emulator.script import End as End
from rebyte_async.emulator.script import Hold as Hold
from rebyte_async.emulator.script import Pause as Pause
from rebyte_async.emulator.script import (
    Script,
    Step,
    Steps,
    Turn,
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
from rebyte_async.emulator.script import Stage as Stage
from rebyte_async.emulator.script import WriteArtifact as WriteArtifact
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
