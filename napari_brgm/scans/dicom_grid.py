"""Grid of a tiled image: where each tile begins. Tiles run row by row, as a rule in a square, ceil(sqrt(n)) wide.

Siemens keeps to the square. Of United Imaging other grids are known, so that all that could hold the tiles are held
against the acquisition matrix, or against tiles as high as wide: slices cut on a wrong grid look like slices.
"""

from __future__ import annotations

import math

from napari_brgm.errors import ScanError

__all__ = ["fitted_grid", "tile_grid"]

Size = tuple[int, int]
Tiles = tuple[Size, list[Size]]
_SQUARE = 0.01  # of the sides of a tile, in pixels or in mm


def tile_grid(image: Size, count: int, name: str) -> Tiles:
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
    grid = _square(count)
    if any(size % grid for size in image):
        size = f"{image[0]} x {image[1]}"
        raise ScanError(f"{name} is a mosaic of {grid} x {grid} tiles but {size} pixels; export the series again")
    return _tiles(image, (grid, grid), count)


def fitted_grid(image: Size, count: int, spacing: tuple[float, float], acquired: Size | None, name: str) -> Tiles:
    """As ``tile_grid``, on the grid that fits: the square one, or a fuller one that says more for itself.

    Parameters
    ----------
    image : (int, int)
        Rows, columns.
    count : int
        Of tiles.
    spacing : (float, float)
        Between rows, between columns, mm.
    acquired : (int, int) or None
        Rows and columns of the acquisition matrix: no tile is smaller.
    name : str
        Of the file.

    Examples
    --------
    >>> fitted_grid((16, 24), 6, (2.0, 2.0), None, "a file")[0]
    (8, 8)

    Raises
    ------
    ScanError
        No grid fits, or several do and nothing says which.
    """
    square = (_square(count),) * 2
    grids = [grid for grid in (square, *_full(count)) if not any(a % b for a, b in zip(image, grid, strict=True))]
    if acquired is not None:
        grids = [grid for grid in grids if all(a >= b for a, b in zip(_tile(image, grid), acquired, strict=True))]
        if not grids:
            raise ScanError(
                f"{name} has {count} tiles in {image[0]} x {image[1]} pixels, and no grid gives each the "
                f"{acquired[0]} x {acquired[1]} pixels that were acquired; export the series again"
            )
        grids = [grid for grid in grids if _tile(image, grid) == acquired] or grids
    even = [grid for grid in grids if _is_square(_tile(image, grid), spacing)]
    if square in grids and (square in even or not even):
        return _tiles(image, square, count)
    likely = [square, *even] if square in grids else even or (grids if acquired else [])
    if not likely:
        return tile_grid(image, count, name)
    if len(likely) > 1:
        raise ScanError(_ambiguous(likely, image, name, count))
    return _tiles(image, likely[0], count)


def _square(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _full(count: int) -> list[Size]:
    """Grids (rows, columns) but the square one without an empty row or column at their end."""
    pairs = {(math.ceil(count / columns), columns) for columns in range(1, count + 1)}
    full = {(rows, columns) for rows, columns in pairs if math.ceil(count / rows) == columns}
    return sorted(full - {(_square(count),) * 2})


def _ambiguous(grids: list[Size], image: Size, name: str, count: int) -> str:
    told = [
        f"{rows} x {columns} tiles of {' x '.join(map(str, _tile(image, (rows, columns))))}" for rows, columns in grids
    ]
    return (
        f"{name} has {count} tiles in {image[0]} x {image[1]} pixels, which may be {' or '.join(told)}, and no "
        "acquisition matrix says which; export the series again with it, or as NIfTI"
    )


def _is_square(tile: Size, spacing: tuple[float, float]) -> bool:
    height, width = tile[0] * spacing[0], tile[1] * spacing[1]
    return tile[0] == tile[1] or abs(height - width) < _SQUARE * max(height, width)


def _tile(image: Size, grid: Size) -> Size:
    return image[0] // grid[0], image[1] // grid[1]


def _tiles(image: Size, grid: Size, count: int) -> Tiles:
    rows, columns = _tile(image, grid)
    return (rows, columns), [(index // grid[1] * rows, index % grid[1] * columns) for index in range(count)]
