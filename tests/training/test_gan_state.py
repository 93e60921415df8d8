"""The state of an adversarial training goes into a checkpoint and comes back, exactly or nearly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.training.checkpoint import load_checkpoint, save_checkpoint
from napari_brgm.training.gan_settings import GanSettings
from napari_brgm.training.gan_state import GanState, Meter

CPU = torch.device("cpu")
SETTINGS = GanSettings(channel_base=64, channel_max=8, latent=8, mapping_layers=1, batch=8)


def worn(settings: GanSettings = SETTINGS) -> GanState:
    """A state of which every part differs from a new one."""
    state = GanState(settings, 8, 1, CPU)
    random = torch.Generator().manual_seed(5)
    for net in (state.generator, state.discriminator, state.average):
        with torch.no_grad():
            for p in net.parameters():
                p += torch.randn(p.shape, generator=random)
    for adam in (state.adam_g, state.adam_d):
        adam.count = 17
        for power in adam.powers:
            power.copy_(torch.rand(power.shape, generator=random) * 10 ** -(8 * torch.rand((), generator=random)))
    state.path.mean += 0.7
    state.strength.p += 0.25
    state.strength.signs += 3
    state.strength.count = 8
    state.meter.add("loss", torch.tensor(2.5))
    state.steps, state.shown = 3, 24
    torch.rand(5, generator=state.random)
    return state


def test_exact(tmp_path):
    """Catches a part that is not kept."""
    state, other = worn(), GanState(replace(SETTINGS, seed=9), 8, 1, CPU)
    save_checkpoint(tmp_path, state.saved(compact=False))
    other.restore(load_checkpoint(tmp_path))
    for name in ("generator", "discriminator", "average"):
        found = getattr(other, name).state_dict()
        for k, v in getattr(state, name).state_dict().items():
            assert torch.equal(found[k], v), k
    for name in ("adam_g", "adam_d"):
        a, b = getattr(state, name), getattr(other, name)
        assert a.count == b.count
        assert all(torch.equal(x, y) for x, y in zip(a.powers, b.powers, strict=True))
    assert (other.steps, other.shown, other.strength.count) == (3, 24, 8)
    assert other.path.mean == state.path.mean
    assert other.strength.p == state.strength.p
    assert other.strength.signs == state.strength.signs
    assert torch.equal(torch.rand(5, generator=other.random), torch.rand(5, generator=state.random))
    assert other.meter.read() == {"loss": 2.5}


def test_compact_is_small_and_near(tmp_path):
    """Half precision for weights; a tenth for the step sizes."""
    settings = replace(SETTINGS, channel_base=1024, channel_max=32, latent=32)
    state, other = worn(settings), GanState(settings, 8, 1, CPU)
    for name, compact in (("exact", False), ("compact", True)):
        save_checkpoint(tmp_path / name, state.saved(compact))
    sizes = {n: sum(p.stat().st_size for p in (tmp_path / n).glob("*.safetensors")) for n in ("exact", "compact")}
    assert sizes["compact"] < 0.45 * sizes["exact"]
    other.restore(load_checkpoint(tmp_path / "compact"))
    for a, b in zip(state.generator.parameters(), other.generator.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) <= 1e-3 * float(a.detach().abs().max())
    for a, b in zip(state.adam_d.powers, other.adam_d.powers, strict=True):
        torch.testing.assert_close(b.sqrt(), a.sqrt(), rtol=0.1, atol=1e-12)
    zero = GanState(settings, 8, 1, CPU)
    zero.restore(GanState(settings, 8, 1, CPU).saved(compact=True))
    assert all(float(power.max()) < 1e-37 for power in zero.adam_g.powers)  # no step was taken yet


def test_what_does_not_fit_is_refused():
    state = worn()
    with pytest.raises(InputError, match="latent 8"):
        GanState(replace(SETTINGS, latent=4), 8, 1, CPU).restore(state.saved(compact=False))
    with pytest.raises(WeightsError, match="adversarial"):
        state.restore({"net": {}})


def test_broken_weights_are_seen():
    state = worn()
    assert state.is_finite()
    with torch.no_grad():
        state.discriminator.out.bias += torch.nan
    assert not state.is_finite()


def test_a_new_state_leaves_the_global_random_state_alone():
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    GanState(SETTINGS, 8, 1, CPU)
    assert torch.equal(torch.rand(1), wanted)


def test_meter_means():
    meter = Meter(CPU)
    for value in (1.0, 2.0, 6.0):
        meter.add("a", torch.tensor(value))
    meter.add("b", torch.tensor(5.0))
    assert meter.read() == {"a": 3.0, "b": 5.0}
    assert meter.read() == {}
