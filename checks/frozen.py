"""A program for PyInstaller: with arguments the command `rebyte-async`, without a tour of the library.

`nox -s frozen` builds it as a folder and as one file, and runs both. The tour takes every way by which the package
imports a module by its name or reads a file of its own: PyInstaller sees neither without the package's hooks.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from rebyte_async import AsyncRebyte
from rebyte_async.batch import BatchItem, BatchRunner, read_journal, write_report
from rebyte_async.cli import main
from rebyte_async.emulator import Emulator, succeed, text
from rebyte_async.webhooks import WebhookVerifier


async def tour(folder: Path) -> None:
    """Run a task, a batch with a report on it, and the check of a delivery, against an emulator."""
    journal, report = folder / "run.sqlite3", folder / "report.html"
    async with (
        Emulator(pace=0.001) as emulator,
        AsyncRebyte(emulator.api_key, base_url=emulator.url) as client,
    ):
        emulator.script(text("Hello."), succeed("Hello."))
        result = await client.tasks.run("Say hello")
        assert result.final_result == "Hello."
        items = [BatchItem(f"k{number}", f"Do {number}") for number in range(5)]
        statuses = [outcome.status async for outcome in BatchRunner(client, journal=journal).run(items)]
        assert statuses == ["completed"] * 5
        with read_journal(journal) as reader:
            assert write_report(reader, report) > 1_000_000, "the report has no script of plotly"
        WebhookVerifier(public_key=await client.webhooks.public_key())  # reads the key
    assert "<script" in report.read_text("utf-8")
    print("everything that is imported or read by name was found")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main()
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(tour(Path(name)))
