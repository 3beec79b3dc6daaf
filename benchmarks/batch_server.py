"""The emulator in a process of its own. It prints its URL; its key is rbk_x.

python batch_server.py HOLD: no task ends before HOLD tasks are open.
"""

from __future__ import annotations

import asyncio
import sys

from rebyte_async.emulator import Emulator, hold, text


async def main(count: int) -> None:
    async with Emulator(api_key="rbk_x") as emulator:
        if count:
            emulator.script(text("I am at it."), hold(), text("Done."), times=None)
        print(emulator.url, flush=True)
        if count:
            await emulator.reached(count=count)
            emulator.release()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
