"""A real scheduler and workers on loopback, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_LOOPBACK = ["--host", "127.0.0.1", "--no-dashboard"]


class DaskCluster:
    """A scheduler, at ``address``, and workers that can be started and killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._started("scheduler", *_LOOPBACK, "--port", "0", "--scheduler-file", self.file)
        until = time.monotonic() + 120
        while not self.file.is_file() and time.monotonic() < until:
            time.sleep(0.1)
        self.address = json.loads(self.file.read_text())["address"]

    def worker(self, *more: str) -> subprocess.Popen[bytes]:
        """Start one with one thread and no nanny, or what more options make of it."""
        own = more or ("--no-nanny",)
        return self._started(
            "worker",
            "--scheduler-file",
            self.file,
            "--nthreads",
            "1",
            *_LOOPBACK,
            "--local-directory",
            self.folder,
            *own,
        )

    def wait_for_workers(self, count: int) -> None:
        """Return when there are so many."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=120)

    def end(self) -> None:
        """Stop all."""
        for process in reversed(self.processes):
            process.kill()  # a worker that has lost its scheduler takes its time to end
        for process in self.processes:
            process.wait(30)

    def _started(self, what: str, *options: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *map(str, options)]
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, **_QUIET)
        self.processes.append(process)
        return process


@contextmanager
def dask_cluster(folder: Path, home: Path) -> Iterator[DaskCluster]:
    """A scheduler; its workers look for priors in ``home``."""
    before = os.environ.get("NAPARI_BRGM_HOME")
    os.environ["NAPARI_BRGM_HOME"] = str(home)
    try:
        found = DaskCluster(folder)
    finally:
        if before is None:
            del os.environ["NAPARI_BRGM_HOME"]
        else:
            os.environ["NAPARI_BRGM_HOME"] = before
    try:
        yield found
    finally:
        found.end()
