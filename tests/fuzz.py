"""Are damaged and hostile files read or refused in a sentence? Mutants of honest ones, each read in its own process.

    python tests/fuzz.py --kind nifti --cases 10000 --seed 0
    python tests/fuzz.py --kind nifti --seed 0 --case 4711        one of them again, with all it said

Kinds: nifti, dicom, tensors (weights and saved restorations), networks (pickles, zips), pictures. A mutant is made from
the kind, the seed and its number alone. A run tells tracebacks (anything but the one sentence of a BrgmError; crashes
too), hangs (more than 20 s of the processor) and peak memory (against 0.5 GB + 3 x the honest size: the larger of the
sample's and of what was read). It goes on where it was stopped, and tries again what failed; files of failures are kept
in ``--out``. Exit code 1 where any failed. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch: a process with threads is not to be forked

from fuzzing.trial import ENDINGS, WELL, tried  # noqa: E402

if TYPE_CHECKING:
    from fuzzing.damage import Files, Kind, Sample

KINDS = ("nifti", "dicom", "tensors", "networks", "pictures")
_TOLD = 500  # cases between two lines


def kind_of(name: str) -> Kind:
    """The kind of files of this name."""
    from importlib import import_module

    found: Kind = getattr(import_module(f"fuzzing.{name}"), name.upper())
    return found


def digest_of(samples: list[Sample]) -> str:
    """Tell one set of samples from another."""
    parts = hashlib.sha256()
    for sample in samples:
        for name, data in sorted(sample.files.items()):
            parts.update(f"{sample.name} {name} {len(data)} ".encode() + data)
    return parts.hexdigest()[:16]


def mutant(kind: Kind, samples: list[Sample], words: str) -> tuple[Sample, Files]:
    """The sample and the files that kind, seed and number make."""
    draw = random.Random(words)
    sample = draw.choice(samples)
    return sample, kind.mutated(sample, samples, draw)


class Run:
    """Cases of one kind and seed, with what is known of them in ``out``."""

    def __init__(self, name: str, seed: int, out: Path) -> None:
        self.name, self.seed = name, seed
        self.kind = kind_of(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what writes the samples
            self.samples = self.kind.samples()
        self.log, self.failures = out / f"{name}-{seed}.jsonl", out / f"{name}-{seed}-failures"
        self.known: dict[int, dict[str, Any]] = {}
        out.mkdir(parents=True, exist_ok=True)
        digest = {"samples": digest_of(self.samples)}
        if self.log.is_file():
            first, *lines = self.log.read_text("utf-8").splitlines()
            if json.loads(first) != digest:
                raise SystemExit(f"{self.log} is of other samples; remove it, or give another --out or --seed")
            self.known = {found["case"]: found for line in lines if (found := _parsed(line))}
        else:
            self.log.write_text(json.dumps(digest) + "\n", "utf-8")

    def case(self, number: int, place: Path) -> dict[str, Any]:
        """Try one mutant."""
        sample, files = mutant(self.kind, self.samples, f"{self.name} {self.seed} {number}")
        return self.attempt(number, sample, files, place)

    def attempt(self, number: int, sample: Sample, files: Files, place: Path) -> dict[str, Any]:
        """Try these files."""
        folder = place / "case"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(place / "home", ignore_errors=True)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        os.environ["NAPARI_BRGM_HOME"] = str(place / "home")
        trial = tried(self.kind.read, folder / sample.opened, sample.size)
        found = {"case": number, "sample": sample.name} | trial.to_json()
        kept = self.failures / str(number)
        shutil.rmtree(kept, ignore_errors=True)
        if not trial.is_well:
            shutil.copytree(folder, kept)
            (self.failures / f"{number}.txt").write_text(f"{sample.name}\n{trial.said}\n", "utf-8", "replace")
        return found

    def warm_up(self, place: Path) -> None:
        """Try the samples themselves, then read them here, which loads what reading loads: forks need not do it."""
        for sample in self.samples:
            found = self.attempt(-1, sample, sample.files, place)
            if found["ending"] not in WELL:
                raise SystemExit(f"the sample {sample.name} is not read: {found['said']}")
            shutil.rmtree(place / "home", ignore_errors=True)
            if found["ending"] == "read":
                self.kind.read(place / "case" / sample.opened)

    def all(self, cases: int, limit_s: float = float("inf")) -> None:
        """Try what has not ended well yet."""
        left = [n for n in range(cases) if self.known.get(n, {}).get("ending") not in WELL]
        until = time.monotonic() + limit_s
        with tempfile.TemporaryDirectory(prefix="fuzz-") as place, self.log.open("a", encoding="utf-8") as log:
            self.warm_up(Path(place))
            for done, number in enumerate(left, 1):
                found = self.known[number] = self.case(number, Path(place))
                log.write(json.dumps(found | {"said": found["said"][:300]}) + "\n")
                log.flush()
                if found["ending"] not in WELL:
                    last = found["said"].strip().rsplit("\n", 1)[-1]
                    print(f"{self.name} {number} ({found['sample']}): {found['ending']}: {last[:200]}", flush=True)
                if done % _TOLD == 0:
                    print(f"{self.name}: {cases - len(left) + done} of {cases}", flush=True)
                if time.monotonic() > until:
                    break

    def summary(self, cases: int) -> tuple[str, bool]:
        """One line, and whether all is well."""
        ended = [found for number, found in self.known.items() if number < cases]
        count = {what: sum(f["ending"] == what for f in ended) for what in ENDINGS}
        peak = max((f["peak"] for f in ended), default=0) / 1e6
        slowest = max((f["seconds"] for f in ended), default=0)
        return (
            f"{self.name}, seed {self.seed}: {len(ended)} cases, {count['read']} read, {count['refused']} refused; "
            f"{count['traceback'] + count['crash']} tracebacks ({count['crash']} of them crashes), {count['hang']} "
            f"hangs (the slowest took {slowest:.1f} s), {count['memory']} beyond memory (the largest peak is "
            f"{peak:.0f} MB)"
        ), all(found["ending"] in WELL for found in ended)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:  # cut by a kill
        return None
    return found


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--cases", type=int, default=10_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="one case alone, and all it said")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for each kind")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    arguments = parser.parse_args()
    well = True
    for name in KINDS if arguments.kind == "all" else (arguments.kind,):
        run = Run(name, arguments.seed, arguments.out)
        if arguments.case is not None:
            with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
                run.warm_up(Path(place))
                print(json.dumps(found := run.case(arguments.case, Path(place)), indent=2))
                print(found["said"])
            continue
        run.all(arguments.cases, 60 * arguments.minutes)
        said, good = run.summary(arguments.cases)
        print(said, flush=True)
        well = well and good
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
