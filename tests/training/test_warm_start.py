"""A warm start copies what fits, to the generator and to its average."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training.gan_prior import gan_prior
from napari_brgm.training.gan_settings import GanSettings
from napari_brgm.training.gan_state import GanState
from napari_brgm.training.warm_start import warm_start_from
from napari_brgm.zoo.files import write_prior

SETTINGS = GanSettings(channel_base=64, channel_max=8, latent=8, mapping_layers=1, batch=8)


def state(**changes) -> GanState:
    return GanState(replace(SETTINGS, **changes), 8, 1, torch.device("cpu"))


def test_from_a_weights_file(tmp_path):
    source, target = state(seed=1), state(seed=2)
    write_prior(gan_prior(source.average, PriorInfo("other")), tmp_path / "w.safetensors", torch.float32)
    said = warm_start_from(target, tmp_path / "w.safetensors")
    assert "of the generator" in said
    own = source.average.state_dict()
    for net in (target.generator, target.average):
        for k, v in net.state_dict().items():
            if not k.endswith("noise_const"):  # not in a file of a net without noise
                assert torch.equal(v, own[k]), k
    assert all(p.requires_grad for p in target.generator.parameters())


def test_from_a_synthesis_of_other_widths():
    """What does not fit stays, and is named."""
    source, target = state(seed=1, channel_base=32), state(seed=2)
    before = target.generator.synthesis.b8.conv1.weight.detach().clone()
    said = warm_start_from(target, source.generator.synthesis.state_dict())
    assert "synthesis.b8" in said
    assert "mapping.fc0" in said
    assert torch.equal(target.generator.synthesis.b8.conv1.weight, before)
    assert torch.equal(target.average.synthesis.b4.const, source.generator.synthesis.b4.const)


def test_nothing_fits():
    with pytest.raises(WeightsError, match="no tensor"):
        warm_start_from(state(), {"encoder.conv0.weight": torch.zeros(3)})
