"""``napari-brgm train``: options become settings, and what cannot be trained on is one sentence."""

from __future__ import annotations

import io
import zipfile

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from napari_brgm.cli.app import app
from napari_brgm.errors import InputError
from napari_brgm.training.autoencoder_settings import AutoencoderSettings
from napari_brgm.training.gan_settings import GanSettings
from napari_brgm.training.lcm_settings import LcmSettings
from napari_brgm.training.recipe import Recipe
from napari_brgm.training.shipped import MANIFOLDS

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Four subjects of five noisy discs, 64 x 48 pixels."""
    path = tmp_path_factory.mktemp("zip") / "slices.zip"
    random = np.random.default_rng(0)
    row, column = np.mgrid[:64, :48]
    with zipfile.ZipFile(path, "w") as handle:
        for subject in range(4):
            for k in range(5):
                disc = (row - 32) ** 2 + (column - 24) ** 2 < random.uniform(10, 20) ** 2
                buffer = io.BytesIO()
                Image.fromarray((disc * 150 + random.integers(0, 30, disc.shape)).astype(np.uint8)).save(buffer, "PNG")
                handle.writestr(f"subject-{subject}/slice-{k}.png", buffer.getvalue())
    return path


@pytest.fixture
def seen(monkeypatch):
    """What the command hands to the training, which does not run."""
    import napari_brgm.training.own_data as own_data
    import napari_brgm.training.train as module

    calls = []
    for one in (module, own_data):
        monkeypatch.setattr(one, "train", lambda *arguments: calls.append(arguments))
    return calls


def _train(archive, tmp_path, *options):
    out = tmp_path / "new.safetensors"
    return RUNNER.invoke(
        app, ["train", "--data", str(archive), "--work", str(tmp_path / "work"), "--out", str(out), *options]
    )


def test_options_become_settings(archive, tmp_path, seen):
    options = ("--resolution", "32", "--spacing-mm", "2", "--pixel-mm", "1", "--images", "700", "--seed", "3")
    found = _train(archive, tmp_path, *options, "--mirror", "--modality", "MR T2", "--minutes", "2")
    assert found.exit_code == 0, found.output
    slices, info, settings, run = seen[0]
    assert slices.images.shape == (20, 1, 32, 32) and len(slices.subject_names) == 4
    assert (info.name, info.modality, info.plane, info.spacing_mm) == ("new", "MR T2", "", 2.0)
    assert isinstance(settings, Recipe) and settings.mirror and settings.refine.images == 700
    assert settings.refine.seed == 3 and settings.tuned
    assert 0 < run.seconds < 120 and run.work == tmp_path / "work"
    assert "the time is up" in found.output  # the training that did not run gave no digest


def test_each_recipe_has_its_settings(archive, tmp_path, seen):
    size = ("--resolution", "128")
    assert (
        _train(
            archive, tmp_path, "--recipe", "gan", "--compact", "--batch", "16", "--learning-rate", "0.001", *size
        ).exit_code
        == 0
    )
    assert (
        _train(
            archive, tmp_path, "--recipe", "autoencoder", "--images", "10", "--work", str(tmp_path / "other"), *size
        ).exit_code
        == 0
    )
    gan, auto = seen[0][2], seen[1][2]
    assert isinstance(gan, GanSettings) and gan.compact and gan.batch == 16 and gan.learning_rate == 0.001
    assert isinstance(auto, AutoencoderSettings) and auto.images == 10 and auto.resolution == 128


def test_like_a_shipped_prior(archive, tmp_path, seen):
    assert _train(archive, tmp_path, "--like", "brain-axial-256").exit_code == 0
    slices, info, settings, _ = seen[0]
    assert slices.images.shape[2:] == (256, 256)
    assert (info.name, info.spacing_mm, info.modality) == ("new", 1.0, "MR T1")
    assert settings.mirror and settings.grid == 128


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--like", "knee"), "no shipped prior is called 'knee'"),
        (("--resolution", "100"), "resolution of 32, 64"),
        (("--slices", "10"), "must look like 60:100"),
        (("--recipe", "linear", "--warm-start", "w.safetensors"), "--warm-start belongs to --recipe gan or finish"),
        (("--recipe", "autoencoder", "--resolution", "64"), "128 and 256 px"),
    ],
)
def test_bad_options_are_one_sentence(archive, tmp_path, options, sentence):
    found = _train(archive, tmp_path, *options)
    assert found.exit_code == 2
    assert sentence in found.stderr and len(found.stderr.strip().splitlines()) == 1


def test_options_that_would_count_for_nothing(archive, tmp_path, seen):
    for option, sentence in (
        (("--resolution", "128"), "--resolution is what --like decides"),
        (("--spacing-mm", "0"), "--spacing-mm is what --like decides"),
        (("--compact",), "--compact belongs to --recipe gan"),
        (("--r1-gamma", "0.1"), "--r1-gamma belongs to --recipe gan"),
        (("--device", "cuda"), "the linear recipe runs on the CPU"),
    ):
        found = _train(archive, tmp_path, "--like", "brain-axial-128", *option)
        assert found.exit_code == 2 and sentence in found.stderr
    assert not seen and not (tmp_path / "work").exists()


def test_where_the_weights_go_is_tried_first(archive, tmp_path, seen):
    (tmp_path / "file").touch()
    (tmp_path / "a.safetensors").mkdir()
    for out, sentence in (
        ("w.png", "must end in .safetensors"), ("file/w.safetensors", "choose another --out"),
        ("a.safetensors", "is a folder"),
    ):  # fmt: skip
        found = _train(archive, tmp_path, "--resolution", "32", "--out", str(tmp_path / out))
        assert found.exit_code == 2 and sentence in found.stderr, found.output
    assert not seen and not (tmp_path / "work").exists()


def test_volumes_keep_their_pixel_size_under_like(tmp_path, seen, monkeypatch):
    import napari_brgm.datasets as datasets

    asked = []
    monkeypatch.setattr(datasets, "cached", lambda *_, pixel_mm, **__: asked.append(pixel_mm) or _refusal())
    for name in ("a.nii.gz", "b/slice.png"):
        file = tmp_path / "data" / name.replace("/", "-") / name
        file.parent.mkdir(parents=True)
        file.touch()
        _train(tmp_path / "data" / name.replace("/", "-"), tmp_path, "--like", "brain-axial-128")
    assert asked == [None, 1.0]
    _train(tmp_path / "data" / "b-slice.png", tmp_path, "--like", "brain-axial-128", "--pixel-mm", "0.5")
    assert asked[2] == 0.5


def _refusal():
    raise InputError("enough was seen")


def test_a_work_folder_of_another_recipe_or_of_other_slices(archive, tmp_path, seen):
    size = ("--resolution", "128")
    assert _train(archive, tmp_path, "--recipe", "autoencoder", *size).exit_code == 0
    assert _train(archive, tmp_path, "--recipe", "autoencoder", *size).exit_code == 0
    found = _train(archive, tmp_path, "--recipe", "gan", *size)
    assert found.exit_code == 2 and "of the recipe 'autoencoder'" in found.stderr
    found = _train(archive, tmp_path, "--recipe", "autoencoder", *size, "--slices", "0:4")
    assert found.exit_code == 2 and "is of other slices" in found.stderr
    assert len(seen) == 2


def test_few_slices_train(archive, tmp_path, seen):
    found = _train(archive, tmp_path, "--resolution", "32")
    assert found.exit_code == 0, found.output
    assert "10 components instead of 1024" in found.output and seen[0][2].components == 10


def test_too_few_slices_are_one_sentence(archive, tmp_path):
    found = _train(archive, tmp_path, "--resolution", "32", "--slices", "0:3")
    assert found.exit_code == 2 and "12 slices are too few to train on" in found.stderr


def test_notes_are_plain_text_and_few(tmp_path, seen):
    """A file name is no markup, and a folder of a thousand oddities does not fill the screen."""
    random = np.random.default_rng(0)
    for subject in range(4):
        for k in range(5):
            file = tmp_path / "data" / f"s{subject}" / f"{k}.nii"
            file.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(random.integers(0, 99, (16, 16, 2)).astype(np.int16), np.eye(4)), file)
    for k in range(20):
        flat = nib.Nifti1Image(random.integers(0, 99, (16, 2, 16)).astype(np.int16), np.eye(4))
        nib.save(flat, tmp_path / "data" / "s0" / f"[{k}.nii")
    found = _train(tmp_path / "data", tmp_path, "--resolution", "32")
    assert found.exit_code == 0, found.output
    assert sum(line.startswith("left out: ") for line in found.stdout.splitlines()) == 8
    assert "[0.nii has axial slices" in found.stdout and "and 12 more notes like these" in found.stdout


def test_the_lcm_recipe(archive, tmp_path, seen):
    options = ("--recipe", "lcm", "--resolution", "64", "--latents", "free", "--every", "3", "--images", "50")
    found = _train(archive, tmp_path, *options, "--batch", "2", "--seed", "4")
    assert found.exit_code == 0, found.output
    settings = seen[0][2]
    assert isinstance(settings, LcmSettings) and settings.resolution == 64 == seen[0][0].images.shape[-1]
    assert (settings.latents, settings.every, settings.images) == ("free", 3, 50)
    assert (settings.batch, settings.seed) == (2, 4)


def test_like_a_shipped_manifold(archive, tmp_path, seen):
    """Its frame, pixel size, description and thinning; a name of one's own."""
    assert _train(archive, tmp_path, "--recipe", "lcm", "--like", "brain-axial-lcm-128").exit_code == 0
    slices, info, settings, _ = seen[0]
    assert slices.images.shape[2:] == (128, 128) and slices.framing.spacing_mm == 1.5
    assert (info.name, info.modality, info.plane, info.spacing_mm) == ("new", "MR T1", "axial", 1.5)
    assert settings == MANIFOLDS["brain-axial-lcm-128"].settings and settings.latents == "convolutional"
    other = ("--every", "1", "--latents", "vector", "--work", str(tmp_path / "other"))
    assert _train(archive, tmp_path, "--recipe", "lcm", "--like", "brain-axial-lcm-128", *other).exit_code == 0
    assert seen[1][2].every == 1 and seen[1][2].latents == "vector"


def test_options_of_other_recipes(archive, tmp_path, seen):
    for options, sentence in (
        (("--latents", "free"), "--latents belongs to --recipe lcm"),
        (("--every", "2"), "--every belongs to --recipe lcm"),
        (("--recipe", "lcm", "--mirror"), "--mirror counts for nothing in the lcm recipe"),
        (("--recipe", "lcm", "--compact"), "--compact belongs to --recipe gan"),
        (("--recipe", "lcm", "--resolution", "32"), "64, 128, 256 or 512"),
        (("--recipe", "lcm", "--every", "0"), "--every"), (("--recipe", "lcm", "--latents", "none"), "--latents"),
    ):  # fmt: skip
        found = _train(archive, tmp_path, *options)
        assert found.exit_code == 2 and sentence in found.stderr, found.output
    assert not seen


@pytest.fixture
def finishes(monkeypatch):
    """What the command hands to the finish recipe, which does not run."""
    import napari_brgm.training.finish_recipe as module

    calls = []
    monkeypatch.setattr(module, "train_finish", lambda *arguments: calls.append(arguments))
    return calls


def test_the_finish_recipe(archive, tmp_path, seen, finishes):
    """The prior's own frame, copies and reflections; rates that keep their ratio."""
    options = ("--images", "64", "--batch", "32", "--learning-rate", "0.00015", "--seed", "4", "--minutes", "3")
    start = ("--warm-start", "w.safetensors")
    found = _train(archive, tmp_path, "--recipe", "finish", "--like", "brain-axial-128", *options, *start)
    assert found.exit_code == 0 and "the time is up" in found.output, found.output
    slices, prior, settings, run = finishes[0]
    assert slices.images.shape == (20, 1, 128, 128) and slices.framing.spacing_mm == 1.5
    assert prior.info.name == "brain-axial-128" and run.source.name == "brain-axial-128.safetensors"
    assert (settings.images, settings.batch, settings.seed, settings.pools) == (64, 32, 4, (1,))
    assert (settings.rate, settings.critic_rate) == pytest.approx((0.00015, 0.0005))
    assert run.mirror and run.poses.copies == 1 and 0 < run.seconds < 180 and run.warm_start.name == "w.safetensors"
    assert not seen


def test_a_finish_of_ones_own_weights(archive, tmp_path, finishes):
    from napari_brgm.zoo.registry import weights_folder

    own = tmp_path / "own.safetensors"
    own.write_bytes((weights_folder() / "brain-axial-128.safetensors").read_bytes())
    assert _train(archive, tmp_path, "--recipe", "finish", "--like", str(own), "--pixel-mm", "1").exit_code == 0
    run = finishes[0][3]
    assert run.source == own and not run.mirror


def test_what_the_finish_recipe_does_not_take(archive, tmp_path, finishes):
    for options, sentence in (
        ((), "name it with --like"), (("--like", "knee"), "there is no prior 'knee'"),
        (("--like", "brain-axial-lcm-128"), "no exact linear part"),
        (("--like", "brain-axial-128", "--name", "mine"), "--name is what the prior of --like has"),
        (("--like", "brain-axial-128", "--resolution", "64"), "--resolution is what --like decides"),
        (("--like", "brain-axial-128", "--compact"), "--compact belongs to --recipe gan"),
        (("--like", "brain-axial-128", "--finish"), "--finish belongs to --recipe gan"),
    ):  # fmt: skip
        found = _train(archive, tmp_path, "--recipe", "finish", *options)
        assert found.exit_code == 2 and sentence in found.stderr, found.output
        assert len(found.stderr.strip().splitlines()) == 1
    assert not finishes and not (tmp_path / "work").exists()


def test_the_linear_recipe_like_a_manifold(archive, tmp_path, seen):
    assert _train(archive, tmp_path, "--like", "chest-xray-lcm-128", "--images", "40").exit_code == 0
    assert isinstance(seen[0][2], Recipe) and seen[0][2].refine.images == 40 and seen[0][1].plane == "frontal"


def test_the_survey_says_what_there_is_and_trains_nothing(archive, tmp_path, seen):
    found = _train(archive, tmp_path, "--survey", "--resolution", "32")
    assert found.exit_code == 0 and not seen
    assert "20 images of 4 subjects, most of 64 x 48 pixels" in found.output
    assert "4 subjects are fewer than 40: none are held out" in found.output
    assert (tmp_path / "work" / "contact-sheet.png").stat().st_size > 1000
    assert not (tmp_path / "work" / "progress.json").exists()
    other = _train(archive, tmp_path, "--survey", "--like", "brain-axial-128")
    assert other.exit_code == 2 and "--survey belongs to" in other.stderr


def test_a_work_folder_lies_beside_the_weights(archive, tmp_path, seen):
    out = tmp_path / "knee.safetensors"
    found = RUNNER.invoke(app, ["train", "--data", str(archive), "--out", str(out), "--resolution", "32"])
    assert found.exit_code == 0, found.output
    assert seen[0][3].work == tmp_path / "knee-work" and (tmp_path / "knee-work" / "contact-sheet.png").is_file()


def test_a_fault_is_kept_for_whoever_looks_from_elsewhere(archive, tmp_path, monkeypatch):
    import napari_brgm.training.own_data as own_data
    from napari_brgm.training.progress_file import read_progress

    monkeypatch.setattr(own_data, "train", lambda *_: _refusal())
    found = _train(archive, tmp_path, "--resolution", "32")
    assert found.exit_code == 2 and "enough was seen" in found.stderr
    kept = read_progress(tmp_path / "work")
    assert (kept["state"], kept["text"]) == ("failed", "enough was seen")


def test_a_survey_says_what_it_cannot_train_on(archive, tmp_path, seen):
    found = _train(archive, tmp_path, "--survey", "--resolution", "32", "--slices", "0:3")
    assert found.exit_code == 2 and "12 slices are too few to train on" in found.stderr
    assert (tmp_path / "work" / "contact-sheet.png").is_file()
