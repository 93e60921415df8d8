"""Share of the anatomy that masks hide, beside what is so: a head with ventricles, off the middle, turned, in noise."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.engine.extent import hidden_share

ROWS, COLUMNS = np.indices((120, 104), float)


def inside(first: float, second: float, turn: float = 0.3) -> np.ndarray:
    down, along = ROWS - 64, COLUMNS - 49
    cos, sin = np.cos(turn), np.sin(turn)
    return np.hypot((cos * down + sin * along) / first, (cos * along - sin * down) / second) < 1


WHOLE = inside(48, 40)
NOISE = np.random.default_rng(0).rayleigh(4, ROWS.shape)
HEAD = np.where(WHOLE & ~inside(14, 8), 90 + 20 * np.sin(ROWS / 7), 0) + NOISE


def told(missing: np.ndarray, image: np.ndarray = HEAD) -> tuple[float, float]:
    """What is found, and what is so."""
    return hidden_share(np.where(missing, np.nan, image), missing), float(missing[WHOLE].mean())


@pytest.mark.parametrize("offset", [-25, -15, 0, 15])
@pytest.mark.parametrize("degrees", range(0, 360, 40))
def test_a_cut_in_any_direction(degrees: int, offset: int) -> None:
    """Catches the box of what is seen, of which a slanted cut leaves nearly all, and half a head taken for a whole."""
    angle = np.deg2rad(degrees)
    found, so = told(np.cos(angle) * (ROWS - 60) + np.sin(angle) * (COLUMNS - 52) > offset)
    assert found == pytest.approx(so, abs=0.13)
    assert 0.05 < so < 0.95


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param(np.maximum(abs(ROWS - 60) / 60, abs(COLUMNS - 52) / 52) > 0.75, id="frame"),
        pytest.param((ROWS > 70) | (COLUMNS > 60), id="corner that is left"),
        pytest.param((ROWS > 70) & (COLUMNS > 60), id="corner that is hidden"),
        pytest.param(abs(COLUMNS - 50) < 10, id="band"),
        pytest.param(inside(30, 30), id="hole"),
        pytest.param(COLUMNS < 8, id="air"),
        pytest.param(np.random.default_rng(1).random(ROWS.shape) < 0.5, id="scattered"),
        pytest.param(np.random.default_rng(1).random(ROWS.shape) < 0.93, id="nearly all"),
        pytest.param(ROWS % 4 < 2, id="zipper"),
        pytest.param(COLUMNS % 6 < 4, id="wide zipper"),
    ],
)
def test_other_masks(missing: np.ndarray) -> None:
    found, so = told(missing)
    assert found == pytest.approx(so, abs=0.12)


def test_of_a_head_that_is_hidden_whole_nothing_is_seen_but_noise() -> None:
    """Catches noise that passes for tissue: the mask is 0.56 of the image, and nothing is left of the head."""
    assert told(inside(52, 44)) == (1.0, 1.0)
    assert told(inside(52, 44), np.where(WHOLE, HEAD, 0.0)) == (1.0, 1.0)


@pytest.mark.parametrize("air", [30, 100, 160])
def test_a_frame_over_air_alone_hides_nothing(air: int) -> None:
    """Catches a size that is told by the image's instead of what is seen."""
    missing = np.pad(np.zeros(ROWS.shape, bool), air, constant_values=True)
    assert hidden_share(np.pad(HEAD, air), missing) < 0.1


@pytest.mark.parametrize("factor", [4, 9])
def test_large_slices_are_looked_at_coarsely(factor: int) -> None:
    grown = np.ones((factor, factor))
    missing = ROWS + COLUMNS > 130
    large = hidden_share(np.kron(HEAD, grown), np.kron(missing, grown).astype(bool))
    assert large == pytest.approx(hidden_share(HEAD, missing), abs=0.03)


@pytest.mark.parametrize("period", [2, 3, 4, 6])
def test_lines_of_large_slices_are_told_by_all_pixels(period: int) -> None:
    """Catches every second pixel looked at, under which a mask of every second line is all or nothing."""
    large = np.kron(HEAD, np.ones((14, 14)))
    missing = (np.arange(len(large)) % period == 0)[:, None] & np.ones(large.shape, bool)
    assert hidden_share(large, missing) == pytest.approx(1 / period, abs=0.03)
    assert hidden_share(large, ~missing) == pytest.approx(1 - 1 / period, abs=0.03)
