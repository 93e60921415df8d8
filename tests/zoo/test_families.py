"""A family that nobody foresaw needs one file, and nothing above priors and zoo knows its name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import napari_brgm as brgm
from napari_brgm.cli import app
from napari_brgm.errors import InputError, OutputError, WeightsError
from napari_brgm.priors.network import network_of, with_network
from napari_brgm.priors.prior import Prior
from napari_brgm.settings import preset
from napari_brgm.tensor_file import read_header
from napari_brgm.zoo.entry import Kind
from napari_brgm.zoo.families import families, family_of_format, register
from napari_brgm.zoo.files import read_prior, write_prior
from napari_brgm.zoo.folder import ENTRY, user_folder
from napari_brgm.zoo.header import with_family
from napari_brgm.zoo.install import check_free, check_removable, import_file
from napari_brgm.zoo.registry import builtin, entry_of, file_of, load_entry, load_prior, loadable, registered, status_of

QUICK = preset("unaided").but(steps=6)


@pytest.fixture
def file(toy_family, tmp_path):
    path = tmp_path / "bumps.safetensors"
    write_prior(toy_family.bumps(), path, torch.float32)
    return path


@pytest.fixture
def holed(toy_family):
    """A draw (32, 32) in grey levels and its hole."""
    image = (toy_family.bumps().sample(1, seed=4)[0, 0].numpy() + 1) * 127.5
    missing = np.zeros(image.shape, bool)
    missing[12:18, 14:20] = True
    return image, missing


def test_a_toy_is_a_prior(toy_family):
    prior = toy_family.bumps()
    assert isinstance(prior, Prior) and network_of(prior) is None
    with pytest.raises(InputError, match="no network"):
        with_network(prior, torch.nn.Identity())


@pytest.mark.parametrize("method", ["map", "laplace", "vi"])
def test_restored_from_a_path(file, holed, method):
    """The hole of a draw is found again by all three methods, far nearer than the mean of what lies round it."""
    prior = load_prior(file)
    assert prior.info.family == "bumps" and prior.info.weights_sha256
    image, missing = holed
    settings = QUICK.but(steps=40, vi_steps=20, vi_rank=0)
    result = brgm.restore(
        np.where(missing, 0, image),
        brgm.Mask(missing),
        prior,
        method=method,
        samples=8,
        device="cpu",
        settings=settings,
    )
    error = np.abs(result.estimate - image)[missing].mean()
    assert error < 0.35 * np.abs(image[missing] - image[~missing & (image > 20)].mean()).mean() + 2
    assert (result.variance[missing] > 0).all() and np.array_equal(result.estimate[~missing], image[~missing])
    assert result.provenance["prior"]["name"] == "bumps"


def test_restored_without_settings(file, holed):
    """Those that suit: the preset of the family's own."""
    image, missing = holed
    result = brgm.restore(image, brgm.Mask(missing), load_prior(file), samples=2, device="cpu")
    assert result.provenance["settings"]["name"] == "unaided"


@pytest.mark.usefixtures("registry")
def test_installed(file):
    entry = import_file(file, "mine")
    assert (entry.family, entry.preset, entry.rank, entry.resolution) == ("bumps", "unaided", 2, 32)
    assert list(loadable()) == ["mine", "deep-image"] and entry_of("mine") == entry
    assert load_prior("mine").info.name == "mine" and load_prior("mine").info.preset == "unaided"


@pytest.mark.usefixtures("registry")
def test_in_the_shell(file, holed, tmp_path):
    import_file(file, "mine")
    image, missing = holed
    volume, mask = (np.stack([a, a], axis=-1) for a in (image, missing))
    for name, array in (("scan", volume), ("mask", mask)):
        nib.save(
            nib.Nifti1Image(array.astype(np.float32), np.diag([-2.0, -2.0, 2.0, 1.0])), tmp_path / f"{name}.nii.gz"
        )
    words = [
        "inpaint", tmp_path / "scan.nii.gz", "--mask", tmp_path / "mask.nii.gz", "--prior", "mine", "--out",
        tmp_path / "out", "--samples", 2, "--steps", 3, "--device", "cpu",
    ]  # fmt: skip
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, (done.output, done.exception)
    (restored,) = (tmp_path / "out").glob("*InpaintEstimate_image.nii.gz")
    found = nib.load(restored).get_fdata()
    assert found.shape == volume.shape and np.isfinite(found).all() and not np.allclose(found[mask], 0)


@pytest.mark.usefixtures("registry")
def test_the_built_in_prior_has_an_entry():
    """So that callers ask it, never its name."""
    (entry,) = builtin().values()
    assert entry_of("deep-image") == entry and (entry.kind, status_of(entry)) == (Kind.builtin, "built in")
    assert (entry.resolution, entry.preset, entry.family) == (0, "untrained", "deep-image")
    assert not load_entry(entry).info.anatomy
    for check in (check_free, check_removable):
        with pytest.raises(WeightsError, match="ships with"):
            check("deep-image")
    with pytest.raises(OutputError, match="no weights file"):
        write_prior(load_entry(entry), Path("x.safetensors"))


def test_shipped_entries_say_what_their_files_are():
    """Catches a registry that says another family, settings or size than the file has."""
    for entry in registered().values():
        family = families()[entry.family]
        assert entry.rank == family.rank and preset(entry.preset) and entry.kind is Kind.shipped
        found = with_family(replace(entry, family="", preset="", rank=0), file_of(entry))
        if entry.preset == "mixture":  # one of two that such a file serves, by what was measured
            assert "mixture.centres" in read_header(file_of(entry))[0]
            found = replace(found, preset="mixture")
        assert entry == found


@pytest.mark.usefixtures("registry")
def test_entries_of_older_versions(tiny_manifold, random_stylegan2, file, tmp_path):
    """They say neither family nor settings: the header of the file does; a broken file is no reason to fail."""
    wanted = {"lcm": ("manifold", "manifold", 1), "net": ("stylegan2", "unaided", 0), "toy": ("bumps", "unaided", 2)}
    for name, prior in (("lcm", tiny_manifold), ("net", random_stylegan2)):
        write_prior(prior, tmp_path / f"{name}.safetensors")
    file.rename(tmp_path / "toy.safetensors")
    for name in wanted:
        import_file(tmp_path / f"{name}.safetensors", name)
        path = user_folder() / name / ENTRY
        record = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in record.items() if k not in ("family", "preset", "rank")}))
    found = {name: (e.family, e.preset, e.rank) for name, e in loadable().items() if e.kind is Kind.installed}
    assert found == wanted
    (user_folder() / "toy" / "toy.safetensors").write_bytes(b"?")
    assert (entry_of("toy").family, entry_of("toy").preset) == ("", "default")
    with pytest.raises(WeightsError, match="hash"):
        load_prior("toy")


def test_names_and_formats_are_taken_once(toy_family):
    register(toy_family.FAMILY)  # again
    for other in (
        replace(toy_family.FAMILY, rank=5),
        replace(toy_family.FAMILY, name="other"),
        replace(toy_family.FAMILY, formats=("",)),
    ):
        with pytest.raises(InputError, match="already"):
            register(other)
    assert families()["bumps"] == toy_family.FAMILY and family_of_format("bumps 1") == toy_family.FAMILY


def test_files_of_other_programs_are_taken_for_bare_networks(parity, tmp_path):
    """Safetensors of other libraries say 'pt' of their format."""
    path = tmp_path / "bare.safetensors"
    save_file(parity("32_gray")[0], path, metadata={"format": "pt"})
    assert read_prior(path).info.family == "stylegan2"
