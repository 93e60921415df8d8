"""A trained generator becomes a prior that can be written, with an encoder that finds its latents."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.training.checkpoint import save_checkpoint
from napari_brgm.training.gan_prior import gan_encoder, gan_prior, trained_generator
from napari_brgm.training.gan_settings import GanSettings
from napari_brgm.training.gan_state import GanState
from napari_brgm.zoo.files import read_prior, write_prior

SETTINGS = GanSettings(channel_base=256, channel_max=8, latent=6, mapping_layers=1, batch=8)
INFO = PriorInfo("toy", "MR", "axial", 1.5)


@pytest.fixture
def state() -> GanState:
    return GanState(SETTINGS, 16, 1, torch.device("cpu"))


@pytest.mark.parametrize("compact", [False, True])
def test_from_the_checkpoint_to_a_file(state, tmp_path, compact):
    state.shown = 24
    save_checkpoint(tmp_path / "checkpoint", state.saved(compact))
    network, shown = trained_generator(tmp_path)
    assert shown == 24
    prior = gan_prior(network, INFO)
    torch.testing.assert_close(prior.mapping.w_avg, prior.latents.mean)
    write_prior(prior, tmp_path / "p.safetensors", torch.float32)
    found = read_prior(tmp_path / "p.safetensors")
    torch.testing.assert_close(found.sample(2, seed=1), prior.sample(2, seed=1))
    with pytest.raises(WeightsError):
        trained_generator(tmp_path / "nothing")


def test_the_encoder_gives_w(state):
    """Nearer to the true w than the mean is; catches a basis folded in the wrong way round."""
    with torch.no_grad():  # grey levels between black and white
        for r in (4, 8, 16):
            getattr(state.average.synthesis, f"b{r}").torgb.weight.mul_(0.2)
    prior = gan_prior(state.average, INFO)
    encoder = gan_encoder(prior, images=800, leading=4, widths=(6, 8), steps=150)
    z = torch.randn(200, 6, generator=torch.Generator().manual_seed(9))
    ws = prior.mapping(z)
    found = encoder.encode(prior.synthesize(ws))
    assert found.shape == (200, 6)
    error = (found - ws[:, 0]).square().sum()
    spread = (ws[:, 0] - prior.latents.mean).square().sum()
    assert float(error / spread) < 0.8
    assert len(encoder(torch.zeros(1, 1, 16, 16))) == 2


def test_no_encoder_without_a_mapping(state):
    prior = gan_prior(state.average, INFO)
    bare = StyleGAN2Prior(prior.synthesis, prior.latents, INFO)
    with pytest.raises(InputError, match="mapping"):
        gan_encoder(bare)
