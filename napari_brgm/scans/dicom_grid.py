"""Grid of a tiled image: where each tile begins. Tiles run row by row in a square, ceil(sqrt(n)) wide."""

from __future__ import annotations

import math

from napari_brgm.errors import ScanError

__all__ = ["tile_grid"]


def tile_grid(image: tuple[int, int], count: int, name: str) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """(rows, columns) of a tile, and the first row and column of each of ``count`` in an image of (rows, columns).

    Examples
    --------
    >>> tile_grid((16, 16), 3, "a file")
    ((8, 8), [(0, 0), (0, 8), (8, 0)])

    Raises
    ------
    ScanError
        The image is no whole number of tiles high or wide.
    """
    grid = math.ceil(math.sqrt(count))
    if any(size % grid for size in image):
        size = f"{image[0]} x {image[1]}"
        raise ScanError(f"{name} is a mosaic of {grid} x {grid} tiles but {size} pixels; export the series again")
    rows, columns = (size // grid for size in image)
    return (rows, columns), [(index // grid * rows, index % grid * columns) for index in range(count)]
