"""Compiled networks stand in for plain ones; the compiler's front end is run, its C++ back end is not."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Mask
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError
from napari_brgm.priors.compiled import CompiledNetwork, with_compiled_network
from napari_brgm.priors.network import network_of
from napari_brgm.settings import preset


@pytest.fixture
def front_end(monkeypatch):
    """``torch.compile`` that traces and runs what it traced as it is."""
    compiler = torch.compile

    def traced(net, fullgraph):
        return compiler(net, backend="eager", fullgraph=fullgraph)

    monkeypatch.setattr(torch, "compile", traced)


def test_images_and_gradients_are_those_of_the_plain_network(random_stylegan2, front_end):
    found = with_compiled_network(random_stylegan2)
    assert isinstance(network_of(found), CompiledNetwork) and with_compiled_network(found) is found
    assert (found.resolution, found.channels, found.num_ws) == (32, 1, random_stylegan2.num_ws)
    ws = random_stylegan2.latents.colour(torch.randn(3, 1, 32, generator=torch.Generator().manual_seed(0)))
    ws = ws.expand(-1, found.num_ws, -1).clone().requires_grad_(True)
    images = [prior.synthesize(ws) for prior in (random_stylegan2, found)]
    gradients = [torch.autograd.grad(image.square().sum(), ws)[0] for image in images]
    torch.testing.assert_close(images[1], images[0])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_compiled_restoration_is_the_same(random_stylegan2, front_end):
    image = ((random_stylegan2.sample(1, seed=5) + 1) * 127.5)[0, 0].numpy()
    missing = torch.zeros(32, 32, dtype=torch.bool)
    missing[8:20, 8:20] = True
    settings = preset("unaided").but(steps=5)
    plain, compiled = (
        restore(image, Mask(missing), random_stylegan2, samples=2, device="cpu", settings=settings.but(compiled=way))
        for way in (False, True)
    )
    assert abs(plain.estimate - compiled.estimate).max() < 0.1
    assert compiled.provenance["settings"]["compiled"] and not compiled.provenance["notes"]


def test_without_a_compiler_the_plain_network_runs_and_says_so(random_stylegan2, monkeypatch):
    monkeypatch.setattr(torch, "compile", _fails)
    image = ((random_stylegan2.sample(1, seed=5) + 1) * 127.5)[0, 0].numpy()
    settings = preset("unaided").but(steps=2, compiled=True)
    missing = torch.zeros(32, 32, dtype=torch.bool)
    missing[8:20, 8:20] = True
    result = restore(image, Mask(missing), random_stylegan2, samples=2, device="cpu", settings=settings)
    assert any("could not be compiled (OSError)" in note for note in result.provenance["notes"])


def _fails(net, **settings):
    raise OSError("no C++ compiler")


def test_tuning_and_compiling_exclude_each_other():
    with pytest.raises(InputError, match="cannot be tuned"):
        preset("default").but(compiled=True, refine_steps=5)
