"""Small scans on disk, and the command line in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from napari_brgm.cli import app
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.registry import registered, weights_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

AFFINE = np.array([[-3.0, 0.2, 0, 90], [0.1, 3.1, 0, -120], [0, 0, 5, 10], [0, 0, 0, 1]])
SHAPE = (60, 72, 3)


@dataclass
class Shell:
    """Runs ``napari-brgm`` with arguments."""

    def __call__(self, *arguments: object):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def refused(self, *arguments: object) -> str:
        """The one sentence of a run that must end with exit code 2."""
        done = self(*arguments)
        assert done.exit_code == 2, (done.exit_code, done.output)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
        assert len(lines) == 1, done.stderr
        return lines[0]


@pytest.fixture
def shell() -> Shell:
    return Shell()


@pytest.fixture
def head() -> np.ndarray:
    """A made-up head (60, 72, 3) of two tissues."""
    i, j, k = np.indices(SHAPE)
    radius = np.hypot((i - 30) / 24, (j - 35) / 29) + 0.02 * k
    return (np.where(radius < 1, 500.0, 0) + np.where(radius < 0.7, 300.0, 0)).astype(np.float32) + 3 * np.sin(i + j)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
        path = tmp_path / name
        nib.save(nib.Nifti1Image(array.astype(np.float32), affine), path)
        return path

    return write


@pytest.fixture
def scan(save: Callable[..., Path], head: np.ndarray) -> Path:
    return save("sub-01_T1w.nii.gz", head)


@pytest.fixture
def mask(save: Callable[..., Path]) -> Path:
    """A box on the middle slice."""
    missing = np.zeros(SHAPE)
    missing[20:32, 30:40, 1] = 1
    return save("mask.nii.gz", missing)


@pytest.fixture
def shipped_weights() -> None:
    """The tests that restore need the shipped prior."""
    file = weights_folder() / registered()["brain-axial-128"].file
    if not file.is_file():
        pytest.skip(f"needs {file.name} in weights")


@pytest.fixture
def quick(toy_family: ModuleType, tmp_path: Path) -> tuple[object, ...]:
    """Options of a run with a toy prior of 32 px, a second long."""
    path = tmp_path / "bumps.safetensors"
    write_prior(toy_family.bumps(), path, torch.float32)
    return "--prior", path, "--steps", 6, "--samples", 2, "--device", "cpu"


@pytest.fixture(scope="session")
def clean(toy_family: ModuleType) -> np.ndarray:
    """A draw (32, 32) of that prior, uint8."""
    image = toy_family.bumps().sample(1, seed=4)[0, 0].numpy()
    return ((image + 1) * 127.5).round().astype(np.uint8)


@pytest.fixture(scope="session")
def hole() -> np.ndarray:
    """11 % of such a draw, bool."""
    missing = np.zeros((32, 32), bool)
    missing[10:20, 12:23] = True
    return missing
