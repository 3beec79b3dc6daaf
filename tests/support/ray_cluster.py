"""A Ray cluster of one machine for tests: started once in a test session, and searched for what it must not have."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import ray

__all__ = ["RayCluster"]

_LARGEST_REGION = 64 * 1024 * 1024


class RayCluster:
    """Two workers' worth of Ray, in a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rr-", dir="/tmp"))  # a socket's path may have 107 characters
        os.environ["RAY_AUTH_MODE"] = "disabled"  # else it makes a token in the user's home
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(
                address="local",
                num_cpus=2,
                resources={"place": 1},
                include_dashboard=False,
                object_store_memory=80 * 1024 * 1024,
                configure_logging=False,
                log_to_driver=False,
                _temp_dir=str(self.folder),
            )

    def files_with(self, secret: bytes) -> list[Path]:
        """Return the files of the cluster, such as its logs, that have some bytes."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        return [path for path in files if secret in path.read_bytes()]

    def servers_with(self, secret: bytes) -> set[str]:
        """Return which servers of the cluster have some bytes in their memory.

        `gcs_server` keeps what actors were made with, and `raylet` has the object store.
        """
        return {name for name, process in self._servers() if any(secret in part for part in _memory_of(process))}

    def _servers(self) -> Iterator[tuple[str, Path]]:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                program, *arguments = process.joinpath("cmdline").read_text().split("\0")
                if (name := Path(program).name) in {"gcs_server", "raylet"} and str(self.folder) in " ".join(arguments):
                    yield name, process

    def close(self) -> None:
        """Stop all processes of the cluster, and remove its files."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old versions drop processes without waiting for them
            ray.shutdown()
            gc.collect()
        shutil.rmtree(self.folder, ignore_errors=True)


def _memory_of(process: Path) -> Iterator[bytes]:
    """Read what a process can write to, or shares."""
    assert sys.platform == "linux"
    with process.joinpath("mem").open("rb", buffering=0) as memory:
        for line in process.joinpath("maps").read_text().splitlines():
            span, access, *_ = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if access.startswith("rw") and end - start <= 2 * _LARGEST_REGION:
                with suppress(OSError):
                    memory.seek(start)
                    yield memory.read(end - start)
