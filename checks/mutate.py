"""Change the code a little, many times, and see whether its tests notice: `nox -s mutate`.

Each module is changed in a copy of the tree, by the operators of Cosmic Ray, and the module's own tests run after each
change. A change that no test notices has survived: it needs a test, or a place in `equivalent.toml` with the reason why
no test can see it. `nox -s mutate -- sse urls --minutes 5` takes some modules, and stops after some minutes for each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("rebyte_async", "tests", "docs", "examples", "README.md", "CHANGELOG.md", "pyproject.toml")
TARGETS = {
    "cursor": (["streams/_cursor.py", "streams/_digest.py"], ["streams/test_cursor.py"]),
    "matching": (
        ["batch/matching.py", "batch/assignment.py"],
        ["batch/test_assignment.py", "batch/test_matching.py", "batch/test_matching_truths.py"],
    ),
    "evidence": (["batch/evidence.py"], ["batch/test_evidence.py"]),
    "urls": (["_transport/urls.py"], [f"transport/test_{name}.py" for name in ("urls", "limits", "redirects")]),
    "settings": (["_settings.py", "_validate.py"], ["test_retry.py", "test_validate.py"]),
    "verifier": (
        ["webhooks/verifier.py", "webhooks/_verification.py", "webhooks/_rsa.py", "webhooks/scheme.py"],
        ["webhooks/test_verifier.py"],
    ),
    "integrity": (
        ["batch/journal/integrity.py"],
        [
            "batch/test_journal_damage.py",
            "batch/test_journal_reader.py",
            "batch/test_journal.py::test_an_unsound_journal_is_left_unchanged",
        ],
    ),
    "wire": (
        ["_wire/endpoints.py", "_wire/errors.py", "_wire/json.py", "_wire/redact.py"],
        [f"wire/test_{name}.py" for name in ("errors", "redact", "json", "endpoints")],
    ),
    "models": (["_wire/models.py"], ["wire/test_models.py"]),
    "events": (["_wire/events.py"], ["wire/test_events.py", "test_values.py"]),
    "request": (
        ["_transport/request.py"],
        [
            *(f"transport/test_{name}.py" for name in ("redirects", "limits", "networks", "proxies", "attempts")),
            "resources/test_files.py",
            "transport/test_live_streams.py::test_a_stream_that_is_not_read_holds_little",
        ],
    ),
    "retry": (["_retry.py"], ["test_retry.py"]),
    "sse": (["sse.py"], ["test_sse.py"]),
    "drain": (["streams/_drain.py"], ["streams/test_drain.py"]),
    "completion": (
        ["streams/_completion.py"],
        [f"streams/test_{name}.py" for name in ("phases", "source", "recovery")],
    ),
}
"""For each name, the modules below `rebyte_async`, and below `tests` the tests that should notice a change to them."""


@dataclass
class Result:
    """What became of the mutants of one target."""

    target: str
    counts: Counter[str] = field(default_factory=Counter[str])
    survivors: list[str] = field(default_factory=list[str])
    problem: str = ""


def mutate(target: str, minutes: float) -> Result:
    """Run the mutants of one target, in a copy of the tree; the code of the copy comes before any that is installed."""
    modules, tests = TARGETS[target]
    work = {
        "modules": modules,
        "tests": [f"tests/{test}" for test in tests],
        "seconds": minutes * 60,
        "known": read_equivalents(),
    }
    with tempfile.TemporaryDirectory(prefix=f"mutate-{target}-") as name:
        copy_tree(Path(name))
        environment = {**os.environ, "PYTHONPATH": name}
        environment.pop("PYTHONSAFEPATH", None)
        command = [sys.executable, str(Path(__file__).with_name("mutants.py")), json.dumps(work)]
        ran = subprocess.run(command, cwd=name, env=environment, check=False, capture_output=True, text=True)
    return read_outcomes(target, ran)


def copy_tree(folder: Path) -> None:
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)


def read_outcomes(target: str, ran: subprocess.CompletedProcess[str]) -> Result:
    result = Result(target, problem=ran.stderr if ran.returncode else "")
    for line in ran.stdout.splitlines():
        mutant = json.loads(line)
        result.counts["mutants"] += 1
        result.counts[mutant["outcome"]] += 1
        if mutant["outcome"] == "survived":
            result.survivors.append(f"{mutant['place']}\n  - {mutant['was']}\n  + {mutant['became']}")
    return result


def read_equivalents() -> list[tuple[str, str]]:
    document = tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text("utf-8"))
    return [(entry["code"], mutant) for entry in document["equivalent"] for mutant in entry["mutants"]]


def show(result: Result) -> None:
    """Show what is to be done about the mutants of a target."""
    for survivor in result.survivors:
        print(f"survived: {survivor}", flush=True)
    if result.problem:
        print(f"{result.target}: {result.problem}", flush=True)


def print_table(results: list[Result]) -> None:
    columns = ("mutants", "killed", "equivalent", "survived", "not run")
    print("module".ljust(12), *(column.rjust(12) for column in columns))
    for result in results:
        print(result.target.ljust(12), *(str(result.counts[column]).rjust(12) for column in columns))


def main() -> int:
    parser = argparse.ArgumentParser("nox -s mutate --", description="Run the tests of modules on mutants of them.")
    parser.add_argument("targets", nargs="*", metavar="MODULE", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=20, help="the limit for each module (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="modules at once (default: %(default)s)")
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    targets: list[str] = options.targets or [*TARGETS]
    with ThreadPoolExecutor(options.jobs) as pool:
        results: list[Result] = []
        for result in pool.map(mutate, targets, [options.minutes] * len(targets)):
            show(result)
            results.append(result)
    print_table(results)
    return 1 if any(result.survivors or result.problem for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
