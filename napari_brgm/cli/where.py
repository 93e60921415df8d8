"""Where a job of the shell runs: on this machine, or by value on a worker of dask's scheduler (``--device tcp://...``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from napari_brgm.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from napari_brgm.engine.job import Job
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.errors import InputError
    from napari_brgm.inference import Step

__all__ = ["Engine", "engine_at", "is_address"]


class Engine(Protocol):
    """Runs a job, as ``engine.run.run``."""

    def __call__(
        self, job: Job, tell: Callable[[Step], object] | None = None,
        keep: Callable[[int, Restoration], Restoration] | None = None, only: Collection[int] | None = None,
    ) -> list[Restoration | InputError]: ...  # fmt: skip


def is_address(device: str) -> bool:
    """Whether a device is the address of a scheduler."""
    return "://" in device


def engine_at(device: str, prior: str) -> Engine:
    """What runs jobs there; ``prior`` is the name under which workers find theirs.

    Raises
    ------
    InputError
        It is an address that no scheduler can have.
    """
    if not is_address(device):
        from napari_brgm.engine.run import run

        return run
    from napari_brgm.remote.run import run_there
    from napari_brgm.remote.scheduler import checked_address

    address = checked_address(device)
    say(f"restored on a worker of {address}: the pixels of these slices go there", err=True)

    def there(
        job: Job, tell: Callable[[Step], object] | None = None,
        keep: Callable[[int, Restoration], Restoration] | None = None, only: Collection[int] | None = None,
    ) -> list[Restoration | InputError]:  # fmt: skip
        return run_there(job, prior, address, tell, keep, only)

    return there
