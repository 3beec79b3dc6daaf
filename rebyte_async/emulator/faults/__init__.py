"""Faults: troubles between a client and the service, as small objects that can be combined."""

from __future__ import annotations

from rebyte_async.emulator.faults.base import (
    ByteFault,
    DeliveryFault,
    DeliveryPlan,
    DownloadFault,
    Fault,
    FrameFault,
    RequestFault,
)
from rebyte_async.emulator.faults.deliveries import (
    LateDelivery,
    RepeatedDelivery,
    StaleDelivery,
    TamperedDelivery,
    UnreadableDelivery,
)
from rebyte_async.emulator.faults.downloads import NoRanges, OtherETag, Slow, WrongLength
from rebyte_async.emulator.faults.registry import DOWNLOADS, Deliveries, FaultRegistry, Match, Rule
from rebyte_async.emulator.faults.requests import (
    BrokenBody,
    Delay,
    Drop,
    EagerCompletedAt,
    EmptyBody,
    ExpiredUrl,
    HtmlPage,
    ReadLag,
    Redirect,
    Reply,
    Respell,
    Rewrite,
    Status,
)
from rebyte_async.emulator.faults.streams import (
    Cut,
    CutBytes,
    Duplicate,
    EarlyDone,
    EmptyDone,
    LateRow,
    NoDone,
    Noise,
    Renumber,
    ReplayPrevious,
    Silence,
    Split,
)

FaultBook = FaultRegistry
"""The name of `FaultRegistry` in earlier releases."""

__all__ = [
    "DOWNLOADS",
    "BrokenBody",
    "ByteFault",
    "Cut",
    "CutBytes",
    "Delay",
    "Deliveries",
    "DeliveryFault",
    "DeliveryPlan",
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
