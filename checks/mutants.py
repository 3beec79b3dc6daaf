"""Run tests on each mutant of some modules, in forks of a process that has loaded what the tests import.

`mutate.py` starts it in a copy of the tree, with what is to be done as JSON. It prints a line of JSON for each mutant.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import importlib
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

SKIPPED = tuple(
    map(re.compile, (
        "core/ReplaceBinaryOperator_BitOr_.*",  # nearly always of a type
        r"core/ReplaceBinaryOperator_Add_(?!Sub$).*",
        r"core/ReplaceBinaryOperator_(?!Add_|Mod_)\w+_(?!Add$).*",
        r"core/ReplaceBinaryOperator_Mod_(?!Mul$).*",
        r"core/ReplaceComparisonOperator_Eq_(?!NotEq$).*",
        r"core/ReplaceComparisonOperator_NotEq_(?!Eq$).*",
        r"core/ReplaceComparisonOperator_(Lt|Gt)_(?!(Lt|Gt)E$).*",
        r"core/ReplaceComparisonOperator_Is_(?!IsNot$).*|core/ReplaceComparisonOperator_IsNot_(?!Is$).*",
        r"core/ReplaceComparisonOperator_Lt_GtE|core/ReplaceComparisonOperator_Gt_LtE",
        r"core/ReplaceComparisonOperator_(Lt|Gt)E_(?!(Lt|Gt)$).*",
        r"core/ReplaceComparisonOperator_LtE_Gt|core/ReplaceComparisonOperator_GtE_Lt",
        r"core/ReplaceUnaryOperator_USub_(?!UAdd$).*",
    ))
)  # fmt: skip
"""One change for each operator is enough: tests that notice `a - b` for `a + b` nearly always notice `a * b` too."""
FORM = re.compile(r"\b(?:eq|init|kw_only|strict|weakref_slot)=(?:True|False)|^@.*\brepr=(?:True|False)")
"""How a class is made, and a check of our own mistakes: tests notice what the code does."""
UNSEEN = re.compile(
    r"^(?:\n|#.*\n)*(?:@(?:functools\.)?(?:lru_)?cache\b.*\n| +@property\n(?=.*: \.\.\.\n))", re.MULTILINE
)
"""A cache saves time and changes no result, and the property of a protocol is for type checkers."""
OUTPUT = Path("output.txt")
LOADED = Path("loaded.txt")
BASELINE = 600  # seconds for the tests of the unchanged code


def find_mutants(path: Path) -> Iterator[str]:
    """Yield the source of each mutant of a module, as Cosmic Ray makes them."""
    plugins: Any = importlib.import_module("cosmic_ray.plugins")
    mutating: Any = importlib.import_module("cosmic_ray.mutating")
    source = path.read_text("utf-8")
    for name in sorted(plugins.operator_names()):
        operator = plugins.get_operator(name)
        if operator.arguments() or any(kind.fullmatch(name) for kind in SKIPPED):
            continue
        for occurrence in count():
            try:
                mutant = mutating.mutate_code(source, operator(), occurrence)
            except AttributeError:  # an exception with a dotted name, which isn't replaced
                continue
            if mutant is None:
                break
            yield mutant


def run_tests(arguments: list[str], seconds: float) -> bool:
    """Run pytest in a fork of this process; whether all passed within the time."""
    child = os.fork()
    if not child:
        os.setsid()
        random.seed()
        files = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(files, 1)
        os.dup2(files, 2)
        os._exit(run_pytest(arguments))
    status: int | None = None
    deadline = time.monotonic() + seconds
    while status is None and time.monotonic() < deadline:
        ended, ended_with = os.waitpid(child, os.WNOHANG)
        status = ended_with if ended else None
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # and what its tests started
    if status is None:
        os.waitpid(child, 0)
    return status == 0


def run_pytest(arguments: list[str]) -> int:
    """Run pytest in this process, and leave the names of the modules that it loaded from elsewhere."""
    pytest: Any = importlib.import_module("pytest")
    code = int(pytest.main(arguments))
    here = str(Path.cwd())
    loaded = [name for name, module in sys.modules.items() if here not in str(getattr(module, "__file__", here))]
    LOADED.write_text("\n".join(loaded), "utf-8")
    return code


def check_tests(arguments: list[str]) -> float:
    """Run the tests of the unchanged code, load what they import, and return how long they take from then on."""
    passed = run_tests(arguments, BASELINE)
    for name in LOADED.read_text("utf-8").split() if passed else ():
        with contextlib.suppress(Exception):  # some can't be imported by themselves
            importlib.import_module(name)
    gc.freeze()  # the forks share what was loaded
    sys.dont_write_bytecode = True  # from here on, code is changed
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    began = time.monotonic()
    if not (passed and run_tests(arguments, BASELINE)):
        raise SystemExit(f"the tests fail without any change:\n{OUTPUT.read_text('utf-8')[-3000:]}")
    return time.monotonic() - began


def read_change(source: str, mutant: str) -> tuple[int, str, str]:
    """Return the number of the line that was changed, and how it was and became, without its indentation."""
    number, was, became = 0, "", ""
    for line in difflib.unified_diff(source.splitlines(), mutant.splitlines(), n=0, lineterm=""):
        place = re.match(r"@@ -(\d+)", line)
        if place is not None:
            number = number or int(place[1])
        elif line[0] == "-" and not line.startswith("---"):
            was = was or line[1:].strip()
        elif line[0] == "+" and not line.startswith("+++"):
            became = became or line[1:].strip()
    return number, was, became


def main() -> None:
    work = json.loads(sys.argv[1])
    arguments = ["-q", "-x", "-n0", "--assert=plain", "-p", "no:cacheprovider", *work["tests"]]
    ends = time.monotonic() + work["seconds"]
    limit = check_tests(arguments) * 5 + 10
    for module in work["modules"]:
        path = Path("rebyte_async", module)
        source = path.read_text("utf-8")
        for mutant in find_mutants(path):
            line, was, became = read_change(source, mutant)
            if FORM.sub("", was) == FORM.sub("", became) or UNSEEN.sub("", source) == UNSEEN.sub("", mutant):
                continue
            outcome = "not run"
            if [was, became] in work["known"]:
                outcome = "equivalent"
            elif time.monotonic() < ends:
                path.write_text(mutant, "utf-8")
                outcome = "survived" if run_tests(arguments, limit) else "killed"
                path.write_text(source, "utf-8")
            place = f"rebyte_async/{module}:{line}"
            print(json.dumps({"place": place, "was": was, "became": became, "outcome": outcome}), flush=True)


if __name__ == "__main__":
    main()
