"""Do two checkouts give the same? Fixed restorations with each of them, compared number by number.

    python tests/compare_checkouts.py OTHER [THIS] [--priors a,b] [--methods map,vi] [--out DIR]

Five shipped priors, four corruptions (a mask, x4, blur and x2 composed, noise), three methods, a slice off the prior's
grid whose pose is fitted, and the shell on a volume of four slices. Each case runs in a process of its checkout and is
kept in DIR, so that a second call goes on where the first one ended. What is compared: estimate, mean, variance and
samples in grey levels (0 .. 255 of what is shown), and the estimate's files of the shell.

The inputs are draws of the priors, made once by OTHER. The largest differences are printed; exit code 1 where one
exceeds ``--limit`` (rms over the image, grey levels).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

PRIORS = ("brain-axial-128", "brain-axial-256", "brain-axial-lcm-128", "chest-xray-256", "chest-xray-lcm-128")
METHODS = ("map", "laplace", "vi")
TASKS = ("mask", "x4", "composed", "noisy")
SAMPLES = 8
PARTS = ("estimate", "mean", "variance", "samples")


def make_input(prior_name: str, path: Path) -> None:
    """A draw of the prior with fine texture: what all cases of this prior look at."""
    import napari_brgm as brgm

    prior = brgm.load_prior(prior_name)
    rng = np.random.default_rng(11)
    image = (np.asarray(prior.sample(1, seed=7)[0, 0]) + 1) * 127.5
    image = np.clip(image + rng.normal(0, 3, image.shape) * (image > 20), 0, 255).astype(np.float32)
    np.save(path, image)


def run_case(prior_name: str, task: str, method: str, source: Path, path: Path) -> None:
    """One restoration, to an npz of its arrays."""
    import napari_brgm as brgm

    prior, image = brgm.load_prior(prior_name), np.load(source)
    size = image.shape[0]
    rng = np.random.default_rng(5)
    spacing = noise = None
    if task in ("mask", "placed"):
        missing = np.zeros(image.shape, bool)
        missing[int(0.3 * size) : int(0.55 * size), int(0.35 * size) : int(0.5 * size)] = True
        if task == "placed":  # off the prior's grid: pose and intensity are fitted
            image = np.pad(image, ((9, 4), (2, 14)))[3:, 5:] * 3.1 + 7
            missing = np.pad(missing, ((9, 4), (2, 14)))[3:, 5:]
            own = prior.info.spacing_mm or 1.0
            spacing = (own, own)
        corruption, observed = brgm.Mask(missing), image
    elif task == "x4":
        corruption, observed = brgm.Downsample(4), image.reshape(size // 4, 4, size // 4, 4).mean(axis=(1, 3))
    elif task == "composed":
        import torch

        corruption = brgm.Compose(brgm.Blur(2.0), brgm.Downsample(2))
        observed = corruption(torch.from_numpy(image)[None, None])[0, 0].numpy()
    else:
        noise = 12.0
        corruption, observed = brgm.Identity(), image + rng.normal(0, noise, image.shape).astype(np.float32)
    result = brgm.restore(
        observed, corruption, prior, method=method, samples=SAMPLES, seed=3, device="cpu", spacing=spacing,
        noise_sigma=noise,
    )  # fmt: skip
    np.savez(path, **{part: getattr(result, part) for part in PARTS})


def run_volume(source: Path, path: Path) -> None:
    """The shell on a volume of four slices, all masked; its volume and variance to an npz."""
    import nibabel as nib

    image = np.load(source)
    volume = np.stack([image * share for share in (1.0, 0.95, 0.9, 0.85)], axis=-1)
    missing = np.zeros(volume.shape, np.uint8)
    missing[40:70, 50:66] = 1
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    affine = np.diag([-1.5, -1.5, 1.5, 1.0])
    nib.save(nib.Nifti1Image(volume, affine), folder / "scan.nii.gz")
    nib.save(nib.Nifti1Image(missing, affine), folder / "mask.nii.gz")
    command = [
        sys.executable, "-m", "napari_brgm", "inpaint", str(folder / "scan.nii.gz"), "--mask",
        str(folder / "mask.nii.gz"), "--out", str(folder / "out"), "--samples", str(SAMPLES), "--overwrite",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (variance,) = (folder / "out").glob("*Variance*.nii.gz")
    (estimate,) = set((folder / "out").glob("*.nii.gz")) - {variance}  # its name differs between versions
    arrays = {"estimate": nib.load(estimate).get_fdata(), "variance": nib.load(variance).get_fdata()}
    np.savez(path, **arrays)


def ask(checkout: Path, *words: str) -> None:
    """Run one case of this file with the package of a checkout, on one thread."""
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, __file__, "case", *words], check=True, env=environment)


def differences(one: Path, other: Path) -> dict[str, float]:
    """Rms difference of each array; of the variance that of its root."""
    with np.load(one) as a, np.load(other) as b:
        found = {}
        for part in a.files:
            x, y = (np.sqrt(d[part]) if part == "variance" else d[part].astype(np.float64) for d in (a, b))
            found[part] = float(np.sqrt(np.square(x - y).mean()))
        return found


def compare(arguments: argparse.Namespace) -> int:
    """Run what is not there yet, print the differences, and tell whether one is too large."""
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    checkouts = (arguments.other, arguments.this)
    worst = 0.0
    for prior in arguments.priors.split(","):
        source = out / f"{prior}.npy"
        if not source.exists():
            ask(arguments.other, "input", prior, str(source))
        cases = [(task, method) for method in arguments.methods.split(",") for task in TASKS] + [("placed", "map")]
        if prior == PRIORS[0]:
            cases.append(("volume", "map"))
        for task, method in cases:
            paths = [out / name / f"{prior}-{task}-{method}.npz" for name in ("other", "this")]
            for checkout, path in zip(checkouts, paths, strict=True):
                if not path.exists() and (checkout is not arguments.this or not arguments.only_other):
                    path.parent.mkdir(exist_ok=True)
                    ask(checkout, task, prior, method, str(source), str(path))
            if arguments.only_other:
                continue
            found = differences(*paths)
            worst = max(worst, *found.values())
            told = "  ".join(f"{part} {value:.4g}" for part, value in found.items())
            print(f"{prior:20} {task:9} {method:8} {told}", flush=True)
    print(f"largest rms difference {worst:.4g} grey levels, limit {arguments.limit:g}")
    return int(worst > arguments.limit)


def main() -> int:
    """Read the command line; as a child, run one case."""
    if sys.argv[1:2] == ["case"]:
        task, prior, *rest = sys.argv[2:]
        if task == "input":
            make_input(prior, Path(rest[0]))
        elif task == "volume":
            run_volume(Path(rest[1]), Path(rest[2]))
        else:
            run_case(prior, task, rest[0], Path(rest[1]), Path(rest[2]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="checkout to compare with")
    parser.add_argument("this", type=Path, nargs="?", default=Path(__file__).resolve().parents[1])
    parser.add_argument("--priors", default=",".join(PRIORS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path, default=Path("comparison"))
    parser.add_argument("--limit", type=float, default=0.5)
    parser.add_argument("--only-other", action="store_true", help="run the cases of OTHER alone")
    return compare(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
