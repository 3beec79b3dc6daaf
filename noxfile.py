"""The one door to every check: `nox -s lint layers types tests docs bench`; `nox --list` shows the longer ones."""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "layers", "types", "tests", "docs"]
nox.options.error_on_external_run = True

VERSIONS = ["3.11", "3.12", "3.13", "3.14"]
"""The versions of Python that the package is for, the oldest first: `nox -s tests-3.12`."""

PROJECT = nox.project.load_toml("pyproject.toml")
INSTALLED = {"PYTHONSAFEPATH": "1"}
"""The installed wheel is what is tested, not the tree beside it."""

PURE = [
    f"*/rebyte_async/{part}"
    for part in ("_wire/*", "types/*", "errors.py", "sse.py", "_retry.py", "_settings.py", "_validate.py")
]
"""The rooms that touch no socket: their tests need nothing but values, so that every branch can be covered."""

PUBLIC = re.compile(
    r"rebyte_async(\.(types|errors|sse|client|streams|resources|webhooks|relay|otel|_settings)\b.*|\.\w+)?"
)
"""The symbols that users annotate with; other rooms are complete by the strict check of the code itself."""
LEAST_SYMBOLS = 500


def group(*names: str) -> tuple[str, ...]:
    """The requirements of dependency groups."""
    return nox.project.dependency_groups(PROJECT, *names)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and likely mistakes, in all Python files."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def layers(session: nox.Session) -> None:
    """The rooms' one-way imports."""
    session.install(".[all]", *group("lint"))
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Both type checkers, strict, and the completeness of the public types."""
    session.install(".[all]", *group("tests", "types", "bench", "checks"), "nox")
    session.run("mypy", "rebyte_async", "tests", "typing_tests", "examples", "checks", "noxfile.py")
    for system in ("win32", "darwin"):  # what another system lacks can't be used there, in the package and in tests
        cache = str(Path(session.create_tmp()) / system)
        options = (f"--platform={system}", f"--cache-dir={cache}", "--no-warn-unreachable")
        session.run("mypy", *options, "rebyte_async", "tests", "examples")
    session.run("pyright", "--pythonpath", str(Path(session.bin) / "python"))
    report = session.run(
        "pyright", "--verifytypes", "rebyte_async", "--ignoreexternal", "--outputjson",
        env=INSTALLED, silent=True, success_codes=[0, 1],
    )  # fmt: skip
    symbols = json.loads(str(report))["typeCompleteness"]["symbols"]
    unknown = [symbol["name"] for symbol in symbols if not symbol["isTypeKnown"] and PUBLIC.fullmatch(symbol["name"])]
    if unknown or len(symbols) < LEAST_SYMBOLS:
        session.error(f"public types are incomplete: {unknown or 'the package was not found'}")


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite on the built wheel, with branch coverage; `nox -s tests -- -n0` in one process, for a debugger."""
    session.install(".[all]", *group("tests"))
    session.run("coverage", "erase")
    # One process more than the two cores: tests of workers and of Ray wait for processes of their own.
    session.run("coverage", "run", "-m", "pytest", "-n3", "--dist=worksteal", *session.posargs, env=INSTALLED)
    session.run("coverage", "combine", "--quiet")
    if session.posargs:
        session.run("coverage", "report", "--fail-under=0")
        return
    session.run("coverage", "report", "--fail-under=97")
    session.run("coverage", "report", f"--include={','.join(PURE)}", "--fail-under=100")


def run_on_python(session: nox.Session) -> None:
    """The test suite on the built wheel, with the Python of the session; coverage is for `tests` to measure."""
    session.install(".[all]", *group("tests"))
    session.run("pytest", *(session.posargs or ("-n2", "--dist=worksteal")), env=INSTALLED)


for version in VERSIONS:
    nox.session(python=version, name=f"tests-{version}", default=False)(run_on_python)


@nox.session(python="3.13", default=False)
def runtimes(session: nox.Session) -> None:
    """The tests that use the network, on uvloop, with eager tasks, and without aiohttp's modules in C."""
    session.install(".[all]", *group("tests"))
    rooms = [f"tests/{room}" for room in ("batch", "relay", "resources", "streams", "transport", "webhooks")]
    command = ("pytest", "-n2", "--dist=worksteal", *(session.posargs or rooms))
    session.run(*command, "--event-loop=uvloop", env=INSTALLED)
    session.run(*command, "--event-loop=eager", env=INSTALLED)
    session.run(*command, env={**INSTALLED, "AIOHTTP_NO_EXTENSIONS": "1"})


@nox.session(python=["3.11", "3.13"], default=False)
def lowest(session: nox.Session) -> None:
    """The test suite with the lowest versions that pyproject.toml allows, on an old Python and on a newer one.

    The tools of the tests are the newest that get along with them.
    """
    lowest = str(Path(session.create_tmp()) / "lowest.txt")
    resolve = ("--quiet", "--resolution=lowest-direct", "--no-deps", "--all-extras", "--output-file", lowest)
    session.install("uv")
    session.run("uv", "pip", "compile", *resolve, "pyproject.toml")
    fresh = "--reinstall-package=rebyte-async"  # uv would take an older wheel while pyproject.toml is unchanged
    session.run("uv", "pip", "install", "--quiet", fresh, "--constraint", lowest, ".[all]", *group("tests"))
    session.run("pytest", *(session.posargs or ("-n2", "--dist=worksteal")), env=INSTALLED)


@nox.session(default=False)
def frozen(session: nox.Session) -> None:
    """Programs made by PyInstaller, as a folder and as one file, do what the package does: checks/frozen.py."""
    session.install(".[all]", "pyinstaller>=6.11")
    place = session.create_tmp()
    for form in ("onedir", "onefile"):
        options = (f"--{form}", "--noconfirm", "--log-level=WARN", f"--name={form}")
        paths = [f"--{kind}path={Path(place) / kind}" for kind in ("dist", "work", "spec")]
        session.run("pyinstaller", *options, *paths, "checks/frozen.py", env=INSTALLED)
        program = Path(place) / "dist" / ("onedir/onedir" if form == "onedir" else form)
        session.run(str(program), external=True)
        session.run(str(program), "demo", "--fast", external=True)


@nox.session(default=False)
def package(session: nox.Session) -> None:
    """What is published is whole: the sdist, and the wheel that is made of it, have every file and do what they should.

    `nox -s package -- dist` leaves both in the folder `dist`.
    """
    session.install("build", "twine")
    place = Path(session.posargs[0] if session.posargs else session.create_tmp()).absolute()
    for former in place.glob("rebyte_async-*"):
        former.unlink()
    session.run("python", "-m", "build", "--outdir", str(place), silent=True)
    (sdist,), (wheel,) = place.glob("*.tar.gz"), place.glob("*.whl")
    session.run("twine", "check", "--strict", str(sdist), str(wheel))
    files = {path.as_posix() for path in Path("rebyte_async").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    with tarfile.open(sdist) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    if missing := (files - inside) | (files - set(zipfile.ZipFile(wheel).namelist())):
        session.error(f"these files are not in what is published: {sorted(missing)}")
    shown = zipfile.ZipFile(wheel).read(f"{wheel.name.rsplit('-', 3)[0]}.dist-info/METADATA").decode()
    if links := re.findall(r"\]\((?!https://|#)[^)]*", shown):
        session.error(f"these links lead nowhere on PyPI: {links}")
    for archive, extras in ((sdist, ""), (wheel, "[all]")):
        session.install("--force-reinstall", f"rebyte-async{extras} @ {archive.as_uri()}")
        session.run("python", "-c", "import rebyte_async; print(rebyte_async.__version__)", env=INSTALLED)
    session.run("rebyte-async", "--version", env=INSTALLED)
    session.run("rebyte-async", "demo", "--fast", env=INSTALLED)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; its examples run in the test suite."""
    session.install(".[all]", *group("docs"), "pytest", "starlette")  # modules of the reference import them
    session.run("mkdocs", "build", "--strict", "--quiet", "--site-dir", str(Path(session.create_tmp()) / "site"))


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, with the peers in the same run; `nox -s bench -- -k sse` for a part of them.

    The figures are written to `benchmarks/.runs/last.json`, and compared with those of the run that was kept on this
    machine: the first one, or the last with `--keep`.
    """
    session.install(".[all]", *group("bench"))
    session.run("pytest", "benchmarks", *session.posargs, env=INSTALLED)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Random deliveries, led by coverage, for a minute; `nox -s fuzz -- -max_total_time=600` for longer."""
    session.install(".[webhooks]", *group("fuzz"))
    limits = session.posargs or ("-max_total_time=60",)
    session.run("python", "fuzz/webhooks.py", "-max_len=4096", "-timeout=10", *limits, env=INSTALLED)


@nox.session
def mutate(session: nox.Session) -> None:
    """Mutants of central modules, 20 minutes each at most; `nox -s mutate -- sse --minutes 5` for one, or for less."""
    session.install(".[all]", *group("tests", "checks"))
    session.run("python", "checks/mutate.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Everything at once under random faults, for ten minutes; `nox -s soak -- 60` for sixty seconds."""
    session.install(".[all]", *group("tests"))
    session.run("python", "checks/soak.py", *session.posargs)


@nox.session
def partition(session: nox.Session) -> None:
    """A network that drops packets under everything in flight; it takes root, Linux and network namespaces."""
    session.install(".[all]", *group("tests"))
    session.run("python", "checks/partition.py", *session.posargs)
