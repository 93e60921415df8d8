"""The study of the finish: its rows, that a cut run goes on, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.errors import InputError
from napari_brgm.evaluation import finish
from napari_brgm.evaluation.finish import FinishStudy
from napari_brgm.evaluation.texture import Texture
from napari_brgm.priors.finish import Finish, place_maps


@pytest.fixture
def study(stack_prior, with_parts, stack_of, tmp_path, monkeypatch):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = Finish((4, 6, 8, 8))
    net.place = place_maps(torch.zeros(1, 24, 24), mirror=True)
    prior = with_parts(stack_prior, finish=Finish.from_state_dict(net.state_dict()))
    images = np.round(stack_of(24, seed=3)).astype(np.uint8)[:, None]
    names = tuple(map(str, range(24)))
    held = SliceSet(images, np.arange(24) // 4, names, tuple("abcdef"), Framing(24, 1.5))

    class _Held:
        @staticmethod
        def read(data, part):
            return held

    hole = np.zeros((24, 24), dtype=bool)
    hole[6:16, 7:17] = True
    monkeypatch.setattr(finish, "set_of", lambda _: _Held())
    monkeypatch.setattr(finish, "paper_masks", lambda _: [hole] * 7)
    monkeypatch.setattr(finish, "ms_ssim_distance", lambda x, y: np.abs(x - y).mean())  # 24 pixels are too few
    monkeypatch.setattr(finish, "texture_of", lambda x, y, s: (x.shape, y.shape, len(s)))
    return lambda other=prior: FinishStudy(other, tmp_path, tmp_path, 2, 16, 4, 0)


def test_rows_are_kept_and_not_measured_again(study, tmp_path, monkeypatch):
    first = study()
    first.run(["mask-3", "x2"])
    assert len(first.rows) == 2 * 2 * 3
    kept = (tmp_path / "finish.jsonl").read_text()
    again = study()
    monkeypatch.setattr(again, "_measured", lambda *_: pytest.fail("measured again"))
    again.run(["mask-3", "x2"])
    assert again.rows == first.rows and (tmp_path / "finish.jsonl").read_text() == kept
    plain, before, found = (
        first.rows["mask-3", int(first.picked[0]), kind] for kind in ("plain", "before", "finished")
    )
    assert len({plain.rmse, before.rmse, found.rmse}) == 3 and 0 <= found.covered <= 1
    textures = {"finished": Texture(5.0, 1.01, (0.9, 1.1), 0.86)}
    lines = first.table(textures, {"finished": 27.94, "held-out slices": 27.8}).splitlines()
    assert lines[2] == "| finished | 5.0 | 1.01 | 0.90 | 1.10 | 86% |" and len(lines) == 4 + 4 + 2 + 2 * 3
    assert lines[6] == "| median distance | 27.9 | 27.8 |"


def test_draws_are_compared_the_way_they_are_stored(study):
    made = study()
    draws = made.draws()
    found = made.textures(draws)
    near = made.nearest(draws)
    assert set(near) == {*found, "held-out slices"} and near["held-out slices"] < 1 < near["generator"]  # they are it
    assert set(found) == {"generator", "finished", "with field"}
    assert all(shapes == ((16, 24, 24), (16, 24, 24), 16) for shapes in found.values())


def test_what_cannot_be_measured_is_refused(study, stack_prior):
    with pytest.raises(InputError, match="there is no task 'mask-9'; choose from mask-0"):
        study().run(["mask-9"])
    with pytest.raises(InputError, match="no network to finish draws with"):
        study(stack_prior)
