"""``napari-brgm weights``: what it prints, asks and ends with, from a registry and a web server of its own."""

from __future__ import annotations

import io
import json
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from typer.testing import CliRunner

from napari_brgm.cli import app
from napari_brgm.cli.weights import _table
from napari_brgm.tensor_file import read_tensors
from napari_brgm.zoo.files import sha256_of, write_prior
from napari_brgm.zoo.registry import load_prior


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def web(tmp_path_factory, random_stylegan2):
    """Address of a folder on the web with toy.safetensors in it."""
    folder = tmp_path_factory.mktemp("web")
    write_prior(random_stylegan2, folder / "toy.safetensors")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def zoo(tmp_path, monkeypatch, web):
    """A person's folder, and a registry of one shipped and two published priors."""
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files, address = web
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "ours.safetensors").write_bytes((files / "toy.safetensors").read_bytes())
    digest = sha256_of(folder / "ours.safetensors")
    shipped = {"file": "ours.safetensors", "sha256": digest, "modality": "MR", "plane": "axial", "resolution": 32}
    toy = {"title": "Toy net", "file": "toy.safetensors", "licence": "CC0", "source": "the web", "resolution": 32}
    far = {"title": "Far net", "licence": "CC BY-NC 4.0", "source": "Some page"}
    (folder / "registry.json").write_text(json.dumps({"ours": shipped | {"licence": "ODbL"}}))
    (folder / "published.json").write_text(
        json.dumps({"toy": toy | {"download": f"{address}/toy.safetensors"}, "far": far})
    )
    monkeypatch.setattr(import_module("napari_brgm.zoo.registry"), "weights_folder", lambda: folder)
    return folder


def statuses(shell) -> dict[str, str]:
    lines = shell("weights", "list").stdout.splitlines()
    assert lines[0].split("\t")[0] == "name"
    return {line.split("\t")[0]: line.split("\t")[-1] for line in lines[1:]}


def answered(text: str, *arguments: str):
    return CliRunner().invoke(app, ["weights", *arguments], input=text)


def test_list_is_plain_in_a_pipe(shell):
    assert statuses(shell) == {"ours": "shipped", "far": "by hand", "toy": "to fetch"}
    records = json.loads(shell("weights", "list", "--json").stdout)
    assert [record["name"] for record in records] == ["ours", "far", "toy"]
    assert records[0]["status"] == "shipped" and records[0]["size"] > 1000 and records[2]["size"] is None
    assert {"title", "licence", "source", "citation", "sha256", "kind", "format"} <= set(records[1])


def test_tables_on_a_terminal_show_markup_as_text(monkeypatch):
    """A licence or an error may hold brackets, which rich would take for colours."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    _table(("name", "licence", "status"), [("a", "[red]CC0", "shipped")])
    assert "[red]CC0" in terminal.getvalue() and "\t" not in terminal.getvalue()


def test_fetch_asks_first(shell, tmp_path):
    done = answered("n\n", "fetch", "toy")
    assert done.exit_code == 1 and "nothing was fetched" in done.stderr
    assert all(part in done.stderr for part in ("Toy net", "CC0", "http://127.0.0.1", "size"))
    assert "--yes" in done_without_an_answer("fetch", "toy")
    assert not (tmp_path / "home").exists()
    done = answered("y\n", "fetch", "toy")
    assert done.exit_code == 0, done.stderr
    assert "--prior toy" in done.stdout and statuses(shell)["toy"] == "installed"


def done_without_an_answer(*arguments: str) -> str:
    done = answered("", *arguments)
    assert done.exit_code == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("napari-brgm: nobody answered")  # on a line of its own, under the question
    return last


def test_fetch_without_asking_then_info_verify_and_remove(shell):
    assert shell("weights", "fetch", "toy", "--yes").exit_code == 0
    assert "toy: anatomy not stated, 32 x 32" in shell("info").stdout
    done = shell("weights", "verify")
    assert done.exit_code == 0 and done.stdout.count("intact") == 4
    assert "installed already" in shell.refused("weights", "fetch", "toy")
    assert shell("weights", "fetch", "toy", "--yes", "--again").exit_code == 0

    assert answered("n\n", "remove", "toy").exit_code == 1
    assert "--yes" in done_without_an_answer("remove", "toy")
    assert statuses(shell)["toy"] == "installed"
    assert shell("weights", "remove", "toy", "--yes").exit_code == 0
    assert statuses(shell)["toy"] == "to fetch"


def test_verify_fails_on_a_damaged_file(shell, zoo):
    (zoo / "ours.safetensors").write_bytes(b"?")
    done = shell("weights", "verify")
    assert done.exit_code == 1 and "FAILED" in done.stdout and "hash differs" in done.stdout
    (verdict,) = json.loads(shell("weights", "verify", "--json").stdout)
    assert verdict["intact"] is False and verdict["name"] == "ours"
    (zoo / "ours.safetensors").unlink()
    assert statuses(shell)["ours"] == "missing"


def test_import(shell, web, tmp_path):
    file = web[0] / "toy.safetensors"
    done = shell("weights", "import", file, "--name", "knee", "--licence", "ours alone")
    assert done.exit_code == 0, done.output
    assert "ours alone" in (tmp_path / "home/weights/knee/knee.md").read_text()
    assert statuses(shell)["knee"] == "installed"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("fetch", "far"), "Some page"), (("fetch", "nobody"), "no published weights"), (("fetch", "ours"), "ships"),
        (("remove", "ours", "--yes"), "stays"), (("remove", "toy", "--yes"), "not installed"),
        (("import", "nothing.pkl", "--name", "x"), "no weights file"), (("import", "x.pkl"), "--name"),
        (("import", "x.pkl", "--name", "A B"), "cannot be the name"), (("fetch",), "NAME"), (("fly",), "fly"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(shell, arguments, says):
    assert says in shell.refused("weights", *arguments)


def test_offline(shell, web, zoo):
    records = json.loads((zoo / "published.json").read_text())
    records["toy"]["download"] = "http://127.0.0.1:9/toy.safetensors"
    (zoo / "published.json").write_text(json.dumps(records))
    done = shell("weights", "fetch", "toy", "--yes")
    sentence = done.stderr.splitlines()[-1]
    assert done.exit_code == 2 and "no connection" in sentence and "weights import" in sentence


@pytest.mark.parametrize("command", ["list", "fetch", "import", "verify", "remove"])
def test_help(shell, command):
    assert shell("weights", command, "--help").exit_code == 0


def test_weights_alone_shows_its_help_and_no_sentence(shell):
    done = shell("weights")
    assert "import" in done.stdout and not done.stderr.strip()


def test_what_is_wrong_with_a_file_names_it(shell, tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    done = shell("weights", "import", str(tmp_path / "other.safetensors"), "--name", "other")
    assert done.exit_code == 2 and done.stderr.startswith("napari-brgm: other.safetensors: these weights are not")


@pytest.mark.parametrize(("command", "part"), [("thin", "detail"), ("bridge", "bridge")])
def test_a_network_for_stacks_is_added_and_the_rest_stays(tmp_path, command, part):
    """Of subjects in folders; the file loads, and all else of it is what it was."""
    random = np.random.default_rng(0)
    for subject in range(2):
        folder = tmp_path / "data" / f"subject-{subject}"
        folder.mkdir(parents=True)
        for i in range(9):
            smooth = ndimage.gaussian_filter(random.uniform(0, 255, (40, 40)), 2 + i / 9)
            Image.fromarray(smooth.astype(np.uint8)).save(folder / f"{i:02d}.png")
    out, data = tmp_path / "new.safetensors", str(tmp_path / "data")
    given = ["--data", data, "--slice-mm", "1", "--pixel-mm", "1", "--steps", "1", "--out", str(out)]
    found = CliRunner().invoke(app, ["weights", command, "ours", *given])
    assert found.exit_code == 0, found.output
    before, _ = read_tensors(tmp_path / "shipped" / "ours.safetensors")
    after, _ = read_tensors(out)
    assert {key for key in after.keys() - before.keys() if not key.startswith(f"{part}.")} == set()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    net = getattr(load_prior(out).parts, part)
    assert net is not None and f"{sum(one.numel() for one in net.parameters()):,} parameters" in found.output
    if command == "bridge":
        more = tmp_path / "more.safetensors"
        further = ["weights", command, "ours", *given[:-1], str(more), "--seed", "1", "--rate", "1e-4", "--start"]
        refused = CliRunner().invoke(app, [*further, "ours"])
        assert refused.exit_code == 2 and "leave out --start" in refused.output and not more.exists()
        assert CliRunner().invoke(app, [*further, str(out)]).exit_code == 0
        trained, _ = read_tensors(more)
        moved = [float((trained[key] - value).abs().max()) for key, value in after.items() if key.startswith(part)]
        assert 0 < max(moved) < 1e-3
