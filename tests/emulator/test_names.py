"""The names that users import from the emulator."""

from __future__ import annotations

import importlib

import pytest

from rebyte_async import emulator
from rebyte_async.emulator import faults, script

FAULTS = [
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

SCRIPT = [
    "Ask",
    "Comment",
    "Delegate",
    "Emit",
    "End",
    "Hold",
    "Pause",
    "Script",
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

OTHERS = [
    "Answer",
    "ArtifactFormat",
    "Attempt",
    "Delivery",
    "DeliveryPolicy",
    "Emulator",
    "MadeTask",
    "Offer",
    "Plan",
    "Record",
    "StoredArtifact",
    "StoredFile",
    "StreamFormat",
    "TrafficLog",
    "WebhookFormat",
]


@pytest.mark.parametrize("name", [*FAULTS, *SCRIPT, *OTHERS])
def test_every_name_can_be_imported_from_the_package(name: str) -> None:
    """Names of the first release stay importable, listed in `__all__` or not."""
    assert hasattr(emulator, name)


@pytest.mark.parametrize(("module", "names"), [("faults", FAULTS), ("script", SCRIPT)])
def test_every_name_can_be_imported_from_its_package(module: str, names: list[str]) -> None:
    """Faults and steps are importable from packages of their own, which list them."""
    package = importlib.import_module(f"rebyte_async.emulator.{module}")

    assert set(names) <= set(package.__all__)
    assert all(getattr(package, name) is getattr(emulator, name) for name in names)


def test_old_names_are_aliases() -> None:
    """Code that uses the names of the first release gets the same classes."""
    assert emulator.FaultBook is faults.FaultRegistry
    assert emulator.Stage is script.ScriptPlayer
    assert emulator.Plan is faults.DeliveryPlan


def test_all_lists_what_can_be_imported() -> None:
    """`__all__` has no name that isn't there, and none twice."""
    assert len(set(emulator.__all__)) == len(emulator.__all__)
    assert all(hasattr(emulator, name) for name in emulator.__all__)
