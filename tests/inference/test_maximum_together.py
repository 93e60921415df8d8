"""Several observations side by side: one synthesis for all, and each finds what it would find alone."""

from __future__ import annotations

from itertools import count

import pytest
import torch

from napari_brgm.inference import Progress, maximise, maximise_together, maximum
from napari_brgm.inference.visit import Visit
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import Observation
from napari_brgm.posterior import Posterior


class TopRows:
    """The upper rows of an image: observations of another shape."""

    linear = True

    def __init__(self, rows):
        self.rows = rows

    def A(self, x):
        return x[..., : self.rows, :]


def together(members, generators):
    """Steps of each member, and the maxima."""
    told = [[] for _ in members]
    progresses = [Progress(steps.append) for steps in told]
    return told, maximise_together(members, generators, progresses)


@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
@pytest.mark.parametrize("changes", [{}, {"starts": 3}, {"coarse_to_fine": True}])
def test_observations_side_by_side_share_one_synthesis(distant, collect, optimiser, changes, monkeypatch):
    """Each finds what it would find alone, from as many syntheses as one of them takes."""
    problem = distant(optimiser=optimiser, **changes)
    rows = 32 if problem.settings.coarse_to_fine else 20  # 20 have one level less
    image = to_grey(problem.prior.sample(1, seed=9))[..., :rows, :]
    other = Likelihood(Observation(TopRows(rows), torch.ones(1, 1, rows, 32), 30.0), image)
    members = [problem, Posterior(problem.prior, other, problem.settings)]

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    batches = []
    draw = maximum.synthesized
    monkeypatch.setattr(maximum, "synthesized", lambda prior, ws, s: batches.append(len(ws)) or draw(prior, ws, s))
    told, found = together(members, generators())
    starts = changes.get("starts", 1)
    assert len(batches) == 40 and batches[0] == 2 * starts and batches[-1] == 2
    assert [[step.iteration for step in steps] for steps in told] == [list(range(1, 41))] * 2
    for i, (member, generator) in enumerate(zip(members, generators(), strict=True)):
        steps, alone = collect(maximise, member, generator)
        losses = [step.loss for step, _ in steps[:10]]  # rounding grows in each step, and may lead to another minimum
        assert [step.loss for step in told[i][:10]] == pytest.approx(losses, rel=0.02)
        assert max(found[i].loss, alone.loss) < 0.5 * losses[0]
        assert float(sum(member.terms(found[i].v)[0].values())) == pytest.approx(found[i].loss, rel=1e-4)


@pytest.mark.parametrize("searching", [False, True])
def test_the_slowest_decides_when_all_stop(distant, monkeypatch, searching):
    """Losses as written here. ``searching``: line searches of the slow one take two steps, of which one counts."""
    easy, hard = distant(steps=120, tolerance=0.03), distant(steps=120, tolerance=0.03)
    level = {id(easy): 5, id(hard): 20}  # steps for which losses fall by half

    def written(members, v, rows, done, last):
        for i in count():
            falls = [100 * 0.5 ** min(i, level[id(member)]) for member in members]
            new = torch.tensor([not searching or member is easy or i % 2 == 0 for member in members])
            losses = torch.where(new, torch.tensor(falls), torch.tensor(1e6))
            yield Visit(v, {"pixel": losses}, torch.zeros(len(v), 1, 4, 4), new)

    monkeypatch.setattr(maximum, "_descent", written)
    lengths = [len(together(members, [None] * len(members))[0][0]) for members in ([easy], [hard], [easy, hard])]
    slow = 29 if searching else 25  # five alike, one of them its last fall
    assert lengths == [10, slow, slow]
