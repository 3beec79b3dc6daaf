"""`rebyte-async webhooks`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.inline import run_inline
from cli.process import environment

from rebyte_async.emulator import Drop, Match

if TYPE_CHECKING:
    from rebyte_async.emulator import Emulator


def test_a_lost_response_points_at_the_list(rebyte_emulator: Emulator) -> None:
    """A webhook that can't be looked for may be there; one never asked for isn't."""
    env = environment(rebyte_emulator)
    command = ("webhooks", "create", "https://example.com/hook", "-e", "task.failed")
    rebyte_emulator.faults.add(Drop("after"), Match("POST", "/webhooks"), times=None)
    assert run_inline(*command, env=env).code == 0
    rebyte_emulator.faults.add(Drop(), Match("GET", "/webhooks"), times=None)
    lost = run_inline(*command, env=env)
    assert lost.code == 7
    hint = "  a webhook may have been registered: look at rebyte-async webhooks list"
    assert lost.err.splitlines()[1:] == [hint]
    refused = run_inline(*command, env=env | {"REBYTE_BASE_URL": "http://127.0.0.1:1/v1"})
    assert (refused.code, refused.err.count("\n")) == (7, 1)


def test_a_webhook_from_create_to_delete(rebyte_emulator: Emulator) -> None:
    """A webhook is registered with a secret that is never printed, shown, and removed."""
    env = environment(rebyte_emulator)
    url, events = "https://example.com/hook", ("-e", "task.completed", "-e", "task.failed")
    made = run_inline("webhooks", "create", url, *events, "--secret", "-", "--json", env=env, stdin="s3cret\n")
    assert made.code == 0
    webhook = json.loads(made.out)
    assert (webhook["url"], webhook["events"]) == (url, ["task.completed", "task.failed"])
    assert rebyte_emulator.log.select("POST", "/webhooks")[0].json()["secret"] == "s3cret"
    shown = run_inline("webhooks", "get", webhook["id"], env=env)
    assert "events\ttask.completed,task.failed" in shown.lines
    listed = run_inline("webhooks", "list", env=env)
    assert listed.out.startswith(f"{webhook['id']}\tyes\t")
    assert "s3cret" not in made.out + shown.out + listed.out
    key = run_inline("webhooks", "public-key", env=env)
    assert (key.lines[0], key.lines[-1]) == ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----")
    assert run_inline("webhooks", "delete", webhook["id"], env=env).out == f"webhook {webhook['id']} is deleted\n"
    assert run_inline("webhooks", "list", env=env).out == ""
