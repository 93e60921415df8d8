"""``napari-brgm inpaint``: files that are true to the scan, and one sentence for each way of going wrong."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_brgm import Mask, Restoration, StyleGAN2Prior, cli, read_scan

QUICK = ("--steps", 3, "--samples", 2, "--device", "cpu")


def test_measured_voxels_affine_and_record(shell, scan, mask, head, tmp_path, shipped_weights):
    out = tmp_path / "new" / "out"
    done = shell("inpaint", scan, "--mask", mask, "--out", out, *QUICK, "--seed", 5)
    assert done.exit_code == 0, done.output
    restored = nib.load(out / "sub-01_desc-brgmInpaintEstimate_T1w.nii.gz")
    source = nib.load(scan)
    np.testing.assert_array_equal(restored.affine, source.affine)
    missing = nib.load(mask).get_fdata() > 0
    values = restored.get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(values[~missing], source.get_fdata(dtype=np.float32)[~missing])
    assert (values[missing] != head[missing]).mean() > 0.9
    variance = nib.load(out / "sub-01_desc-brgmInpaintVariance_T1w.nii.gz").get_fdata()
    assert (variance[missing] > 0).all() and (variance[~missing] == 0).all()
    record = json.loads((out / "sub-01_desc-brgmInpaintEstimate_T1w.json").read_text())
    assert record["seed"] == 5 and record["settings"]["steps"] == 3 and len(record["prior"]["sha256"]) == 64
    assert record["Sources"] == ["sub-01_T1w.nii.gz", "mask.nii.gz"] and record["slices"][0]["index"] == 1
    assert "Not for diagnosis" in record["notice"] and record["Units"] == "a.u."
    posterior = Restoration.load(out / "sub-01_desc-brgmInpaintAxial001_T1w.safetensors")
    assert posterior.samples.shape[0] == 2
    with Image.open(out / "sub-01_desc-brgmInpaintSheet_T1w.png") as sheet:
        assert sheet.width > 800
    assert all((out / line.split("/")[-1]).is_file() for line in done.stdout.split())
    assert not list(out.glob(".brgm*"))
    again = shell.refused("inpaint", scan, "--mask", mask, "--out", out, *QUICK)
    assert "exists already" in again and "--overwrite" in again


def test_without_samples_there_is_no_file_of_a_variance(shell, scan, mask, tmp_path, shipped_weights):
    out = tmp_path / "out"
    done = shell("inpaint", scan, "--mask", mask, "--out", out, "--steps", 3, "--samples", 0, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert (out / "sub-01_desc-brgmInpaintEstimate_T1w.nii.gz").is_file() and not list(out.glob("*Variance*"))
    assert "no uncertainty: no samples were drawn" in done.stderr
    variance = out / "sub-01_desc-brgmInpaintVariance_T1w.nii.gz"
    variance.write_bytes(b"of an earlier run")
    again = ("inpaint", scan, "--mask", mask, "--out", out, "--steps", 3, "--samples", 0, "--device", "cpu")
    assert "exists already" in shell.refused(*again) and variance.exists()
    assert shell(*again, "--overwrite").exit_code == 0 and not variance.exists()
    with Image.open(out / "sub-01_desc-brgmInpaintSheet_T1w.png") as sheet:
        assert sheet.width > 500
    refused = shell.refused("inpaint", scan, "--mask", mask, "--out", tmp_path / "o", "--samples", 0, "--method", "vi")
    assert "--method map" in refused


def test_every_slice_the_mask_touches(shell, scan, save, shipped_weights, tmp_path):
    missing = np.zeros((60, 72, 3))
    missing[20:25, 30:40, ::2] = 255
    out = tmp_path / "out"
    done = shell("inpaint", scan, "--mask", save("two.nii", missing), "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    record = json.loads((out / "sub-01_desc-brgmInpaintEstimate_T1w.json").read_text())
    assert [one["index"] for one in record["slices"]] == [0, 2]
    assert all("corruption" in record | one for one in record["slices"])
    variance = nib.load(out / "sub-01_desc-brgmInpaintVariance_T1w.nii.gz").get_fdata()
    assert variance.any(axis=(0, 1)).tolist() == [True, False, True]


def test_a_png_mask_is_the_slice_as_displayed(shell, scan, head, tmp_path, shipped_weights):
    """The scan's first axis runs to the right of the patient's left, its second to the front."""
    piece = read_scan(scan)[0].slice("axial", 2)
    missing = np.zeros(piece.image.shape, np.uint8)
    missing[25:35, 15:35] = 255
    Image.fromarray(missing).save(tmp_path / "strokes.png")
    out = tmp_path / "out"
    done = shell("inpaint", scan, "--mask", tmp_path / "strokes.png", "--index", 2, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    (restored,) = read_scan(out / "sub-01_desc-brgmInpaintVariance_T1w.nii.gz")
    np.testing.assert_array_equal(restored.slice("axial", 2).image > 0, missing > 0)


def _with(array, where, value):
    array = array.copy()
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((60, 72, 3)), "is empty"),
        (np.ones((60, 72, 3)), "covers all of axial slice 0"),
        (np.ones((60, 72, 2)), "same grid"),
        (np.arange(60 * 72 * 3).reshape(60, 72, 3), "more than two values"),
        (_with(np.zeros((60, 72, 3)), (1, 1, 1), np.nan), "NaN"),
    ],
)
def test_masks_that_cannot_be_used(shell, scan, save, tmp_path, values, words, shipped_weights):
    sentence = shell.refused("inpaint", scan, "--mask", save("bad.nii.gz", values), "--out", tmp_path / "out")
    assert words in sentence
    assert not (tmp_path / "out").exists()


def test_a_mask_elsewhere_in_space(shell, scan, save, tmp_path, shipped_weights):
    affine = nib.load(scan).affine
    affine[0, 3] += 2
    sentence = shell.refused(
        "inpaint",
        scan,
        "--mask",
        save("moved.nii.gz", np.eye(60, 72)[..., None] * np.ones(3), affine),
        "--out",
        tmp_path,
    )
    assert "affines differ" in sentence


@pytest.mark.parametrize(
    ("array", "index", "words"),
    [
        (np.ones((72, 60), bool), None, "choose one with --index"),
        (np.ones((60, 72), bool), 1, "but axial slice 1 has 72 x 60"),
        (np.zeros((72, 60), bool), 1, "is empty on axial slice 1"),
        (np.zeros((72, 60, 3), bool), 1, "must be one slice"),
        (np.ones((72, 60), bool), 7, "there is no axial slice 7"),
    ],
)
def test_masks_of_one_slice(shell, scan, tmp_path, array, index, words, shipped_weights):
    np.save(tmp_path / "one.npy", array)
    chosen = [] if index is None else ["--index", index]
    sentence = shell.refused("inpaint", scan, "--mask", tmp_path / "one.npy", "--out", tmp_path / "out", *chosen)
    assert words in sentence


def test_png_masks_that_cannot_be_read(shell, scan, tmp_path, shipped_weights):
    (tmp_path / "text.png").write_text("not a picture")
    colours = np.zeros((72, 60, 3), np.uint8)
    colours[:9, :, 0] = 255
    Image.fromarray(colours).save(tmp_path / "red.png")
    arguments = ("inpaint", scan, "--index", 1, "--out", tmp_path / "out", "--mask")
    assert "does not begin as a PNG" in shell.refused(*arguments, tmp_path / "text.png")
    assert "in colour" in shell.refused(*arguments, tmp_path / "red.png")
    assert "no mask file" in shell.refused(*arguments, tmp_path / "nothing.png")


def test_scans_that_cannot_be_used(shell, scan, mask, save, head, tmp_path, shipped_weights):
    def refused(source, *more):
        return shell.refused("inpaint", source, "--mask", mask, "--out", tmp_path / "out", *QUICK, *more)

    assert "no file or folder" in refused(tmp_path / "nothing.nii.gz")
    (tmp_path / "half.nii.gz").write_bytes(scan.read_bytes()[:2000])
    assert "half.nii.gz" in refused(tmp_path / "half.nii.gz")
    assert "NaN" in refused(save("nan.nii.gz", _with(head, (0, 0, 1), np.nan)))
    assert "same value" in refused(save("flat.nii.gz", np.ones_like(head)))
    series = save("bold.nii.gz", np.stack([head, head], axis=-1))
    assert "choose one with --volume 0 .. 1" in refused(series)
    assert "there is no volume 2" in refused(series, "--volume", 2)
    assert "there is no series 2" in refused(scan, "--series", 2)
    colours = np.zeros((60, 72, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "rgb.nii.gz")
    assert "colours" in refused(tmp_path / "rgb.nii.gz")
    assert not (tmp_path / "out").exists()


def test_a_volume_of_a_4d_scan(shell, mask, save, head, tmp_path, shipped_weights):
    series = save("bold.nii.gz", np.stack([head, 2 * head], axis=-1))
    out = tmp_path / "out"
    done = shell("inpaint", series, "--mask", mask, "--out", out, "--volume", 1, *QUICK)
    assert done.exit_code == 0, done.output
    restored = nib.load(out / "bold_desc-brgmInpaintEstimate_image.nii.gz")
    assert restored.shape == (60, 72, 3)
    np.testing.assert_array_equal(restored.get_fdata(dtype=np.float32)[..., 0], (2 * head[..., 0]).astype(np.float32))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--samples", 1], "at least 2"),
        (["--steps", 0], "at least 1"),
        (["--steps", "many"], "--steps"),
        (["--method", "hmc"], "--method"),
        (["--preset", "best"], "there is no preset"),
        (["--prior", "unheard-of"], "there is no prior"),
        (["--prior", "missing.safetensors"], "no weights file"),
        (["--device", "abacus"], "no device"),
        (["--plane", "oblique"], "--plane"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_options_that_cannot_be_used(shell, scan, mask, tmp_path, more, words):
    assert words in shell.refused("inpaint", scan, "--mask", mask, "--out", tmp_path / "out", *more)


def test_results_that_cannot_be_written(shell, scan, mask, tmp_path, shipped_weights):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "cannot write" in shell.refused("inpaint", scan, "--mask", mask, "--out", out, *QUICK)


def test_control_c_leaves_nothing(shell, scan, mask, tmp_path, monkeypatch, shipped_weights):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_brgm.engine.run.run", interrupted)
    done = shell("inpaint", scan, "--mask", mask, "--out", tmp_path / "deep" / "out", *QUICK)
    assert done.exit_code == 130 and "stopped" in done.stderr
    assert not (tmp_path / "deep").exists()


def test_a_full_disk_leaves_nothing(shell, scan, mask, tmp_path, monkeypatch, shipped_weights):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_brgm.cli.restoration.draw_sheet", full)
    done = shell("inpaint", scan, "--mask", mask, "--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 2 and "No space left" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_entry_point_exits(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["napari-brgm", "inpaint"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_share_of_the_pixels_hidden_at_random(shell, scan, head, tmp_path, shipped_weights):
    """Catches a share that is not the one asked for, another slice than the middle one, and a mask without its seed."""
    out = tmp_path / "out"
    done = shell("inpaint", scan, "--missing-share", 0.9, "--out", out, *QUICK, "--seed", 3)
    assert done.exit_code == 0, done.output
    record = json.loads((out / "sub-01_desc-brgmInpaintEstimate_T1w.json").read_text())
    assert record["corruption"]["missing_pixels"] == round(0.9 * 60 * 72)
    assert "hidden at random" in record["Description"]
    assert record["Sources"] == ["sub-01_T1w.nii.gz"] and record["slices"][0]["index"] == 1
    hidden = Mask.random((72, 60), 0.9, 3).missing.numpy()
    restored, given, variance = (
        read_scan(path)[0].slice("axial", 1).image
        for path in (
            out / "sub-01_desc-brgmInpaintEstimate_T1w.nii.gz",
            scan,
            out / "sub-01_desc-brgmInpaintVariance_T1w.nii.gz",
        )
    )
    np.testing.assert_array_equal(restored[~hidden], given[~hidden])
    assert (restored != given)[hidden].mean() > 0.8
    assert (variance[~hidden] == 0).all() and (variance[hidden] > 0).mean() > 0.9


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "either --mask, or --missing-share"),
        (["--missing-share", 0.5, "--mask", "mask.nii.gz"], "either --mask, or --missing-share"),
        (["--missing-share", 1], "between 0 and 1"),
        (["--missing-share", "nan"], "between 0 and 1"),
        (["--missing-share", 0.00001], "no pixel as missing"),
        (["--missing-share", 0.5, "--index", 3], "there is no axial slice 3"),
    ],
)
def test_shares_that_cannot_be_hidden(shell, scan, tmp_path, more, words, shipped_weights):
    assert words in shell.refused("inpaint", scan, "--out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def masked_everywhere(save):
    """A mask on all three slices."""
    missing = np.zeros((60, 72, 3))
    missing[20:32, 30:40] = 1
    return save("all-mask.nii.gz", missing)


def test_a_slice_that_cannot_be_restored_costs_only_itself(
    shell, save, head, masked_everywhere, tmp_path, shipped_weights
):
    """Catches a job that ends at the first bad slice; what is left is told, and keeps its voxels."""
    head[..., 1] = 7.0  # nothing to restore from
    scan, out = save("sub-02_T1w.nii.gz", head), tmp_path / "out"
    done = shell("inpaint", scan, "--mask", masked_everywhere, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    assert "note: axial slice 1 was left as it is: all measured pixels have the same value" in done.stderr
    restored = np.asarray(nib.load(out / "sub-02_desc-brgmInpaintEstimate_T1w.nii.gz").dataobj)
    assert (restored[..., 1] == 7).all() and (restored[20:32, 30:40, 0] != head[20:32, 30:40, 0]).any()
    names = sorted(path.name for path in out.glob("*.safetensors"))
    assert names == [f"sub-02_desc-brgmInpaintAxial00{i}_T1w.safetensors" for i in (0, 2)]
    record = json.loads((out / "sub-02_desc-brgmInpaintEstimate_T1w.json").read_text())
    assert [one["index"] for one in record["slices"]] == [0, 2]


def test_a_job_of_which_no_slice_can_be_restored_is_refused(shell, save, masked_everywhere, tmp_path, shipped_weights):
    scan = save("flat.nii.gz", np.full((60, 72, 3), 3.0))
    said = shell.refused("inpaint", scan, "--mask", masked_everywhere, "--out", tmp_path / "out", *QUICK)
    assert "axial slice 0: all measured pixels have the same value" in said and not (tmp_path / "out").exists()


def test_the_prior_is_moved_once_for_all_slices(shell, scan, masked_everywhere, tmp_path, monkeypatch, shipped_weights):
    """Catches a shell that takes another way than the widgets: slice by slice, the prior copied for each."""
    moves = []
    to = StyleGAN2Prior.to
    monkeypatch.setattr(StyleGAN2Prior, "to", lambda self, device: moves.append(device) or to(self, device))
    done = shell("inpaint", scan, "--mask", masked_everywhere, "--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 0, done.output
    assert len(moves) == 1


def test_neighbours_count_unless_slices_are_restored_alone(shell, scan, save, tmp_path, shipped_weights):
    """And where --index asks for one slice, the others that the mask touches are not relied on."""
    missing = np.zeros((60, 72, 3))
    missing[20:32, 30:40, :2] = 1
    mask = save("two.nii.gz", missing)

    def stack_of_record(name, *options):
        done = shell("inpaint", scan, "--mask", mask, "--out", tmp_path / name, *options, *QUICK)
        assert done.exit_code == 0, done.output
        record = json.loads((tmp_path / name / "sub-01_desc-brgmInpaintEstimate_T1w.json").read_text())
        return record["slices"][0].get("stack") or record.get("stack")

    assert stack_of_record("together")["neighbours_mm"] == pytest.approx([5.0, 10.0])
    assert stack_of_record("alone", "--alone") is None
    assert stack_of_record("one", "--index", 1)["neighbours_mm"] == pytest.approx([5.0])
