"""What published networks cost on a CPU: ``python tests/measure_published.py 256-e 1024-f`` prints the rows of
docs/published.md.

Random weights in the published shapes, one thread, each network in a process of its own, since the peak of the resident
memory is that of a process. A restoration by preset ``unaided`` (right half missing) is stopped after its first steps,
and its spread after the first eight products each way; the rest is extrapolated. Seconds are CPU time of the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.inference import Step

_STEPS = 4  # of MAP that are timed
_MAP = 100  # steps of preset unaided
_BLOCKS = 3.5  # of eight products each way: random directions, and 20 for 100 steps
_DRAWS = 2176  # of a straight line in 512 latents


def peak() -> float:
    """Largest resident memory of this process so far, GB."""
    import resource  # not everywhere: the module is collected for doctests

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds of the fastest."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def measure(resolution: int, config: Any) -> dict[str, float]:
    """Seconds and GB of one network, in this process."""
    import torch

    from napari_brgm.corruptions import Mask
    from napari_brgm.engine.restore import restore
    from napari_brgm.errors import Cancelled
    from napari_brgm.evaluation.speed_grid import random_prior
    from napari_brgm.settings import preset

    torch.set_num_threads(1)
    prior = random_prior(resolution, config, torch.device("cpu"))
    found = {"loaded": peak()}
    ws = prior.latents.mean.expand(1, prior.num_ws, -1).clone()

    def image() -> None:
        with torch.no_grad():
            prior.synthesize(ws)

    def gradient() -> None:
        leaf = ws.clone().requires_grad_(True)
        prior.synthesize(leaf).square().mean().backward()  # type: ignore[no-untyped-call]

    found |= {"image": seconds_of(image, 3), "gradient": seconds_of(gradient, 2)}
    scan = ((prior.sample(1, seed=1)[0, 0] + 1) * 500).numpy()
    missing = torch.zeros(scan.shape, dtype=torch.bool).numpy()
    missing[:, resolution // 2 :] = True
    settings, seen = preset("unaided"), []

    def of_map(step: Step) -> bool:
        seen.append((time.perf_counter(), time.process_time(), step))
        return not (step.phase == "map" and step.iteration > _STEPS)

    began = time.perf_counter(), time.process_time()
    with suppress(Cancelled):
        restore(scan, Mask(missing), prior, settings=settings, samples=0, device="cpu", callback=of_map)
    first = next(at for at in seen if at[2].preview is not None)
    steps = {at[2].iteration: at[1] for at in reversed(seen) if at[2].phase == "map"}
    found |= {
        "preview": first[0] - began[0], "preview_cpu": first[1] - began[1],
        "step": (steps[_STEPS] - steps[1]) / (_STEPS - 1), "map_peak": peak(),
    }  # fmt: skip
    ends = []

    def of_spread(step: Step) -> bool:
        if not ends and step.phase == "map":
            ends.append(time.process_time())
        if step.phase == "laplace" and len(ends) == step.iteration - 1:
            ends.append(time.process_time())
        return len(ends) < 3

    with suppress(Cancelled):
        restore(
            scan, Mask(missing), prior, settings=settings.but(steps=1, directions=32), device="cpu", callback=of_spread
        )  # fmt: skip
    found |= {"block": ends[2] - ends[0], "spread_peak": peak()}
    few = max(min(8, (1 << 21) // resolution**2), 1)  # drawn at once (engine/restoring.py)
    with torch.no_grad():
        prior.synthesize(ws.expand(few, -1, -1))
    return found | {"draws_peak": peak()}


def row(name: str, found: dict[str, float]) -> str:
    """Of the table."""
    of_map, spread = _MAP * found["step"], _BLOCKS * found["block"]
    return (
        f"| {name} | {found['image']:.1f} | {found['gradient']:.1f} | {of_map / 60:.0f} | {spread / 60:.0f} | "
        f"{_DRAWS * found['image'] / 60:.0f} | {found['preview_cpu']:.0f} | {found['map_peak']:.1f} | "
        f"{found['spread_peak']:.1f} | {found['draws_peak']:.1f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time and memory of published networks, with random weights.")
    parser.add_argument("networks", nargs="+", help="such as 256-e or 1024-f")
    parser.add_argument("--here", action="store_true", help="in this process; prints JSON")
    given = parser.parse_args()
    if given.here:
        resolution, config = given.networks[0].split("-")
        print(json.dumps(measure(int(resolution), config)))
        return
    print("| network | image, s | and gradient, s | MAP, min | spread, min | line, min | first preview, s |"
          " GB: MAP | spread | draws |")  # fmt: skip
    for name in given.networks:
        done = subprocess.run([sys.executable, __file__, name, "--here"], stdout=subprocess.PIPE, check=True, text=True)
        found = json.loads(done.stdout)
        print(row(name, found), file=sys.stdout)
        print(json.dumps({name: found}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
