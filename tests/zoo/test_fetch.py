"""A download ends in the right prior, or in one sentence and nothing changed: against a real server on this machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from napari_brgm.errors import BrgmError, Cancelled, OutputError, WeightsError
from napari_brgm.zoo.download import Limits
from napari_brgm.zoo.fetch import fetch, fetchable, terms
from napari_brgm.zoo.folder import downloads_folder, home, installed, user_folder
from napari_brgm.zoo.install import import_file, remove
from napari_brgm.zoo.registry import available_priors, load_prior

QUICK = Limits(connect_seconds=20, read_seconds=20, attempts=4, pause_seconds=0)  # a busy machine is no failure
ONCE = replace(QUICK, attempts=1)


def get(limits: Limits = QUICK, again: bool = False):
    return fetch("toy", agreed=True, again=again, limits=limits)


def refused(limits: Limits = QUICK, again: bool = False, error: type[BrgmError] = WeightsError) -> str:
    """The sentence of a fetch that must fail."""
    with pytest.raises(error) as caught:
        get(limits, again)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leftovers() -> list[str]:
    return sorted(
        str(path.relative_to(home())) for path in home().rglob("*") if path.is_file() and path.suffix != ".lock"
    )


INSTALLED = ["weights/toy/entry.json", "weights/toy/toy.md", "weights/toy/toy.safetensors"]


def test_fetched_weights_can_be_loaded(site, publish, weights):
    told = []
    entry = fetch("toy", agreed=True, progress=lambda *what: told.append(what), limits=QUICK)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (entry.sha256, entry.original_sha256, entry.resolution) == (digest, digest, 32)
    assert entry.licence == "none stated" and entry.when.startswith("20")
    size = len(site.content)
    assert told[-2:] == [("fetching", size, size), ("converting", 0, None)]
    prior = load_prior("toy")
    assert available_priors() == ["toy", "deep-image"]
    assert (prior.info.name, prior.info.modality, prior.info.plane) == ("toy", "MR", "coronal")
    assert leftovers() == ["first-use.json", *INSTALLED]
    assert site.requests[0]["accept-encoding"] == "identity"
    with pytest.raises(WeightsError, match="installed already"):
        get()


def test_nothing_happens_without_consent(site, publish):
    with pytest.raises(WeightsError, match="nobody agreed"):
        fetch("toy", agreed=False)
    assert not site.requests and not home().exists()


def test_the_terms_name_size_licence_address_and_hash(site, publish):
    text = "; ".join(terms(fetchable("toy")).values())
    assert all(part in text for part in ("none stated", site_address(), "not published", str(downloads_folder())))
    publish(size=5_000_000, sha256="ab" * 32)
    said = terms(fetchable("toy"))
    assert said["size"] == "5.0 MB" and "abababab" in said["SHA-256"]


def site_address() -> str:
    return str(fetchable("toy").download)


def test_a_cut_download_goes_on_where_it_was(site, publish):
    site.cuts = [1000, 2000]
    get()
    assert [asked.get("range") for asked in site.requests] == [None, "bytes=1000-", "bytes=3000-"]
    assert all(asked["if-range"] == '"one"' for asked in site.requests[1:])
    load_prior("toy")


def test_the_next_call_goes_on_with_what_the_last_one_left(site, publish):
    site.cuts = [5000]
    sentence = refused(ONCE)
    assert "kept" in sentence and "weights import" in sentence
    assert leftovers() == ["downloads/toy/toy.safetensors.part", "downloads/toy/toy.safetensors.part.json"]
    get()
    assert site.requests[-1]["range"] == "bytes=5000-"
    load_prior("toy")


@pytest.mark.parametrize("change", ["content", "no ranges", "no etag"])
def test_a_part_of_another_file_is_not_gone_on_with(site, publish, change):
    site.cuts = [5000]
    site.etag = None if change == "no etag" else site.etag
    before = site.content
    site.content = site.content if change == "no ranges" else bytes(len(before))
    refused(ONCE)
    site.content, site.etag, site.ranges = before, None if change == "no etag" else '"two"', change != "no ranges"
    get()
    load_prior("toy")


def test_a_part_that_is_all_there_is_taken(site, publish):
    """Stopped between the last byte and the move."""
    folder = downloads_folder() / "toy"
    folder.mkdir(parents=True)
    (folder / "toy.safetensors.part").write_bytes(site.content)
    note = {"url": site_address(), "validator": '"one"'}
    (folder / "toy.safetensors.part.json").write_text(json.dumps(note))
    get()
    assert len(site.requests) == 1
    load_prior("toy")


@pytest.mark.parametrize("shown", ['{"url": 3}', "[]", "?"])
def test_a_damaged_note_only_costs_the_part(site, publish, shown):
    folder = downloads_folder() / "toy"
    folder.mkdir(parents=True)
    (folder / "toy.safetensors.part").write_bytes(b"x" * 100)
    (folder / "toy.safetensors.part.json").write_text(shown)
    get()
    load_prior("toy")


def test_a_changed_file_is_refused_loudly_and_the_old_one_stays(site, publish, weights):
    """Trust on first use."""
    first = get()
    site.content, site.etag = weights.read_bytes()[:-1] + b"!", '"two"'
    sentence = refused(again=True)
    assert sentence.startswith("REFUSED") and first.sha256[:16] in sentence and "first use" in sentence
    assert load_prior("toy").info.weights_sha256 == first.sha256
    assert leftovers() == ["first-use.json", *INSTALLED]
    shutil.rmtree(user_folder() / "toy")  # removing the prior does not make the changed file trusted
    assert refused().startswith("REFUSED")
    assert not installed()
    site.content = weights.read_bytes()
    get()


def test_what_a_person_brought_binds_no_download(site, publish, weights, tmp_path):
    """Catches a false file under a published name that makes the authors' own refused, and a licence taken as fact."""
    other = tmp_path / "toy.safetensors"
    other.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert "not verified" in import_file(other, "toy").title
    remove("toy")
    address = site_address()
    entry = get()
    assert entry.title == "Toy" and entry.licence == "none stated"
    card = (user_folder() / "toy" / "toy.md").read_text()
    assert f"fetched from {address}; no SHA-256 has been published" in card and "Fetched" in card
    remove("toy")
    with pytest.raises(WeightsError, match=r"REFUSED: toy\.safetensors is not the file that toy was before"):
        import_file(other, "toy")
    again = import_file(weights, "toy")  # by hand, but the hash is that of the download
    assert (
        again.title == "Toy"
        and "the same file, by its SHA-256, as was fetched from" in (user_folder() / "toy" / "toy.md").read_text()
    )


def test_the_same_file_again_is_fine(site, publish):
    first = get()
    assert get(again=True).sha256 == first.sha256
    assert leftovers() == ["first-use.json", *INSTALLED]


def test_a_published_hash_is_not_a_matter_of_trust(site, publish):
    publish(sha256="0" * 64)
    assert "published" in refused()
    assert leftovers() == []
    publish(sha256=hashlib.sha256(site.content).hexdigest())
    get()
    assert leftovers() == INSTALLED


def test_a_damaged_record_of_trust_stops_everything(site, publish):
    get()
    (home() / "first-use.json").write_text('{"toy": 3}')
    assert "first-use.json" in refused(again=True)


@pytest.mark.parametrize("content", [b"<html>gone</html>" * 50, b"", b"\x08\0\0\0\0\0\0\0{}      "])
def test_something_else_at_the_address_is_neither_installed_nor_trusted(site, publish, content, weights):
    site.content = content
    refused()
    assert leftovers() == []
    site.content = weights.read_bytes()
    get()


@pytest.mark.parametrize(
    "to", ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "//example.org/x", "http://[/"]
)
def test_insecure_redirects_are_refused(site, publish, to):
    site.redirect = to
    assert "points to" in refused()
    assert leftovers() == []


def test_redirects_on_this_machine_are_followed_but_not_for_ever(site, server, publish, weights):
    server.sites["/other"] = type(site)(weights.read_bytes(), cuts=[700])
    site.redirect = "/other"
    get()
    assert server.sites["/other"].requests[1]["range"] == "bytes=700-"
    server.sites["/other"].redirect = "/other"
    assert "without end" in refused(again=True)


def test_plain_http_is_for_this_machine_only(publish):
    publish(download="http://example.org/toy.safetensors")
    assert "not secure" in refused()


def test_endless_data_are_cut_off(site, publish):
    site.endless = True
    sentence = refused(Limits(largest=1_000_000, attempts=1))
    assert "cut off" in sentence and leftovers() == []


def test_a_size_that_cannot_be_is_refused_before_it_is_fetched(site, publish):
    site.length = 10**13
    assert "more than" in refused()
    site.length = int("9" * 15)
    assert "more than" in refused()
    publish(size=len(site.content) + 1)
    site.length = None
    assert "not the published one" in refused()
    assert leftovers() == []


def test_a_server_that_promises_more_than_it_sends(site, publish):
    site.length = len(site.content) + 100
    site.etag = None
    assert "no lasting connection" in refused()
    assert not installed()


def test_a_server_that_promises_less_than_it_sends(site, publish):
    """A truncated file: never trusted at first use."""
    site.length = len(site.content) // 2
    refused()
    assert leftovers() == []


def test_an_encoding_that_was_not_asked_for(site, publish):
    site.encoding = "gzip"
    assert "encoding" in refused()


def test_an_offline_machine_is_told_what_to_copy_where(publish, server):
    publish(download="http://127.0.0.1:9/toy.safetensors")
    sentence = refused()
    place = downloads_folder() / "toy" / "toy.safetensors"
    for part in ("http://127.0.0.1:9/toy.safetensors", str(place.parent), f'weights import "{place}" --name toy'):
        assert part in sentence
    assert place.parent.is_dir()  # where to copy it is there


@pytest.mark.parametrize(("how", "says"), [("silent", "no answer"), ("404", "answers 404"), ("500", "answers 500")])
def test_servers_without_the_file(site, publish, how, says):
    site.silent, site.status = how == "silent", int(how) if how.isdigit() else 200
    assert says in refused(replace(ONCE, read_seconds=0.4) if site.silent else ONCE)


def test_a_full_disk_is_one_sentence(site, publish, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10, 10))
        assert "free some space" in refused(error=OutputError)
    if sys.platform != "linux":
        return
    part = downloads_folder() / "toy" / "toy.safetensors.part"
    part.unlink(missing_ok=True)
    part.symlink_to("/dev/full")  # every write says that there is no space
    assert "is full" in refused(error=OutputError)
    part.unlink()
    get()


def test_a_place_that_cannot_be_written(site, publish):
    home().parent.mkdir(exist_ok=True)
    home().write_text("a file")
    assert "NAPARI_BRGM_HOME" in refused(error=OutputError)


def test_cancelling_keeps_what_has_come(site, publish):
    def cancel(what: str, done: int, total: int | None) -> None:
        raise Cancelled("enough")

    site.cuts = [3000]
    with pytest.raises(Cancelled):
        fetch("toy", agreed=True, progress=cancel, limits=QUICK)
    assert [Path(path).name for path in leftovers()] == ["toy.safetensors.part", "toy.safetensors.part.json"]
    get()
    assert site.requests[-1]["range"] == "bytes=3000-"


def test_a_published_pickle_is_fetched_converted_and_loaded(site, publish, published):
    """The whole way of brains.pkl, without a byte of its code."""
    net = published.random_weights(16)
    site.content = published.pytorch_pickle(net)
    site.cuts = [len(site.content) // 2]
    publish(file="brains.pkl", resolution=16)
    entry = get()
    assert entry.original_sha256 == hashlib.sha256(site.content).hexdigest() != entry.sha256
    assert load_prior("toy").resolution == entry.resolution == 16
    assert leftovers() == ["first-use.json", *INSTALLED]
    assert "none stated" in (user_folder() / "toy" / "toy.md").read_text()


def test_two_processes_do_not_fetch_the_same_at_once(site, publish):
    code = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.readline()
"""
    downloads_folder().mkdir(parents=True)
    arguments = [sys.executable, "-c", code, str(downloads_folder() / ".toy.lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert "another napari-brgm" in refused()
        other.communicate("\n")
    get()


def test_what_cannot_be_fetched_says_what_to_do(publish, registry):
    publish(download=None)
    with pytest.raises(WeightsError, match=r"a page.*weights import FILE --name toy"):
        fetchable("toy")
    with pytest.raises(WeightsError, match="no published weights 'toys'"):
        fetchable("toys")
    (registry / "registry.json").write_text('{"toy": {"file": "toy.safetensors"}}')
    with pytest.raises(WeightsError, match="ships"):
        fetchable("toy")
