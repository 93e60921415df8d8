"""--save-video: a small animation from what was given to what was restored, which tells nothing of anybody."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageSequence

from napari_brgm import Restoration, Step
from napari_brgm.cli.descent import FRAMES, DescentVideo
from napari_brgm.cli.source import Piece


@pytest.fixture
def photo(clean, tmp_path):
    Image.fromarray(clean).save(tmp_path / "DoeJane.png")
    return tmp_path / "DoeJane.png"


@pytest.fixture
def mask(hole, tmp_path):
    Image.fromarray(hole).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def frames(path):
    with Image.open(path) as animation:
        return [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(animation)]


def small(frame):
    """Its picture without the caption, at 32 x 32."""
    return np.array(Image.fromarray(frame[:256]).resize((32, 32), Image.Resampling.BOX)).astype(float)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_from_the_given_slice_to_the_restored_one(shell, photo, mask, clean, hole, quick, tmp_path, suffix):
    out, video = tmp_path / "out", tmp_path / "videos" / f"way{suffix}"
    done = shell("inpaint", photo, "--mask", mask, "--out", out, *quick, "--save-video", video)
    assert done.exit_code == 0, (done.output, done.exception)
    assert str(video) in done.stdout.splitlines()
    seen = frames(video)
    assert 4 < len(seen) <= FRAMES and seen[0].shape == (274, 256, 3)
    first, last = small(seen[0]), small(seen[-1])
    assert (first[..., 0] > first[..., 1] + 60)[hole].all() and not (first[..., 0] > first[..., 1] + 20)[~hole].any()
    low, high = clean[~hole].min(), np.percentile(clean[~hole], 99.8)
    estimate = Restoration.load(out / "DoeJane_desc-brgmInpaintPicture_image.safetensors").estimate
    wanted = 255 * ((estimate - low) / (high - low)).clip(0, 1)
    assert np.abs(last[..., 0] - wanted).mean() < 6
    assert b"Doe" not in video.read_bytes()
    again = shell.refused("inpaint", photo, "--mask", mask, "--out", tmp_path / "2", *quick, "--save-video", video)
    assert again == (
        f"napari-brgm: way{suffix} exists already in {video.parent}; choose another --save-video or add --overwrite"
    )
    assert not (tmp_path / "2").exists()


def test_the_result_is_the_same_with_and_without(shell, photo, mask, quick, tmp_path):
    found = []
    for name, more in (("with", ["--save-video", tmp_path / "way.gif"]), ("without", [])):
        done = shell("inpaint", photo, "--mask", mask, "--out", tmp_path / name, *quick, *more)
        assert done.exit_code == 0, done.output
        found.append(Restoration.load(tmp_path / name / "DoeJane_desc-brgmInpaintPicture_image.safetensors"))
    np.testing.assert_array_equal(found[0].estimate, found[1].estimate)
    np.testing.assert_array_equal(found[0].variance, found[1].variance)


@pytest.mark.parametrize(("command", "more"), [("superres", ("--factor", 2)), ("clean", ("--noise-sigma", 5)), ("try", ("--corrupt", "x2"))])  # fmt: skip  # noqa: E501
def test_every_command_that_restores(shell, photo, quick, tmp_path, command, more):
    video = tmp_path / "way.gif"
    done = shell(command, photo, *more, "--out", tmp_path / "out", *quick, "--save-video", video)
    assert done.exit_code == 0, (done.output, done.exception)
    assert len(frames(video)) > 4


def test_what_cannot_be_shown(shell, scan, photo, mask, save, quick, tmp_path):
    missing = np.zeros((60, 72, 3))
    missing[20:32, 30:40, :2] = 1
    two, out = save("two.nii", missing), tmp_path / "out"
    said = shell.refused("inpaint", scan, "--mask", two, "--out", out, *quick, "--save-video", tmp_path / "way.gif")
    assert "--save-video shows one slice and 2 are to be restored; choose one with --index" in said
    arguments = ("inpaint", photo, "--mask", mask, "--out", out, *quick, "--overwrite", "--save-video")
    assert "--save-video writes .gif, .webp or .apng, not way.mp4" in shell.refused(*arguments, tmp_path / "way.mp4")
    assert "DoeJane.png is another file of this run" in shell.refused(*arguments, photo)
    assert not out.exists() and not (tmp_path / "way.gif").exists()


def test_a_long_run_has_few_frames_of_its_whole_length(tmp_path):
    """Catches an animation that grows with the steps, or that shows their beginning alone."""
    image = np.zeros((600, 900), np.float32)
    image[:300] = 1
    descent = DescentVideo(Piece(image, (2.0, 1.0), "the picture", "Picture", 0), None, "measured")
    for number in range(1, 1001):
        descent.tell(Step("map", number, 1000, 1.0, preview=image * number / 1000))
        descent.tell(Step("map", number, 1000, 1.0))
    descent.save(tmp_path / "way.gif", image)
    seen = frames(tmp_path / "way.gif")
    assert 20 < len(seen) <= FRAMES
    assert seen[0].shape == (512 + 18, 384, 3)  # mm, at most 512 pixels
    bright = [int(frame[10, 10, 0]) for frame in seen[1:-1]]
    assert bright == sorted(bright) and bright[0] < 10 and bright[-1] > 240


def test_a_missing_value_is_no_trouble(tmp_path):
    image = np.arange(64.0).reshape(8, 8)
    image[2, 2] = np.nan
    descent = DescentVideo(Piece(image, None, "the picture", "Picture", 0), np.isnan(image), "measured")
    descent.save(tmp_path / "way.gif", np.nan_to_num(image))
    assert len(frames(tmp_path / "way.gif")) == 2
