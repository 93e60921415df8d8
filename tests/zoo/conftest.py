"""A folder of one's own for each test, a web server that behaves as badly as it is told to, and published files."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.files import write_prior

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, random_stylegan2) -> Path:
    """A weights file of 32 px."""
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    write_prior(random_stylegan2, path)
    return path


@dataclass
class Site:
    """One file on the web, and how it is served."""

    content: bytes
    etag: str | None = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes of each answer after which the connection is cut
    length: int | None = None  # a lie about the number of bytes
    endless: bool = False
    status: int = 200
    redirect: str | None = None
    silent: bool = False
    encoding: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)  # headers, in small letters

    def answer(self, handler: BaseHTTPRequestHandler, stop: threading.Event) -> None:
        asked = {key.lower(): value for key, value in handler.headers.items()}
        self.requests.append(asked)
        if self.silent:
            stop.wait(10)
            return
        if self.redirect is not None:
            handler.send_response(302)
            handler.send_header("Location", self.redirect)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start, status = 0, self.status
        same = "if-range" not in asked or asked["if-range"] == self.etag
        if "range" in asked and self.ranges and same:
            start, status = int(asked["range"].removeprefix("bytes=").rstrip("-")), 206
            status = 416 if start >= len(self.content) else status
        body = b"" if status == 416 else self.content[start:]
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if status == 416:
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        if self.encoding:
            handler.send_header("Content-Encoding", self.encoding)
        if not self.endless:
            handler.send_header("Content-Length", str(len(body) if self.length is None else self.length))
        handler.end_headers()
        with suppress(OSError):  # hung up on
            while self.endless and not stop.is_set():
                handler.wfile.write(bytes(1 << 16))
            handler.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sites: dict[str, Site] = {}
        self.stop = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up are expected."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.sites[self.path].answer(self, self.server.stop)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.stop.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def site(server: Server, weights: Path) -> Site:
    """The weights file, served at /toy.safetensors."""
    server.sites["/toy.safetensors"] = Site(weights.read_bytes())
    return server.sites["/toy.safetensors"]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped weights in which nothing is registered."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "registry.json").write_text("{}")
    monkeypatch.setattr(import_module("napari_brgm.zoo.registry"), "weights_folder", lambda: folder)
    return folder


@pytest.fixture
def publish(registry: Path, server: Server) -> Callable[..., None]:
    """``publish(**changes)``: make 'toy' known as published weights at the server's /toy.safetensors."""

    def write(**changes: object) -> None:
        entry = {
            "title": "Toy", "modality": "MR", "plane": "coronal", "resolution": 32, "channels": 1,
            "file": "toy.safetensors", "licence": "none stated", "source": "a page", "citation": "Somebody",
            "download": server.url("/toy.safetensors"),
        }  # fmt: skip
        (registry / "published.json").write_text(json.dumps({"toy": entry | changes}))

    write()
    return write


def _beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"zoo_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"zoo_{name}"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published() -> ModuleType:
    """Builders of published layouts (published.py beside this file)."""
    return _beside("published")


@pytest.fixture(scope="session")
def hostile() -> ModuleType:
    """Hostile files (hostile.py)."""
    return _beside("hostile")


@pytest.fixture(scope="session")
def mutations() -> ModuleType:
    """Mutator of files (mutations.py)."""
    return _beside("mutations")


@pytest.fixture(scope="session")
def nothing_runs(published: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], object]:
    """``with nothing_runs():`` fails if anything in it imports, executes, starts or writes."""
    from safetensors.torch import save

    from napari_brgm.zoo.published_file import read_published

    file = tmp_path_factory.mktemp("warm") / "file"  # what torch imports on first use is no concern of the trap
    for make in (published.pytorch_pickle, published.tensorflow_pickle, published.rosinality_pt):
        file.write_bytes(make(published.random_weights(4)))
        read_published(file).network()
    file.write_bytes(save(published.random_weights(4)))  # safetensors
    read_published(file).network()
    b"name".decode("cp437")  # of zip entries
    return _beside("trap").watched


@pytest.fixture
def refused(tmp_path: Path, nothing_runs: Callable[[], object]) -> Callable[[bytes], str]:
    """``refused(data)``: the one sentence in which a file is refused, while nothing runs and nothing is written."""
    from napari_brgm.zoo.published_file import read_published

    def read(data: bytes) -> str:
        path = tmp_path / "file.pkl"
        path.write_bytes(data)
        before = sorted(tmp_path.iterdir())
        with nothing_runs(), pytest.raises(WeightsError) as caught:
            read_published(path).network()
        said = str(caught.value)
        assert said.isprintable() and len(said) < 300 and sorted(tmp_path.iterdir()) == before
        return said

    return read
