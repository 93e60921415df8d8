import pytest
import torch

from napari_brgm.corruptions import Grayscale
from napari_brgm.priors.gray import Gray
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import Prior, PriorInfo
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior


@pytest.fixture
def colour(parity) -> StyleGAN2Prior:
    return StyleGAN2Prior.of_network(StyleGAN2.from_state_dict(parity("64_rgb")[0]), PriorInfo("rgb"))


def test_gray_of_colour_is_its_luminance(colour):
    gray = Gray.of(colour)
    assert isinstance(gray, Prior) and gray.channels == 1
    assert Gray.of(colour) is gray
    assert torch.equal(gray.sample(2, seed=3), Grayscale().A(colour.sample(2, seed=3)))
    assert "luminance" in gray.note


def test_gray_stored_as_colour_is_the_mean_of_its_channels(colour):
    with torch.no_grad():
        for name, parameter in colour.synthesis.named_parameters():
            if ".torgb.weight" in name or ".torgb.bias" in name:
                parameter.copy_(parameter[:1].expand_as(parameter))
    gray = Gray.of(colour)
    assert gray.mixture.weights == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert torch.allclose(gray.sample(2), colour.sample(2)[:, :1], atol=1e-5)
    assert "mean of its channels" in gray.note


def test_its_line_is_the_gray_of_the_line():
    torch.manual_seed(1)
    colour = LinearGaussian(torch.randn(3, 8, 8) / 4, torch.randn(5, 3, 8, 8) / 9, 1e-3)
    gray, w = Gray.of(colour), torch.randn(2, 1, 5)
    assert torch.allclose(gray.parts.line.model.synthesize(w), gray.synthesize(w), atol=1e-6)
    assert gray.parts.line.exact and gray.latents is colour.latents
