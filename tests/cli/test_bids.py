"""``napari-brgm bids``: a small dataset through both levels, and what a validator says of the result."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.registry import load_prior

AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, random_stylegan2):
    """Three subjects, one of two sessions; the third has no mask."""
    root = tmp_path_factory.mktemp("bids") / "raw"
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Made up", "BIDSVersion": "1.9.0"}))
    write_prior(random_stylegan2, root.parent / "plain.safetensors", torch.float32)
    prior = load_prior(root.parent / "plain.safetensors")
    prior.info = replace(prior.info, modality="MR T1", plane="axial", weights_sha256="")
    write_prior(prior, root.parent / "net.safetensors", torch.float32)
    drawn = random_stylegan2.sample(6, seed=3)[:, 0].numpy()
    for number, name in enumerate(("sub-01_ses-1", "sub-01_ses-2", "sub-02", "sub-03")):
        folder = "/".join([*name.split("_"), "anat"])
        volume = np.moveaxis(drawn[number : number + 2], 0, 2) * 100 + 300
        mask = np.zeros(volume.shape, np.uint8)
        mask[10:20, 12:22, 0] = 1
        for place, array, suffix in (
            (root / folder, volume.astype(np.float32), "T1w"),
            (root / "derivatives" / "masks" / folder, mask, "desc-artefact_mask"),
        ):
            if name != "sub-03" or suffix == "T1w":
                place.mkdir(parents=True)
                nib.save(nib.Nifti1Image(array, AFFINE), place / f"{name}_{suffix}.nii.gz")
    return root


@pytest.fixture(scope="module")
def options(dataset):
    net = str(dataset.parent / "net.safetensors")
    return ["--prior", net, "--steps", "3", "--samples", "2", "--device", "cpu", "--n_cpus", "1"]


def test_both_levels_give_derivatives_that_are_valid(dataset, options, tmp_path, shell):
    out = tmp_path / "out"
    done = shell("bids", dataset, out, "participant", "--participant-label", "01", "sub-02", *options)
    assert done.exit_code == 0, done.stderr
    assert "3 of 3 restored" in done.stderr
    images = {path.relative_to(out).as_posix() for path in out.rglob("*Estimate*.nii.gz")}
    assert images == {
        "sub-01/ses-1/anat/sub-01_ses-1_desc-brgmInpaintEstimate_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_desc-brgmInpaintEstimate_T1w.nii.gz",
        "sub-02/anat/sub-02_desc-brgmInpaintEstimate_T1w.nii.gz",
    }
    assert [path.relative_to(out).as_posix() for path in out.rglob("dataset_description.json")] == [
        "dataset_description.json"
    ]
    assert shell("bids", dataset, out, "group").exit_code == 0
    assert (out / "batch.csv").read_text().count("done") == 3
    validator = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    assert validator is not None
    found = subprocess.run([validator, str(out), "--json"], capture_output=True, text=True, check=False)
    issues = json.loads(found.stdout)["issues"]["issues"]
    errors = [one for one in issues if one.get("severity") == "error"]
    assert found.returncode == 0 and not errors, errors


def test_a_scan_without_a_mask_is_left_out(dataset, options, tmp_path, shell):
    done = shell("bids", dataset, tmp_path / "out", "participant", "--participant-label", "03", *options)
    assert done.exit_code == 2
    assert "note: sub-03/anat/sub-03_T1w is left out: no mask" in done.stderr
    assert "no scan has a mask" in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["participant", "--participant-label", "09"], "participant 09 has no T1w scan"),
        (["participant", "--suffix", "T2w"], "has no T2w scans"),
        (["other"], "invalid choice: 'other'"),
        ([], "the following arguments are required: level"),
        (["group"], "run the participant level first"),
        (["group", "--samples", "3"], "--samples is no option of the group level"),
        (["participant", "--colour", "red"], "No such option: --colour"),
    ],
)
def test_what_cannot_be_meant_is_refused(dataset, tmp_path, shell, arguments, sentence):
    assert sentence in shell.refused("bids", dataset, tmp_path / "out", *arguments)


def test_a_folder_that_is_no_dataset_is_refused_unless_asked(dataset, tmp_path, shell):
    bare = tmp_path / "bare"
    shutil.copytree(dataset, bare)
    (bare / "dataset_description.json").unlink()
    assert "is no BIDS dataset" in shell.refused("bids", bare, tmp_path / "out", "participant")
    skipped = shell.refused(
        "bids", bare, tmp_path / "out", "participant", "--skip-bids-validation", "--participant-label", "09"
    )
    assert "participant 09" in skipped


def test_its_descriptor_names_options_that_there_are(shell):
    """The Boutiques descriptor beside the Containerfile."""
    path = Path(__file__).parents[2] / "containers" / "boutiques.json"
    told = shell("bids", "--help").stdout + shell("inpaint", "--help").stdout
    inputs = json.loads(path.read_text())["inputs"]
    flags = [one["command-line-flag"] for one in inputs if "command-line-flag" in one]
    assert len(flags) == 11 and all(flag in told for flag in flags)
    order = [one["id"] for one in inputs if "command-line-flag" not in one]
    assert order == ["bids_dir", "out", "level"]


def test_help_names_what_bids_apps_have(shell):
    done = shell("bids", "--help")
    assert done.exit_code == 0 and "--participant-label" in done.stdout and "group" in done.stdout
