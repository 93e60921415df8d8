"""Training data written by the tests: image files as bytes, zips and folders of them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def encode(array: np.ndarray, kind: str = "png", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """``encoded(array, kind="png")``: the bytes of an image file."""
    return encode


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """``zipped({name: bytes})``: a zip archive."""

    def write(content: dict[str, bytes]) -> Path:
        path = tmp_path / f"set-{len(list(tmp_path.iterdir()))}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path

    return write


@pytest.fixture(scope="session")
def grey() -> Callable[..., np.ndarray]:
    """``grey(value, shape=(20, 16), dtype=uint8)``: an image of that value with one black corner."""

    def make(value: int, shape: tuple[int, ...] = (20, 16), dtype: type = np.uint8) -> np.ndarray:
        image = np.full(shape, value, dtype)
        image[0, 0] = 0
        return image

    return make


@pytest.fixture(scope="session")
def write_nifti() -> Callable[..., Path]:
    """``write_nifti(path, array, affine)``: a NIfTI-1 file."""
    import nibabel as nib

    def write(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, affine), path)
        return path

    return write
