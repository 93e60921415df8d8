"""What all tests share: the folder of real scans, small priors, and one that ships."""

from __future__ import annotations

import copy
import importlib.util
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import typer.main
import typer.testing
from safetensors.torch import load_file

from napari_brgm.errors import WeightsError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import ConvolutionalMap
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stack_field import StackField
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.priors.through_plane import FREQUENCIES, ThroughPlane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior


collect_ignore = ["toy_family.py", "compare_checkouts.py", "fuzz.py"]  # no tests; the first registers its family


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's folder of weights and timings: empty, and never that of whoever runs the tests."""
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session", autouse=True)
def commands_built_once() -> Iterator[None]:
    """Typer's runner builds all commands anew for each call, which takes as long as many a test of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real scans beside the project; the test is skipped where they are not."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real scans in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def smooth_images() -> Callable[..., torch.Tensor]:
    """``draw(n, size, seed)``: random smooth images (n, 1, size, size) in [-1, 1] round a bright disc."""

    def draw(n: int, size: int, seed: int = 0) -> torch.Tensor:
        white = torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(seed))
        frequency = torch.fft.fftfreq(size) * size
        radius = frequency[:, None].square() + frequency[None].square()
        smooth = torch.fft.ifft2(torch.fft.fft2(white) * torch.exp(-radius / 8)).real
        axis = torch.linspace(-1, 1, size)
        disc = torch.sigmoid(8 * (0.7 - (axis[:, None].square() + axis[None].square()).sqrt()))
        return (disc * (1.1 + 0.25 * smooth / smooth.std()) - 0.8).clamp(-1, 1)

    return draw


@pytest.fixture(scope="session")
def linear_prior(smooth_images: Callable[..., torch.Tensor]) -> LinearGaussian:
    """Probabilistic PCA of 24 px images with 12 components: its posterior is known exactly."""
    info = PriorInfo("toy-24", modality="MR", plane="axial", spacing_mm=1.5, representation_sigma=6.0)
    return LinearGaussian.fit(smooth_images(60, 24), 12, info)


@pytest.fixture(scope="session")
def with_parts() -> Callable[..., Any]:
    """``with_parts(prior, residual=field)``: a copy of the prior with other parts beside its network."""

    def change(prior: Any, **parts: Any) -> Any:
        found = copy.copy(prior)
        found.parts = replace(prior.parts, **parts)
        return found

    return change


@pytest.fixture(scope="session")
def brain_prior() -> Prior:
    """The brain prior of 128 px that ships; not to be changed."""
    from napari_brgm.zoo.registry import load_prior

    try:
        return load_prior("brain-axial-128")
    except WeightsError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def parity() -> Callable[[str], tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """``parity(name)``: weights of a random StyleGAN2, and what an independent implementation computes from them."""

    @cache
    def read(name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        tensors = load_file(Path(__file__).parent / "fixtures" / f"stylegan2_parity_{name}.safetensors")
        weights = {k.removeprefix("weights."): v for k, v in tensors.items() if k.startswith("weights.")}
        return weights, {k.removeprefix("case."): v for k, v in tensors.items() if k.startswith("case.")}

    return read


@pytest.fixture(scope="session")
def random_stylegan2(
    parity: Callable[[str], tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]],
) -> StyleGAN2Prior:
    """A prior of 32 px with random weights: curved, but without any meaning."""
    net = StyleGAN2.from_state_dict(parity("32_gray")[0])
    return StyleGAN2Prior.of_network(net, PriorInfo("random-32", spacing_mm=1.0, representation_sigma=5.0))


@pytest.fixture(scope="session")
def tiny_manifold() -> ConvolutionalManifold:
    """A latent convolutional model of 64 px with random weights, and six components of twelve random phi."""
    generator = torch.Generator().manual_seed(5)
    drawn = ConvolutionalMap()
    start = drawn.start(generator)
    phi = drawn.project(start + 0.004 * torch.randn(12, drawn.size, generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        net = Hourglass(outs=1, trunk=(6, 8), fine=(4,), skip=2)
    net.last.weight.data *= 4  # so that its images have contrast
    with torch.no_grad():
        z = drawn(phi)
        for _ in range(60):  # running means and variances
            net.train()(z)
    info = PriorInfo("manifold-64", "MR", "axial", spacing_mm=1.5, representation_sigma=5.0)
    return ConvolutionalManifold(drawn, net, LowRankStatistics.of(phi, 6), info)


@pytest.fixture(scope="session")
def toy_family() -> ModuleType:
    """A third family of priors (toy_family.py), imported and so registered as a person's own module would be."""
    spec = importlib.util.spec_from_file_location("toy_family", Path(__file__).with_name("toy_family.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy_family"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def stack_prior(
    smooth_images: Callable[..., torch.Tensor], with_parts: Callable[..., LinearGaussian]
) -> LinearGaussian:
    """Heads of 24 px with a residual field, whose slices belong together over 3 to 12 mm, their grain over 2."""
    info = PriorInfo("stack-24", modality="MR", plane="axial", spacing_mm=1.5, representation_sigma=6.0)
    images = 0.35 * smooth_images(80, 24, seed=4)
    plain = LinearGaussian.fit(images, 10, info)
    at = torch.arange(24) - 11.5
    std = 6 * torch.exp(-(at[:, None].square() + at.square()) / 400) + 2
    side = torch.fft.fftfreq(40) * 40
    field = ResidualField(std, torch.exp(-(side[:, None].square() + side.square()).sqrt() / 1.5))
    lags = torch.arange(30, dtype=torch.float64)

    def gaussians(lengths: torch.Tensor) -> torch.Tensor:
        return torch.exp(-lags.square() / (2 * lengths[:, None] ** 2))

    through = ThroughPlane.fit(
        gaussians(torch.linspace(12, 3, 10)), gaussians(torch.linspace(5, 2, len(FREQUENCIES))), lag_mm=1.0
    )
    return with_parts(plain, residual=field, through=through)


@pytest.fixture(scope="session")
def stack_of(stack_prior: LinearGaussian) -> Callable[..., npt.NDArray[np.float32]]:
    """``stack_of(n, seed, mm)``: n slices (n, 24, 24) that the prior of stacks draws, grey levels."""
    line, through, residual = stack_prior.parts.line, stack_prior.parts.through, stack_prior.parts.residual
    assert line is not None and through is not None and residual is not None

    def draw(n: int, seed: int = 0, mm: float = 1.0) -> npt.NDArray[np.float32]:
        generator, places = torch.Generator().manual_seed(seed), mm * torch.arange(n)
        factor = torch.linalg.cholesky(through.of_latents(places)).float()
        latents = torch.einsum("kij,jk->ik", factor, torch.randn(n, len(factor), generator=generator))
        images = (line.whitened.synthesize(latents[:, None])[:, 0] + 1) * 127.5
        drawn = images + StackField(residual, through.of_residual(places)).sample(1, generator)[0]
        found: npt.NDArray[np.float32] = drawn.clamp(0, 255).numpy()
        return found

    return draw
