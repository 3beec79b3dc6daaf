"""`rebyte-async doctor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.inline import run_inline
from cli.process import environment

from rebyte_async.emulator import BrokenBody, Drop, HtmlPage, Match, Status

if TYPE_CHECKING:
    from cli.process import Finished

    from rebyte_async.emulator import Emulator


def outcomes(finished: Finished) -> dict[str, str]:
    """What each check came to."""
    return {line.split("\t")[1]: line.split("\t")[0] for line in finished.lines if "\t" in line}


def test_everything_works(rebyte_emulator: Emulator) -> None:
    """When all is well it says where the settings come from, and shows the last four characters of the key."""
    finished = run_inline("doctor", env=environment(rebyte_emulator))
    assert (finished.code, finished.err) == (0, "")
    names = ["version", "extras", "key", "address", "network", "health", "access", "latency"]
    assert outcomes(finished) == dict.fromkeys(names, "ok")
    key = rebyte_emulator.api_key
    assert f"…{key[-4:]} ({len(key)} characters) from REBYTE_API_KEY" in finished.out
    assert f"{rebyte_emulator.url} from REBYTE_BASE_URL" in finished.out
    assert key[-5:] not in finished.out
    lines = [json.loads(line) for line in run_inline("doctor", "--json", env=environment(rebyte_emulator)).lines]
    assert [line["name"] for line in lines] == names
    arguments = ("--api-key", key, "--base-url", rebyte_emulator.url)
    given = run_inline("doctor", *arguments, env=environment(REBYTE_API_URL="http://127.0.0.1:1/v1"))
    assert (given.code, given.out.count("from --")) == (0, 2)


def test_what_is_wrong_is_explained(rebyte_emulator: Emulator, unused_port: int) -> None:
    """The first failure gives the exit code, and every failure says what to do."""
    good, faults = environment(rebyte_emulator), rebyte_emulator.faults
    nowhere = f"http://127.0.0.1:{unused_port}/v1"
    cases = [
        (good | {"REBYTE_API_KEY": ""}, None, 2, "key", "export REBYTE_API_KEY=rbk_..."),
        (good | {"REBYTE_API_KEY": "rbk_a b"}, None, 2, "key", "copy it again"),
        (good | {"REBYTE_API_KEY": "rbk_wrong_wrong_wrong"}, None, 8, "access", "doesn't accept this key"),
        (good | {"REBYTE_BASE_URL": "http://api.example.com/v1"}, None, 2, "address", "unless you were given"),
        (good | {"REBYTE_BASE_URL": nowhere}, None, 7, "health", "no connection can be made"),
        (good, Status(403), 8, "access", "may not list tasks"),
        (good, Status(404), 9, "access", "something else answers there"),
        (good, Status(409), 11, "access", "its message says why"),
        (good, Status(429), 10, "access", "wait a moment"),
        (good, BrokenBody(), 13, "access", "isn't the Rebyte API"),
        (good, Drop("before"), 7, "access", "hangs up"),
        (good, HtmlPage(503), 12, "access", "try again later"),
    ]
    for env, fault, code, name, words in cases:
        faults.clear()
        if fault is not None:
            faults.add(fault, Match("GET", "/tasks"), times=None)
        finished = run_inline("doctor", env=env)
        assert (finished.code, finished.err) == (code, f"error: {name}: see above\n")
        assert outcomes(finished)[name] == "failed"
        assert words in finished.out
        assert "wrong_wrong" not in finished.out
