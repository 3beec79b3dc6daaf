"""`rebyte-async computers`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.inline import run_inline
from cli.process import environment

from rebyte_async.emulator import Drop, Match

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator


def test_a_computer_from_create_to_delete(rebyte_emulator: Emulator) -> None:
    """A computer is made, waited for, changed, shown without its secret, and deleted."""
    env = environment(rebyte_emulator)
    made = run_inline("computers", "create", "build-box", "--wait", "-q", env=env)
    assert (made.code, made.err) == (0, "")
    computer_id = made.out.strip()
    assert run_inline("computers", "wait", computer_id, env=env).lines[2] == "status\tready"
    document = json.loads(run_inline("computers", "get", computer_id, "--json", env=env).out)
    one, other = [view["id"] for view in document["views"]][:2]
    updated = run_inline("computers", "update", computer_id, "--instructions", "-", "--show", one, "--hide", other,
                         env=env, stdin="Be brief.\n")  # fmt: skip
    assert (updated.code, updated.out) == (0, f"computer {computer_id} is updated\n")
    assert rebyte_emulator.log.select("PATCH", "/agent-computers/[^/]+")[0].json() == {
        "agent_instructions": "Be brief.\n",
        "views": {one: True, other: False},
    }
    for shown in (
        run_inline("computers", "get", computer_id, "--json", env=env),
        run_inline("computers", "list", "--json", env=env),
    ):
        document = json.loads(shown.out)
        assert (document["id"], document["name"], document["status"]) == (computer_id, "build-box", "ready")
        assert "sandbox_api_key" not in document
    assert "sandbox_api_key" not in run_inline("computers", "get", computer_id, env=env).out
    assert run_inline("computers", "delete", computer_id, "--yes", env=env).code == 0
    assert run_inline("computers", "get", computer_id, env=env).code == 9


def test_a_lost_response_points_at_the_list(rebyte_emulator: Emulator) -> None:
    """A create whose response is lost says that a computer may have been made, not a task."""
    rebyte_emulator.faults.add(Drop("after"), Match("POST", "/agent-computers"))
    finished = run_inline("computers", "create", env=environment(rebyte_emulator))
    assert (finished.code, finished.out) == (6, "")
    assert "a computer may have been made: look at them before you make another one" in finished.err
    assert finished.err.count("\n") == 1
