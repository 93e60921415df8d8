"""What batches cost beside restoring, and what many volumes on many GPUs would take:

    python tests/measure_scale.py speed memory units simulate --out scale.jsonl

speed: CPU and clock seconds of one job by one process and by two; memory: peak of scheduler and client over volumes
whose restoring is simulated, with a real scheduler and two workers; units: seconds of each step of a volume; simulate:
10,000 volumes by these (or by those of --units-of). Figures are those of docs/scale.md. Each goes to a line of --out as
it is known, from which a run goes on. CPU seconds hardly depend on what else the machine does; clock seconds do.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
SLICES = 32  # of a simulated volume, as batch_works.simulated has
VOLUMES, GPUS = 10_000, 8
HEAD_CORES = 8  # of the machine that gives the command
DISK = 110e6  # bytes a second that all share: 1 Gbit/s
KEPT = 700_000  # bytes of a slice with its samples
GPU_SLICE = 0.4  # seconds: docs/performance.md, 'On a GPU', MAP with 8 samples is 0.37


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--out", type=Path, default=Path("scale.jsonl"))
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)  # address, volumes, folder
    asked = parser.parse_args()
    if asked.client is not None:
        print(json.dumps(client(asked.client[0], int(asked.client[1]), Path(asked.client[2]))))
        return
    kept = asked.out.read_text().splitlines() if asked.out.is_file() else []
    known = dict(map(json.loads, kept))

    def once(key: str, measure: Callable[[], Any]) -> Any:
        if key not in known:
            known[key] = measure()
            with asked.out.open("a") as file:
                file.write(json.dumps([key, known[key]]) + "\n")
        print(f"{key}: {json.dumps(known[key])}", flush=True)
        return known[key]

    for part in asked.parts or PARTS:
        PARTS[part](once)


def speed(once: Callable[[str, Callable[[], Any]], Any]) -> None:
    """Sixteen scans of six slices of 128 px with the prior that ships."""

    def batch(processes: int) -> dict[str, float]:
        with TemporaryDirectory() as folder:
            made_scans(Path(folder), 16, 6)
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(
                [
                    *(sys.executable, "-m", "napari_brgm", "batch", "--scans", f"{folder}/scans"),
                    *("--masks", f"{folder}/masks", "--out", f"{folder}/out", "--processes", str(processes)),
                    *("inpaint", "--device", "cpu", "--samples", "8"),
                ],
                check=True,
                capture_output=True,
            )
            clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"clock": round(clock, 1), "cpu": round(used, 1)}

    one, two = (once(f"speed {count} of 96 slices", partial(batch, count)) for count in (1, 2))
    print(
        f"two processes: {one['clock'] / two['clock']:.2f} x by the clock; {2 * one['cpu'] / two['cpu']:.2f} x if two"
    )
    print("cores were theirs alone (twice the CPU seconds of one over those of both)")


def made_scans(folder: Path, count: int, slices: int) -> None:
    """Smooth heads of 128 px with noise, and a box on each slice."""
    import nibabel as nib

    dice, affine = np.random.default_rng(0), np.diag([-1.5, -1.5, 3.0, 1.0])
    i, j, k = np.indices((128, 128, slices))
    radius = np.hypot((i - 64) / 50, (j - 64) / 60)
    missing = np.zeros(radius.shape, np.uint8)
    missing[50:70, 50:75] = 1
    for name in ("scans", "masks"):
        (folder / name).mkdir()
    for number in range(count):
        head = np.where(radius < 1, 400.0, 0) + np.where(radius < 0.8 + 0.02 * np.sin(i / 9 + number), 300.0, 0)
        head = (head + 20 * np.cos(j / 7 + k) + dice.normal(0, 5, head.shape)).clip(0).astype(np.float32)
        nib.save(nib.Nifti1Image(head, affine), folder / "scans" / f"s{number}.nii.gz")
        nib.save(nib.Nifti1Image(missing, affine), folder / "masks" / f"s{number}_mask.nii.gz")


def memory(once: Callable[[str, Callable[[], Any]], Any]) -> None:
    """One volume, ten, a hundred and a thousand, of 32 slices each; a new scheduler, workers and client each time."""
    for volumes in (1, 10, 100, 1000):
        once(f"memory {volumes * SLICES} slices", partial(on_cluster, volumes))


def on_cluster(volumes: int) -> dict[str, float]:
    import psutil
    from dask_cluster import dask_cluster

    with TemporaryDirectory() as place:
        folder = Path(place)
        with dask_cluster(folder, folder / "home") as cluster:
            for _ in range(2):
                cluster.worker()
            cluster.wait_for_workers(2)
            command = [sys.executable, __file__, "--client", cluster.address, str(volumes), str(folder)]
            paths = {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
            told = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | paths)
            scheduler = psutil.Process(cluster.scheduler.pid)
            about = Path(f"/proc/{scheduler.pid}/status").read_text()
            peak = int(next(line.split()[1] for line in about.splitlines() if line.startswith("VmHWM"))) / 1024
            times = scheduler.cpu_times()
    own = {"scheduler_mb": round(peak, 1), "scheduler_cpu": round(times.user + times.system, 2)}
    return json.loads(told.stdout.splitlines()[-1]) | own


def client(address: str, volumes: int, folder: Path) -> dict[str, float]:
    """A batch of simulated volumes as ``napari-brgm batch`` runs it; megabytes at its peak and seconds."""
    import batch_works

    from napari_brgm.batch.cluster import told_by_cluster
    from napari_brgm.batch.row import BatchRow
    from napari_brgm.batch.run import BatchPlan, run_batch

    rows = []
    for number in range(volumes):
        scan = folder / f"v{number:05d}.nii"
        scan.write_bytes(b"scan")
        rows.append(BatchRow(f"v{number:05d}", scan))
    worked_on = partial(
        told_by_cluster, work=batch_works.simulated, address=address, same=partial(batch_works.hash_of, "net")
    )
    before = time.process_time(), time.perf_counter()
    plan = BatchPlan(tuple(rows), "inpaint", (), ["0"], folder / "out")
    state = run_batch(plan, lambda left, shared: worked_on(left, shared=shared), lambda *_: None)
    assert len(state.entries) == volumes and all(one.state == "done" for one in state.entries.values())
    used = time.process_time() - before[0], time.perf_counter() - before[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"client_mb": round(peak, 1), "client_cpu": round(used[0], 2), "clock": round(used[1], 2)}


def units(once: Callable[[str, Callable[[], Any]], Any]) -> None:
    """CPU and clock seconds of each step of a volume of 256 x 256 x 180 voxels."""
    with TemporaryDirectory() as place:
        for name, measure in steps(Path(place)):
            once(f"unit {name}", measure)


def steps(folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    import nibabel as nib

    from napari_brgm.batch.ledger import Entry, Ledger
    from napari_brgm.batch.report import write_report
    from napari_brgm.batch.row import BatchRow
    from napari_brgm.cli.kept import _settle
    from napari_brgm.cli.sheet import SheetImage, SheetRow, draw_sheet
    from napari_brgm.scans import read_scan
    from napari_brgm.scans.export import write_nifti
    from napari_brgm.scans.fingerprint import sha256_of

    shape, dice = (256, 256, 180), np.random.default_rng(0)
    i, j, k = np.indices(shape, np.float32)
    head = np.where(np.hypot(i - 128, j - 128) + abs(k - 90) / 2 < 90, 500 + dice.normal(0, 20, shape), 0)
    path, sheet = folder / "v.nii.gz", folder / "r" / "r_desc-brgmInpaintSheet_image.png"
    nib.save(nib.Nifti1Image(head.round().astype(np.int16), np.diag([1.0, 1, 1, 1])), path)
    sheet.parent.mkdir()
    (scan,) = read_scan(path)
    one = head[:, :, 90].astype(np.float32)
    panel, block = SheetImage("restored", one, (1.0, 1.0)), dice.bytes(KEPT)
    rows = [SheetRow(f"axial slice {n}", [panel] * 3, SheetImage("posterior std", one, (1.0, 1.0))) for n in range(6)]

    def kept() -> None:
        (folder / "kept").write_bytes(block)
        _settle(folder / "kept")

    yield "read", lambda: timed(lambda: read_scan(path))
    yield "hash", lambda: timed(lambda: sha256_of(path))
    yield "write", lambda: timed(lambda: write_nifti(scan, folder / "w.nii.gz", {}, overwrite=True))
    write_nifti(scan, folder / "w.nii.gz", {}, overwrite=True)
    yield "bytes", lambda: {"read": path.stat().st_size, "written": 2 * (folder / "w.nii.gz").stat().st_size}
    yield "sheet", lambda: timed(lambda: draw_sheet(sheet, rows, "a title", "a.u."))
    draw_sheet(sheet, rows, "a title", "a.u.")
    yield "keep a slice", lambda: timed(kept, 30)
    entries = [Entry(f"r{n}", "done", "s", files=("none.nii.gz", f"r/{sheet.name}")) for n in range(36)]
    yield (
        "report of a volume",
        lambda: {name: value / len(entries) for name, value in timed(lambda: write_report(folder, entries), 1).items()},
    )
    ledger, row = Ledger(folder / "out"), BatchRow("r", path)
    yield "ledger", lambda: timed(lambda: (ledger.write(row, entries[0]), ledger.entry(row)), 50)


def timed(call: Callable[[], object], times: int = 3) -> dict[str, float]:
    """Of one call, the median."""
    seconds = []
    for _ in range(times):
        cpu, clock = time.process_time(), time.perf_counter()
        call()
        seconds.append((time.process_time() - cpu, time.perf_counter() - clock))
    used, took = np.median(np.array(seconds), axis=0)
    return {"cpu": float(f"{used:.3g}"), "clock": float(f"{took:.3g}")}


class Hours:
    """Events in order of time: steps are generators that wait for seconds, or for one of so many places."""

    def __init__(self) -> None:
        self.now, self._next, self._count = 0.0, [], 0
        self.free: dict[str, float] = {}
        self.waiting: dict[str, list[Iterator[Any]]] = {}
        self.busy: dict[str, float] = {}

    def place(self, name: str, places: float) -> None:
        self.free[name], self.waiting[name], self.busy[name] = places, [], 0.0

    def start(self, steps_of: Iterator[Any], after: float = 0.0) -> None:
        self._count += 1
        heapq.heappush(self._next, (self.now + after, self._count, steps_of))

    def run(self) -> float:
        while self._next:
            self.now, _, steps_of = heapq.heappop(self._next)
            self._go_on(steps_of)
        return self.now

    def _go_on(self, steps_of: Iterator[Any]) -> None:
        what = next(steps_of, None)
        if what is None:
            return
        name, seconds = what
        if name is None:
            self.start(steps_of, seconds)
        elif self.free[name] >= 1:
            self._hold(name, seconds, steps_of)
        else:
            self.waiting[name].append((seconds, steps_of))

    def _hold(self, name: str, seconds: float, steps_of: Iterator[Any]) -> None:
        self.free[name] -= 1
        self.busy[name] += seconds
        self.start(self._left(name, steps_of), seconds)

    def _left(self, name: str, steps_of: Iterator[Any]) -> Iterator[Any]:
        self.free[name] += 1
        if self.waiting[name]:
            seconds, other = self.waiting[name].pop(0)
            self._hold(name, seconds, other)
        self._go_on(steps_of)
        return
        yield


def simulate(once: Callable[[str, Callable[[], Any]], Any]) -> None:
    """By the units of this file: one worker a GPU, and more; a sheet as it was drawn before, too."""
    names = ("read", "hash", "write", "bytes", "sheet", "keep a slice", "report of a volume", "ledger")
    unit = {name: once(f"unit {name}", lambda: None) for name in names}
    if None in unit.values():
        sys.exit("measure units first")
    row = once("memory 32000 slices", lambda: None)
    handed = row["client_cpu"] / 1000 if row else 0.01
    planned: dict[str, dict[str, Any]] = {
        "one worker a GPU": {}, "with sheets of 5.4 s": {"sheet": 5.4}, "two workers a GPU": {"workers": 2},
        "three": {"workers": 3}, "three, 100 GPUs": {"workers": 3, "gpus": 100}, "three, slices at 0.04 s":
        {"workers": 3, "gpu": 0.04}, "the same, 10 Gbit/s": {"workers": 3, "gpu": 0.04, "disk": 10 * DISK},
        "the same, 100 GPUs": {"workers": 3, "gpu": 0.04, "disk": 10 * DISK, "gpus": 100},
    }  # fmt: skip
    for name, change in planned.items():
        print(f"{name}: {json.dumps(hours(unit, handed, **change))}")


def hours(
    unit: dict[str, dict[str, float]], handed: float, *, workers: int = 1, gpus: int = GPUS, gpu: float = GPU_SLICE,
    sheet: float | None = None, slices: int = 20, disk: float = DISK,
) -> dict[str, float]:  # fmt: skip
    """Hours of all volumes, and how busy what they wait for is; ``slices`` of each are restored."""
    world = Hours()
    for number in range(gpus):
        world.place(f"gpu {number}", 1)
    world.place("client", 1)
    world.place("disk", 1)
    left = [VOLUMES]
    first = unit["read"]["cpu"] + 2 * unit["hash"]["cpu"]
    last = 2 * unit["write"]["cpu"] + (unit["sheet"]["cpu"] if sheet is None else sheet)

    def worker(number: int) -> Iterator[Any]:
        while left[0]:
            left[0] -= 1
            yield "client", handed + unit["ledger"]["clock"]
            yield "disk", unit["bytes"]["read"] / disk
            yield None, first
            yield f"gpu {number % gpus}", slices * gpu
            yield None, slices * unit["keep a slice"]["clock"] + last
            yield "disk", (unit["bytes"]["written"] + slices * KEPT) / disk

    for number in range(workers * gpus):
        world.start(worker(number), 5.0)  # starting Python and loading the prior
    took = world.run()
    report = VOLUMES * unit["report of a volume"]["cpu"] / HEAD_CORES
    used = sum(world.busy[f"gpu {number}"] for number in range(gpus)) / gpus / took
    found = {
        "hours": (took + report) / 3600,
        "gpus_busy": used,
        "disk_busy": world.busy["disk"] / took,
        "client_busy": world.busy["client"] / took,
        "report_hours": report / 3600,
        "cores_of_workers": VOLUMES * (first + last) / took,
    }
    return {name: float(f"{value:.3g}") for name, value in found.items()}


PARTS: dict[str, Callable[[Callable[[str, Callable[[], Any]], Any]], None]] = {
    "speed": speed, "memory": memory, "units": units, "simulate": simulate,
}  # fmt: skip

if __name__ == "__main__":
    main()
