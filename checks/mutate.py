"""Change the code a little, many times, and see whether its tests notice: `nox -s mutate`.

Each module is changed in a copy of the tree, where Cosmic Ray runs the module's own tests after each change. A change
that no test notices has survived: it needs a test, or a place in `equivalent.toml` with the reason why no test can see
it. `nox -s mutate -- sse urls --minutes 5` takes some modules, and stops after some minutes for each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
COPIED = ("rebyte_async", "tests", "docs", "examples", "README.md", "CHANGELOG.md", "pyproject.toml")
TARGETS = {
    "sse": (["sse.py"], ["test_sse.py"]),
    "retry": (["_retry.py"], ["test_retry.py"]),
    "urls": (["_transport/urls.py"], ["transport/test_urls.py", "transport/test_redirects.py"]),
    "wire": (["_wire/endpoints.py", "_wire/errors.py", "_wire/redact.py"], ["wire"]),
    "drain": (["streams/_drain.py", "streams/_completion.py"], ["streams"]),
    "matching": (["batch/matching.py", "batch/assignment.py"], ["batch/test_matching.py", "batch/test_assignment.py"]),
    "evidence": (["batch/evidence.py"], ["batch/test_evidence.py"]),
}
"""For each name, the modules below `rebyte_async`, and below `tests` the tests that should notice a change to them."""
SKIPPED = (
    "core/ReplaceBinaryOperator_BitOr_.*",  # nearly always of a type
    r"core/ReplaceBinaryOperator_Add_(?!Sub$).*",
    r"core/ReplaceBinaryOperator_(?!Add_|Mod_)\w+_(?!Add$).*",
    r"core/ReplaceBinaryOperator_Mod_(?!Mul$).*",
    r"core/ReplaceComparisonOperator_Eq_(?!NotEq$).*",
    r"core/ReplaceComparisonOperator_NotEq_(?!Eq$).*",
    r"core/ReplaceComparisonOperator_(Lt|Gt)_(?!(Lt|Gt)E$).*",
    r"core/ReplaceComparisonOperator_Lt_GtE|core/ReplaceComparisonOperator_Gt_LtE",
    r"core/ReplaceComparisonOperator_(Lt|Gt)E_(?!(Lt|Gt)$).*",
    r"core/ReplaceComparisonOperator_LtE_Gt|core/ReplaceComparisonOperator_GtE_Lt",
    r"core/ReplaceUnaryOperator_USub_(?!UAdd$).*",
)
"""One change for each operator is enough: tests that notice `a - b` for `a + b` nearly always notice `a * b` too."""
MUTANT_TIMEOUT = 90  # seconds


@dataclass
class Result:
    """What became of the mutants of one target."""

    target: str
    counts: Counter[str] = field(default_factory=Counter[str])
    survivors: list[str] = field(default_factory=list[str])
    problem: str = ""


def run(command: list[str], folder: Path, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy of the tree; the code of the copy comes before any that is installed."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=seconds
    )


def mutate(target: str, minutes: float) -> Result:
    """Run the mutants of one target, in a copy of the tree."""
    result = Result(target)
    modules, tests = TARGETS[target]
    with tempfile.TemporaryDirectory(prefix=f"mutate-{target}-") as name:
        folder = copy_tree(Path(name))
        existing = [f"tests/{test}" for test in tests if (folder / "tests" / test).exists()]
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", *existing]
        baseline = run(command, folder)
        if baseline.returncode != 0:
            result.problem = f"its tests fail without any change:\n{baseline.stdout[-2000:]}{baseline.stderr[-2000:]}"
            return result
        write_settings(folder, modules, command)
        run(["cosmic-ray", "init", "settings.toml", "mutants.sqlite"], folder).check_returncode()
        run(["cr-filter-operators", "mutants.sqlite", "settings.toml"], folder).check_returncode()
        with contextlib.suppress(subprocess.TimeoutExpired):  # what hasn't run by then is counted as such
            run(["cosmic-ray", "exec", "settings.toml", "mutants.sqlite"], folder, minutes * 60)
        read_outcomes(run(["cosmic-ray", "dump", "mutants.sqlite"], folder).stdout, result)
    return result


def copy_tree(folder: Path) -> Path:
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return folder


def write_settings(folder: Path, modules: list[str], command: list[str]) -> None:
    settings = f"""
[cosmic-ray]
module-path = {json.dumps([f"rebyte_async/{module}" for module in modules])}
timeout = {MUTANT_TIMEOUT}.0
excluded-modules = []
test-command = {json.dumps(shlex.join(command))}
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = {json.dumps(SKIPPED)}
"""
    (folder / "settings.toml").write_text(settings)


def read_outcomes(dump: str, result: Result) -> None:
    """Count the outcomes, and keep the survivors that aren't known to be equivalent."""
    known = read_equivalents()
    for line in dump.splitlines():
        item, outcome = json.loads(line)
        if outcome is None:
            result.counts["not run"] += 1
            continue
        if outcome["worker_outcome"] == "skipped":
            continue
        result.counts["mutants"] += 1
        if outcome["test_outcome"] != "survived":
            result.counts["killed"] += 1
            continue
        change = read_change(outcome["diff"])
        if change in known:
            result.counts["equivalent"] += 1
        else:
            result.counts["survived"] += 1
            result.survivors.append(describe(item, change))


def read_change(diff: str) -> tuple[str, str]:
    """Return the line of code as it was and as it became, without its indentation."""
    was = re.search(r"^-(?!--)[ \t]*(.*)$", diff, re.MULTILINE)
    became = re.search(r"^\+(?!\+\+)[ \t]*(.*)$", diff, re.MULTILINE)
    return (was[1].strip() if was else "", became[1].strip() if became else "")


def read_equivalents() -> set[tuple[str, str]]:
    document = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text("utf-8"))
    return {(entry["code"], mutant) for entry in document["equivalent"] for mutant in entry["mutants"]}


def describe(item: Any, change: tuple[str, str]) -> str:
    (mutation,) = item["mutations"]
    return f"{mutation['module_path']}:{mutation['start_pos'][0]}\n  - {change[0]}\n  + {change[1]}"


def print_table(results: list[Result]) -> None:
    columns = ("mutants", "killed", "equivalent", "survived", "not run")
    print("module".ljust(12), *(column.rjust(12) for column in columns))
    for result in results:
        print(result.target.ljust(12), *(str(result.counts[column]).rjust(12) for column in columns))
    for result in results:
        for survivor in result.survivors:
            print(f"survived: {survivor}")
        if result.problem:
            print(f"{result.target}: {result.problem}")


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
        results = list(pool.map(mutate, targets, [options.minutes] * len(targets)))
    print_table(results)
    return 1 if any(result.survivors or result.problem for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
