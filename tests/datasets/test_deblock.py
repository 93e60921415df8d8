"""Steps between the blocks of JPEG are spread; edges, slopes and what lies inside blocks stay."""

import numpy as np

from napari_brgm.datasets import Framing, cached, read_slices
from napari_brgm.datasets.deblock import deblocked


def test_small_steps_between_blocks_are_spread_and_edges_stay():
    x = np.full((1, 1, 24, 24), 50.0, np.float32)
    x[..., 8:16] += 3  # a step between blocks
    x[..., 16:, :] += 100  # an edge there
    found = deblocked(x)
    steps = np.abs(found[0, 0, 2, 1:] - found[0, 0, 2, :-1])
    assert steps.max() < 2  # of 3
    assert np.array_equal(found[..., 16:, 11] - found[..., 15:16, 11], x[..., 16:, 11] - x[..., 15:16, 11])


def test_slopes_and_steps_inside_blocks_stay():
    slope = np.broadcast_to(np.arange(24.0) * 2, (1, 1, 24, 24))
    np.testing.assert_allclose(deblocked(slope), slope)
    inside = np.zeros((1, 1, 24, 24))
    inside[..., 12:] = 4
    assert np.array_equal(deblocked(inside), inside)


def test_files_of_jpeg_only_are_read_so_when_told(zipped, encoded, tmp_path):
    image = np.full((24, 24), 60, np.uint8)
    image[:, 8:16] = 64
    image[20, 20] = 90
    path = zipped({"a/1.png": encoded(image), "b/1.jpg": encoded(image, "jpeg", quality=100)})
    plain, smooth = (read_slices(path, Framing(24), deblock=told).images.astype(int) for told in (False, True))
    assert np.array_equal(plain[0], smooth[0])
    assert np.abs(np.diff(plain[1, 0, 4])).max() == 4 and np.abs(np.diff(smooth[1, 0, 4])).max() <= 2
    for told, wanted in ((False, plain), (True, smooth), (False, plain)):  # neither is taken for the other
        assert np.array_equal(cached(path, Framing(24), tmp_path / "kept", deblock=told).images, wanted)
