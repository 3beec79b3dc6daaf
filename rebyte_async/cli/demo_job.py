"""The job of the demo: the data that an emulated agent gets, what it does with them, and how it is watched."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
from attrs import Factory, define, field

from rebyte_async import AsyncRebyte, emulator
from rebyte_async._terminal import one_line, sanitize
from rebyte_async.cli.transfers import upload_files
from rebyte_async.cli.view import make_view, open_screen
from rebyte_async.cli.view.base import View
from rebyte_async.cli.view.progress import NestedTransferView
from rebyte_async.cli.view.text import format_size
from rebyte_async.cli.watch import Watch
from rebyte_async.emulator import Step, Steps, Turn
from rebyte_async.resources import TaskRun
from rebyte_async.types import FileRef, TaskResult

_PROMPT = "Customers say the shop got slow. Find out what changed, and write report.md."
_DATA_NAME = "latency.csv"
_REPORT_NAME = "report.md"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri")
_MEASURED = {
    "/cart": (118, 124, 121, 119, 126),
    "/checkout": (241, 236, 244, 239, 248),
    "/login": (87, 85, 91, 88, 86),
    "/search": (152, 149, 158, 894, 921),
}
_DATA = "day,endpoint,p95_ms\n" + "".join(
    f"{day},{endpoint},{times[number]}\n" for number, day in enumerate(_DAYS) for endpoint, times in _MEASURED.items()
)
"""The file that is uploaded. What the agent says of it below is true: medians before Thu and since."""

_REPORT = """\
# Why the shop got slow on Thu

p95 of each endpoint in ms, before Thu and since:

```
/cart       121  122  ███
/checkout   241  244  ██████
/login       87   87  ██
/search     152  908  ████████████████████████
```

- Only **/search** got slower: 152 ms became 908 ms.
- `9c41e07` ranks by similarity and computes it for each request.
- Compute it once a night instead, and revert the commit until then.
"""
_COMMITS = """\
9c41e07 Thu 08:52  search: rank by similarity, computed for each request
51d0b3a Tue 16:20  cart: fix rounding of vouchers"""
_FINAL_RESULT = (
    "**/search is 6.0 times as slow since Thu**; everything else is as fast as before. "
    f"The cause is commit `9c41e07`.\n\nThe numbers, and what I'd do, are in `{_REPORT_NAME}`."
)
_WORD, _THOUGHT, _TOOL = 0.03, 0.5, 0.4
"""Seconds that a word, a thought and a tool take."""


def _agent(pace: float) -> Iterator[Steps]:
    yield from (emulator.init("demo", model="claude", cwd="/code"), emulator.pause(0.3 * pace))
    yield from _think("First the numbers: is everything slow, or one thing?", pace)
    yield from _say("I'll look at the measurements that you sent.", pace)
    yield lambda turn: [*_work(turn, pace)]


def _work(turn: Turn, pace: float) -> Iterator[Step]:
    name = turn.files[0]
    yield from _use("Read", {"file_path": f"/code/{name}"}, turn.read_text(name), pace * 1.5)
    yield from _say("Only /search changed: from 152 ms to 908 ms, on Thu. What was deployed then?", pace)
    yield from _use("Bash", {"command": "git log --since=Mon --format='%h %ad  %s'"}, _COMMITS, pace * 2)
    thought = "Similarity for each request: that is the whole catalog, every time. It can be computed once a night."
    yield from _think(thought, pace)
    change = {"file_path": f"/code/{_REPORT_NAME}", "content": _REPORT}
    yield from _use("Write", change, f"The file /code/{_REPORT_NAME} has been written.", pace * 1.5)
    yield emulator.artifact(_REPORT_NAME, _REPORT, content_type="text/markdown")
    yield from _say(_FINAL_RESULT, pace)
    yield emulator.result(_FINAL_RESULT, status="success", usage={"input_tokens": 18_204, "output_tokens": 1_127})
    yield emulator.succeed(_FINAL_RESULT)


def _think(text: str, pace: float) -> tuple[Step, Step]:
    return emulator.thinking(text), emulator.pause(pace * _THOUGHT)


def _say(text: str, pace: float) -> Iterator[Step]:
    for word in re.findall(r"\S+\s*", text):
        yield from (emulator.delta(word), emulator.pause(pace * _WORD))


def _use(name: str, arguments: Mapping[str, object], output: str, pace: float) -> Iterator[Step]:
    yield from (emulator.tool_use(name, arguments), emulator.pause(pace * _TOOL))
    yield from (emulator.tool_result(output, is_error=False), emulator.pause(pace * 0.2))


@define
class DemoJob:
    """Uploads a file, watches an agent work with it, and downloads a report."""

    folder: Path
    style: str | None
    pace: float = field(kw_only=True)  # how much time the agent takes: 1 for some seconds in all, 0 for none
    _view: View = field(default=Factory(lambda job: make_view(job.style), takes_self=True), init=False)
    _refs: Sequence[FileRef] = field(default=(), init=False)
    _workspace_id: str = field(default="", init=False)

    def run(self) -> int:
        if self.style is None:
            click.echo(f'$ rebyte-async run "{_PROMPT}" --file {_DATA_NAME}\n')
        watch = Watch(self._view, self._open_client, self._start, is_local=True)
        watch.prepare, watch.complete = self._upload, self._download
        return watch.run()

    def show_report(self) -> None:
        path = self.folder / _REPORT_NAME
        if not path.exists():
            return
        click.echo(f"\n$ rebyte-async artifacts download {one_line(self._workspace_id)} {_REPORT_NAME}")
        click.echo(f"{_REPORT_NAME}  {format_size(path.stat().st_size)}")
        click.echo(f"\n$ cat {_REPORT_NAME}")
        if screen := open_screen(sys.stdout):
            screen.print_prose(path.read_text("utf-8"))
        else:
            click.echo(sanitize(path.read_text("utf-8")), nl=False)

    @asynccontextmanager
    async def _open_client(self) -> AsyncGenerator[AsyncRebyte]:
        async with emulator.Emulator(boot=0.6 * self.pace) as service:
            service.script(_agent(self.pace))
            async with AsyncRebyte(api_key=service.api_key, base_url=service.url) as client:
                yield client

    async def _upload(self, client: AsyncRebyte) -> None:
        data = self.folder / _DATA_NAME
        await asyncio.to_thread(data.write_text, _DATA, "utf-8")
        self._refs = await upload_files(client, [data], NestedTransferView(self._view))

    def _start(self, client: AsyncRebyte) -> TaskRun:
        return client.tasks.run(_PROMPT, check=False, files=self._refs)

    async def _download(self, client: AsyncRebyte, result: TaskResult) -> None:
        self._workspace_id = (await client.tasks.get(result.task_id)).workspace_id or ""
        if self._workspace_id:
            await client.artifacts.download(self._workspace_id, _REPORT_NAME, self.folder / _REPORT_NAME)
