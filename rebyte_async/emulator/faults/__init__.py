"""Faults: what can go wrong between a client and the service, as small objects to put together."""

from __future__ import annotations

from rebyte_async.emulator.faults.base import ByteFault, DeliveryFault, DownloadFault, Fault, FrameFault, RequestFault
from rebyte_async.emulator.faults.bodies import BrokenBody, EmptyBody, HtmlPage
from rebyte_async.emulator.faults.cut import Cut, CutBytes, NoDone
from rebyte_async.emulator.faults.delay import Delay
from rebyte_async.emulator.faults.deliveries import (
    LateDelivery,
    RepeatedDelivery,
    StaleDelivery,
    TamperedDelivery,
    UnreadableDelivery,
)
from rebyte_async.emulator.faults.done import EarlyDone, EmptyDone
from rebyte_async.emulator.faults.downloads import ExpiredUrl, NoRanges, OtherETag, Slow, WrongLength
from rebyte_async.emulator.faults.drop import Drop
from rebyte_async.emulator.faults.match import DOWNLOADS, Deliveries, Match
from rebyte_async.emulator.faults.noise import Duplicate, Noise
from rebyte_async.emulator.faults.numbering import LateRow, Renumber
from rebyte_async.emulator.faults.redirect import Redirect
from rebyte_async.emulator.faults.registry import FaultRegistry, Rule
from rebyte_async.emulator.faults.replay import ReplayPrevious
from rebyte_async.emulator.faults.reply import Reply
from rebyte_async.emulator.faults.silence import Silence
from rebyte_async.emulator.faults.split import Split
from rebyte_async.emulator.faults.status import ReadLag, Status
from rebyte_async.emulator.faults.views import EagerCompletedAt, Respell, Rewrite

FaultBook = FaultRegistry

__all__ = [
    "DOWNLOADS",
    "BrokenBody",
    "ByteFault",
    "Cut",
    "CutBytes",
    "Delay",
    "Deliveries",
    "DeliveryFault",
    "DownloadFault",
    "Drop",
    "Duplicate",
    "EagerCompletedAt",
    "EarlyDone",
    "EmptyBody",
    "EmptyDone",
    "ExpiredUrl",
    "Fault",
    "FaultBook",
    "FaultRegistry",
    "FrameFault",
    "HtmlPage",
    "LateDelivery",
    "LateRow",
    "Match",
    "NoDone",
    "NoRanges",
    "Noise",
    "OtherETag",
    "ReadLag",
    "Redirect",
    "Renumber",
    "RepeatedDelivery",
    "ReplayPrevious",
    "Reply",
    "RequestFault",
    "Respell",
    "Rewrite",
    "Rule",
    "Silence",
    "Slow",
    "Split",
    "StaleDelivery",
    "Status",
    "TamperedDelivery",
    "UnreadableDelivery",
    "WrongLength",
]
