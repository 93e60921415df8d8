"""Many slices of a scan with the same prior and settings: on a GPU some at a time, else one after the other.

Each slice is restored by itself; neighbours are not made to agree. A slice that cannot be restored does not cost the
others: its error takes its place among the results.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.restore import restore_together
from napari_brgm.engine.run import IMAGES, Observed
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference import Step
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["Observed", "SliceStep", "restore_slices", "shared_record"]


@dataclass(frozen=True, slots=True)
class SliceStep:
    """A step of one slice's run.

    Attributes
    ----------
    number, count : int
        Which slice (from 1) of how many.
    step : Step
    done : int
        Steps of all slices so far, of ``count * step.total``.
    """

    number: int
    count: int
    step: Step
    done: int


def restore_slices(
    slices: Sequence[Observed],
    prior: Prior,
    *,
    method: str = "map",
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
    settings: InferenceSettings | None = None,
    alignment: Alignment | None = None,
) -> Generator[SliceStep, None, list[Restoration | InputError]]:
    """Restore slices; closing the generator cancels.

    Parameters
    ----------
    slices : sequence of Observed
        At least one.
    prior, method, samples, seed, device, settings, alignment
        As in ``napari_brgm.restore``; the same for all. The same seed gives sample k of all slices the same random
        numbers.

    Returns
    -------
    list of Restoration or InputError
        One for each slice; an error says why that slice could not be restored.

    Raises
    ------
    InputError, DeviceError
        No slice could be restored (the first one's reason), or the device cannot be used.
    """
    if not slices:
        raise InputError("there is no slice to restore; choose at least one")
    chosen = pick_device(device)
    together = IMAGES if chosen.type == "cuda" else 1  # a CPU gains nothing from a batch
    with suppress(torch.cuda.OutOfMemoryError):  # each part of the run tries again, and knows what to do then
        prior = prior.to(chosen)  # once for all
    results: list[Restoration | InputError] = []
    for first in range(0, len(slices), together):
        steps = restore_together(
            slices[first : first + together], prior, method=method, samples=samples, seed=seed, device=device,
            settings=settings, alignment=alignment,
        )  # fmt: skip
        results += yield from _numbered(steps, first, len(slices))
    if all(isinstance(result, InputError) for result in results):
        assert isinstance(results[0], InputError)
        raise results[0]
    return results


def shared_record(records: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Part provenance records into what all of them say and, for each, the rest.

    Examples
    --------
    >>> shared_record([{"seed": 1, "seconds": 2.0}, {"seed": 1, "seconds": 3.0}])
    ({'seed': 1}, [{'seconds': 2.0}, {'seconds': 3.0}])
    """
    first, *others = records
    shared = {key: value for key, value in first.items() if all(key in o and o[key] == value for o in others)}
    return shared, [{key: value for key, value in record.items() if key not in shared} for record in records]


def _numbered(
    steps: Generator[tuple[int, Step], None, list[Restoration | InputError]], first: int, count: int
) -> Generator[SliceStep, None, list[Restoration | InputError]]:
    """Steps of slices that begin with number ``first`` + 1, counted."""
    reached: dict[int, int] = {}
    while True:
        try:
            index, step = next(steps)
        except StopIteration as end:
            results: list[Restoration | InputError] = end.value
            return results
        reached[index] = step.iteration
        yield SliceStep(first + index + 1, count, step, first * step.total + sum(reached.values()))
