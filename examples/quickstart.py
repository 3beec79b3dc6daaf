"""Run one task and print its answer.

    export REBYTE_API_KEY=rbk_…
    python examples/quickstart.py "Summarise the README"

Without a key: `python -m rebyte_async.emulator`, and export the two lines that it prints.
"""

from __future__ import annotations

import asyncio
import sys

from rebyte_async import AsyncRebyte
from rebyte_async.errors import AmbiguousRequestError, RebyteError, TaskFailedError


async def main(prompt: str) -> None:
    """Create a task, follow it to its end, and print its result."""
    async with AsyncRebyte() as client:
        result = await client.tasks.run(prompt)
    print(result.final_result)


if __name__ == "__main__":
    try:
        asyncio.run(main(" ".join(sys.argv[1:]) or "Summarise the README"))
    except TaskFailedError as error:
        sys.exit(f"the agent failed: {error.result.final_result}")
    except AmbiguousRequestError as error:
        sys.exit(f"a task may be running, look before you try again: {error}")
    except RebyteError as error:
        sys.exit(f"error: {error}")
