"""The figures of a run as JSON, and what moved since the run that was kept on the same machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / ".runs"
NOISE_OF_RATIOS = 0.10
"""How much a ratio between contenders moves from run to run, since they take turns."""
NOISE_OF_OTHERS = 0.25
"""How much a time or a rate moves on a machine that does other work too."""
PACKAGES = ("aiohttp", "orjson", "uvloop", "httpx", "httpx-sse", "httpx-aiohttp", "openai", "anthropic")

Figure = Mapping[str, Any]


def describe_machine() -> dict[str, Any]:
    """What figures depend on, apart from the code: only those of equal machines are compared."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {"system": platform.system(), "cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}


def describe_run(figures: Iterable[Figure]) -> dict[str, Any]:
    """A run as it is written: when, on which machine, of which commit, with which packages, and its figures."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or None,
        "machine": describe_machine(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "figures": list(figures),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def compare(kept: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """Say which figures moved by more than the noise since the kept run, the largest change first."""
    before = {(figure["what"], figure["unit"]): figure["measured"] for figure in kept["figures"]}
    moved: list[tuple[float, str]] = []
    for figure in run["figures"]:
        old = before.get((figure["what"], figure["unit"]))
        if not old:
            continue
        change = figure["measured"] / old - 1
        noise = NOISE_OF_RATIOS if figure["unit"].startswith("times ") else NOISE_OF_OTHERS
        if abs(change) > noise:
            line = f"{figure['what']}: {figure['unit']}  {old:,.2f} -> {figure['measured']:,.2f}  ({change:+.0%})"
            moved.append((abs(change), line))
    return [line for _, line in sorted(moved, reverse=True)]


def merge(kept: Mapping[str, Any] | None, run: Mapping[str, Any]) -> dict[str, Any]:
    """A run with the kept figures of those benchmarks that it left out."""
    measured = {(figure["what"], figure["unit"]) for figure in run["figures"]}
    others = [figure for figure in (kept or {}).get("figures", ()) if (figure["what"], figure["unit"]) not in measured]
    return {**run, "figures": [*run["figures"], *others]}


def record(figures: Iterable[Figure], *, keep: bool, folder: Path = FOLDER) -> list[str]:
    """Write a run to `last.json`, and return what moved since `kept.json`.

    The run becomes the kept one where it was asked to be (`keep`), or where none of this machine is.
    """
    folder.mkdir(exist_ok=True)
    run = describe_run(figures)
    (folder / "last.json").write_text(json.dumps(run, indent=1) + "\n")
    kept_path = folder / "kept.json"
    kept = json.loads(kept_path.read_text()) if kept_path.exists() else None
    if kept is not None and kept["machine"] != run["machine"]:
        kept = None
    lines = [f"the figures are in {folder / 'last.json'}"]
    if kept is not None:
        moved = compare(kept, run)
        lines += (
            [f"moved since {kept['measured_at']} ({kept['commit']}), by more than the noise:", *moved]
            if moved
            else [f"nothing moved by more than the noise since {kept['measured_at']} ({kept['commit']})"]
        )
    if keep or kept is None:
        kept_path.write_text(json.dumps(merge(kept, run), indent=1) + "\n")
        lines.append(f"kept for comparison in {kept_path}")
    return lines
