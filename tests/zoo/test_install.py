"""Installed priors are found by name, whole or not at all, and cannot take the place of shipped ones."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import save_file

from napari_brgm.errors import InputError, OutputError, WeightsError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.zoo.files import sha256_of, write_prior
from napari_brgm.zoo.folder import home, installed, unreadable, user_folder
from napari_brgm.zoo.install import import_file, remove
from napari_brgm.zoo.registry import available_priors, card_of, catalogue, load_prior, status_of
from napari_brgm.zoo.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("registry")


def test_a_prior_of_ones_own(weights):
    entry = import_file(weights, "knee-32", licence="CC0", source="our scanner")
    prior = load_prior("knee-32")
    assert prior.info.name == "knee-32" and prior.info.weights_sha256 == sha256_of(weights) == entry.sha256
    assert available_priors() == ["knee-32", "deep-image"]
    record = json.loads((user_folder() / "knee-32" / "entry.json").read_text())
    assert {"sha256", "original_sha256", "source", "licence", "when"} <= set(record)
    assert installed()["knee-32"] == entry
    card = card_of(entry).read_text()
    assert "CC0" in card and "our scanner" in card and "not for diagnosis" in card
    (listed,) = catalogue()
    assert status_of(listed) == "installed" and listed.size == weights.stat().st_size


def test_the_card_of_a_training_is_kept(weights, tmp_path):
    file = tmp_path / "own.safetensors"
    shutil.copy(weights, file)
    file.with_suffix(".md").write_text("# own\n\n200 slices of 20 subjects.\n")
    card = card_of(import_file(file, "knee-32")).read_text()
    assert card.startswith("# knee-32\n") and card.count("200 slices of 20 subjects.") == 1
    assert "The card that lay beside" not in card_of(import_file(weights, "bare")).read_text()


@pytest.mark.parametrize("name", ["", "../knee", "Knee", "knee 32", "a" * 65, ".hidden", "a/b", "con:", "-x"])
def test_names_that_are_none(weights, name):
    with pytest.raises(InputError, match="cannot be the name"):
        import_file(weights, name)
    assert not home().exists()


def test_names_that_are_taken(weights, registry):
    import_file(weights, "knee")
    with pytest.raises(WeightsError, match="installed already"):
        import_file(weights, "knee")
    (registry / "registry.json").write_text('{"brain": {"file": "brain.safetensors"}}')
    with pytest.raises(WeightsError, match="ships"):
        import_file(weights, "brain")
    with pytest.raises(WeightsError, match="ships"):
        remove("brain")
    assert list(installed()) == ["knee"]


def test_the_name_of_the_untrained_prior_is_taken(weights):
    """Catches a file that is installed and can never be loaded, since the name means the untrained network."""
    with pytest.raises(WeightsError, match="ships"):
        import_file(weights, "deep-image")
    assert not installed()


def test_a_latent_convolutional_model_is_installed(tiny_manifold, tmp_path):
    path = tmp_path / "m.safetensors"
    digest = write_prior(tiny_manifold, path)
    entry = import_file(path, "mine")
    prior = load_prior("mine")
    assert (entry.resolution, entry.channels, entry.sha256) == (64, 1, digest)
    assert isinstance(prior, ConvolutionalManifold) and prior.info.name == "mine" and prior.info.modality == "MR"


def test_a_file_of_another_size_is_not_the_published_one(weights, registry):
    """Its hash would be trusted from then on, and the true file refused."""
    listed = {"far": {"resolution": 256, "file": "far.pkl", "source": "a page"}, "any": {"source": "a page"}}
    (registry / "published.json").write_text(json.dumps(listed))
    with pytest.raises(WeightsError, match="draws 32 pixels a side where far has 256; import it under another name"):
        import_file(weights, "far")
    assert not installed() and not (home() / "first-use.json").exists()
    assert import_file(weights, "any").resolution == 32


@pytest.mark.parametrize("content", [b"", b"{}", b"\x10\0\0\0\0\0\0\0{" + b"?" * 20])
def test_what_cannot_be_read_leaves_nothing(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        import_file(path, "knee")
    assert "\n" not in str(caught.value)
    assert not installed() and not [p for p in user_folder().rglob("*") if user_folder().exists()]
    with pytest.raises(WeightsError, match="no weights file"):
        import_file(tmp_path, "knee")


def test_a_full_disk_leaves_nothing(weights, monkeypatch):
    def full(*_paths: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="is full"):
        import_file(weights, "knee")
    assert not installed() and not list(user_folder().iterdir())


def test_published_weights_brought_by_hand(weights, publish, tmp_path):
    """The way of an offline machine: their hash is recorded and compared, and nothing is said that is not known.

    Catches any file of the right size that becomes its authors' by its name.
    """
    entry = import_file(weights, "toy")
    card = card_of(entry).read_text()
    assert entry.plane == "coronal" and entry.title == "Said to be: Toy; not verified"
    assert entry.licence == "not known; that of the file it is said to be: none stated"
    assert entry.source == "imported from toy.safetensors; said to be the file of a page; not verified"
    assert entry.citation == "Somebody (if the file is theirs; not verified)"
    assert "Identity: said by whoever imported it to be toy; not verified" in card and "Imported by hand" in card
    assert "Licence: none stated" not in card
    remove("toy")
    own = import_file(weights, "toy", licence="CC0", source="a friend", citation="me")
    assert (own.licence, own.source, own.citation) == ("CC0", "a friend", "me")
    assert "not verified" in card_of(own).read_text()
    remove("toy")
    other = tmp_path / "other.safetensors"
    other.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match=r"REFUSED.* brought by hand that nobody .* take 'toy' out of .*first-use"):
        import_file(other, "toy")
    assert not installed()
    import_file(other, "something-else")
    import_file(weights, "toy")


def test_a_published_hash_is_the_identity(weights, publish):
    publish(sha256=sha256_of(weights))
    entry = import_file(weights, "toy")
    assert (entry.title, entry.licence, entry.source, entry.citation) == ("Toy", "none stated", "a page", "Somebody")
    assert "its SHA-256 is the one that was published" in card_of(entry).read_text()


def test_what_cannot_be_the_published_file(published, registry, tmp_path):
    """Another layout, size or number of colours than the authors'."""
    listed = {"size": {"resolution": 256}, "colour": {"channels": 3}, "tf": {"format": "tensorflow"}, "any": {}}
    (registry / "published.json").write_text(json.dumps({k: {"source": "a page"} | v for k, v in listed.items()}))
    path = tmp_path / "net.pkl"
    path.write_bytes(published.pytorch_pickle(published.random_weights()))
    for name, says in (
        ("size", "draws 8 pixels a side where size has 256"),
        ("colour", "draws 1 channel"),
        ("tf", "is a PyTorch pickle where tf was published as a TensorFlow pickle"),
    ):
        with pytest.raises(WeightsError, match=f"{says}.*; import it under another name"):
            import_file(path, name)
    assert not installed() and not (home() / "first-use.json").exists()
    card = card_of(import_file(path, "any")).read_text()
    assert "| identity | said by whoever imported it to be any; not verified, since no SHA-256" in card
    assert "| identity |" not in card_of(import_file(path, "own")).read_text()


def test_a_state_dict_as_safetensors_is_converted(published, tmp_path):
    """Not copied: the card says what was taken for granted, and the file has the clamp."""
    path = tmp_path / "net.safetensors"
    strong = published.random_weights()
    strong["synthesis.b4.const"] = strong["synthesis.b4.const"] * 1e5
    for weights, at_stake in ((published.random_weights(), "came out the same"), (strong, "It matters")):
        save_file(weights, path)
        entry = import_file(path, "net", replace_installed=True)
        prior, card = load_prior("net"), card_of(entry).read_text()
        assert entry.format == "PyTorch state dict" and prior.synthesis.conv_clamp == 256.0
        assert "## Taken for granted" in card and "+-256 was taken" in card and at_stake in card
        assert "clamp +-256 (not stated in the file)" in card
    save_file(strong, path, {"conv_clamp": "none"})
    card = card_of(import_file(path, "said")).read_text()
    assert load_prior("said").synthesis.conv_clamp is None and "conv_clamp" not in card


@dataclass
class FakeConversion:
    """``import_weights`` of zoo/convert.py."""

    weights: Path
    fails: bool = False

    def import_weights(self, path, name, folder, *, licence, source, citation, identity):
        assert identity == ""
        self.given = (licence, source, citation)
        (folder / "half").write_bytes(b"half")
        if self.fails:
            raise WeightsError("it is a StyleGAN3 file")
        shutil.copyfile(self.weights, folder / f"{name}.safetensors")
        (folder / f"{name}.md").write_text("# card")
        return SimpleNamespace(
            path=folder / f"{name}.safetensors", card=folder / f"{name}.md", sha256=sha256_of(self.weights),
            original_sha256=sha256_of(path), resolution=32, channels=1, fp16_error=0.01, format="pytorch",
        )  # fmt: skip


def test_published_formats_are_converted(weights, tmp_path, monkeypatch):
    convert = FakeConversion(weights)
    monkeypatch.setitem(sys.modules, "napari_brgm.zoo.convert", convert)
    pickle = tmp_path / "net.pkl"
    pickle.write_bytes(b"\x80\x04N.")
    entry = import_file(pickle, "net", licence="CC BY 4.0", source="a page", citation="us")
    assert convert.given == ("CC BY 4.0", "a page", "us")
    assert entry.original_sha256 == sha256_of(pickle) and entry.format == "pytorch"
    assert load_prior("net").resolution == 32 and card_of(entry).read_text() == "# card"
    convert.fails = True
    with pytest.raises(WeightsError, match="StyleGAN3"):
        import_file(pickle, "other")
    assert [path.name for path in user_folder().iterdir()] == ["net"]


def test_remove(weights):
    import_file(weights, "knee")
    remove("knee")
    assert not installed() and not list(user_folder().iterdir())
    with pytest.raises(WeightsError, match="not installed"):
        remove("knee")
    with pytest.raises(WeightsError, match="not installed"):
        remove("../weights")
    import_file(weights, "knee")


@pytest.mark.parametrize("record", ["?", "[]", "{}", '{"file": "../../x", "sha256": "%s"}', '{"file": 3}'])
def test_an_entry_that_cannot_be_read_harms_no_other(weights, record):
    import_file(weights, "good")
    import_file(weights, "bad")
    (user_folder() / "bad" / "entry.json").write_text(record.replace("%s", "0" * 64))
    assert available_priors() == ["good", "deep-image"] and load_prior("good")
    assert list(unreadable()) == ["bad"]
    assert [(v.name, v.intact) for v in verify()] == [("good", True), ("bad", False)]
    remove("bad")
    assert not unreadable()


def test_verify_finds_what_is_damaged_or_gone(weights):
    for name in ("a", "b", "c"):
        import_file(weights, name)
    file = user_folder() / "b" / "b.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    (user_folder() / "c" / "c.safetensors").unlink()
    verdicts = {verdict.name: verdict for verdict in verify()}
    assert {name: verdict.intact for name, verdict in verdicts.items()} == {"a": True, "b": False, "c": False}
    assert "hash differs" in verdicts["b"].sentence and "missing" in verdicts["c"].sentence
    with pytest.raises(WeightsError, match="hash differs"):
        load_prior("b")
    assert status_of(installed()["c"]) == "missing"


def test_of_two_imports_of_one_name_one_installs(weights, monkeypatch):
    """Catches the later of two that both found the name free, and both said 'installed'."""
    from napari_brgm.zoo import install

    taken_over = install._take_over

    def slow(*given):
        entry = taken_over(*given)
        monkeypatch.setattr(install, "_take_over", taken_over)
        import_file(weights, "knee", licence="of the first")  # by another process, meanwhile
        return entry

    monkeypatch.setattr(install, "_take_over", slow)
    with pytest.raises(WeightsError, match="knee was installed meanwhile"):
        import_file(weights, "knee", licence="of the second")
    assert installed()["knee"].licence == "of the first"
    assert [path.name for path in user_folder().iterdir()] == ["knee"]


def test_a_card_shows_html_and_escape_sequences_as_text(weights, tmp_path):
    file = tmp_path / "own.safetensors"
    shutil.copy(weights, file)
    file.with_suffix(".md").write_text("# own\n<script>alert(1)</script> \x1b[31m <https://example.org>\n")
    entry = import_file(file, "knee", licence="CC0\x1b[2J\n<img src=x onerror=y>", source="<b>x</b>")
    card = card_of(entry).read_text()
    assert "\x1b" not in card and "<script" not in card and "<img" not in card and "<b>" not in card
    assert "&lt;script>alert(1)&lt;/script>" in card and "<https://example.org>" in card
