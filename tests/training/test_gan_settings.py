"""Settings refuse what cannot work, and follow the papers' rules."""

from __future__ import annotations

import pytest

from napari_brgm.errors import InputError
from napari_brgm.training.gan_settings import GanSettings


@pytest.mark.parametrize(
    "wrong",
    [{"batch": 10}, {"group": 1}, {"mixing": 1.5}, {"learning_rate": 0.0}, {"channel_base": 0}, {"beta2": 1.0}],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InputError):
        GanSettings(**wrong)


def test_widths_and_gamma():
    settings = GanSettings()
    assert settings.widths(128) == {4: 256, 8: 256, 16: 256, 32: 256, 64: 128, 128: 64}
    assert settings.gamma(128) == pytest.approx(0.0512)
    assert GanSettings(r1_gamma=1.0).gamma(128) == 1.0
    assert settings.path_batch == 32
    assert GanSettings(path_weight=0).path_steps == 0
