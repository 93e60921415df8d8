"""The public names, and what importing the package must not bring along."""

from __future__ import annotations

import subprocess
import sys

import pytest

import napari_brgm


@pytest.mark.parametrize("name", napari_brgm.__all__)
def test_every_public_name_can_be_had(name):
    assert getattr(napari_brgm, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        napari_brgm.no_such_thing  # noqa: B018


def test_import_and_engine_leave_the_heavy_packages_alone():
    """The engine runs where only torch, numpy, scipy and scikit-image are installed."""
    code = (
        "import sys, napari_brgm, napari_brgm.engine.restore, napari_brgm.zoo; "
        "heavy = {'qtpy', 'PyQt6', 'napari', 'magicgui', 'monai', 'matplotlib', 'nibabel', 'pydicom', 'lpips', "
        "'torchvision', 'safetensors'}; "
        "sys.exit(repr(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module", ["napari_brgm", "napari_brgm.engine.job", "napari_brgm.engine.restoration", "napari_brgm.settings"]
)
def test_a_job_is_described_without_torch(module):
    """A shell that only reads its options, or a window that opens, does not wait for torch."""
    code = f"import sys, {module}; sys.exit('torch is there' if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
