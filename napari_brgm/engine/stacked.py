"""Stacked: the slices of one window, restored together.

    observed each -> posterior of each alone -> joint posterior -> MAP of the stack -> draws of the stack -> one by one

    p(u_1 .. u_n | y_1 .. y_m)      linear part and residual field exact, correlated along the normal (through_plane.py)
    x_i = G(u_i) + e_i

The residual field of a slice stands as white noise where the latents are found, and is kriged through the stack given
these. As noise it has a tenth of the variance that a slice by itself is given: its neighbours tell it from the latents.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.corruptions import Identity
from napari_brgm.engine.assembled import assembled
from napari_brgm.engine.draws import Draws, finished, on_grid
from napari_brgm.engine.known import Known
from napari_brgm.engine.layout import MeasuredSlice
from napari_brgm.engine.misfit import misfit_of
from napari_brgm.engine.need import Need
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restoring import image_and_corruption
from napari_brgm.engine.thick import consistent
from napari_brgm.errors import InputError
from napari_brgm.inference import Progress, complete, maximise
from napari_brgm.inference.stack import StackPosterior
from napari_brgm.inference.stack_objective import StackImages, StackObjective
from napari_brgm.likelihood import GreyLevels, Likelihood, from_grey, to_grey
from napari_brgm.observation import Observation, StackObservation
from napari_brgm.posterior import bytes_of_images, images_at_once
from napari_brgm.priors.stack_field import StackField

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.engine.anchor import Anchor
    from napari_brgm.engine.devices import Attempt
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.layout import Layout
    from napari_brgm.engine.observed import Problem
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.engine.windows import StackPart
    from napari_brgm.inference import Step
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["StackedRestoring"]

_SHARE = 0.1  # of the variance of the representation error, where the latents of a stack are found
_SCALE = 1.0  # of the spread: latents of a stack come nearer to what was measured, which tells nothing of the rest
_NOISE = 3.0  # grey levels, of the data given the residual fields of a stack
_COPIES = 4  # of the images of all draws: drawn, completed, their fields, and in work
_PIXELS = 1 << 22  # of images that are worked on at a time


class StackedRestoring:
    """The slices of one window on their way to their restorations.

    Parameters
    ----------
    layout : Layout
    window : StackPart
    job : Job
    prior : Prior
        That of the job, on the device of the attempt.
    settings : InferenceSettings
        Those of the job, as the attempt allows.
    attempt : Attempt
    anchor : Anchor
    known : Known or None
        Of the slices that the window goes on from.
    number : int
        Of the window, for its random numbers.
    tell : callable
        Gets the window's steps.
    held : int
        Results that memory will hold at the end, the window's among them.
    with_samples : bool
        Whether with their samples.

    Attributes
    ----------
    refused : dict of int to InputError
        Slices of the job that cannot be restored, and why.
    """

    def __init__(
        self, layout: Layout, window: StackPart, job: Job, prior: Prior, settings: InferenceSettings, attempt: Attempt,
        anchor: Anchor, known: Known | None, number: int, tell: Callable[[Step], object], *, held: int = 1,
        with_samples: bool = True,
    ) -> None:  # fmt: skip
        self.began = time.perf_counter()
        self.layout, self.window, self.job, self.prior, self.settings = layout, window, job, prior, settings
        self.attempt, self.anchor, self.known = attempt, anchor, known
        self.generator = torch.Generator().manual_seed(int(job.seed) + number)
        self.progress = Progress(tell, preview=self._preview)
        self.batch = min(attempt.batch, images_at_once(prior.resolution, prior.latents.mean.device))
        self.refused: dict[int, InputError] = {}
        self.notes: list[str] = list(attempt.notes)
        self._at = {slice_: i for i, slice_ in enumerate(window.slices)}
        self._seen: list[tuple[MeasuredSlice, Problem]] = []
        self._blank = anchor.unseen()
        new = set(window.new)
        for one in layout.measured:
            if new.isdisjoint(one.holds) or not self._at.keys() >= one.holds.keys():
                continue
            try:
                problem = self._observed(one)
                blank = not self._thick and np.ptp(problem.placed.given.values) == 0
                if blank and one.number is None:
                    continue  # a lost one says that tissue ends: a hole beside three was missed by 15 for 10
                if blank:
                    raise InputError("all measured pixels have the same value; there is nothing to restore from")
                self._seen.append((one, problem))
            except InputError as error:
                told_of = [int(layout.results[slice_]) for slice_ in one.holds] if self._thick else [one.number]
                self.refused |= {number: error for number in told_of if number is not None}
                if one.number is None:
                    self.notes.append(f"a neighbouring slice was left out: {error}")
        if self._kept and self.refused.keys() >= {int(layout.results[slice_]) for slice_ in self._kept}:
            raise next(iter(self.refused.values()))
        if not self._seen and known is None:
            raise next(iter(self.refused.values()), InputError("nothing was measured near the slices to be restored"))
        if not self._seen:  # the prior goes on from what is known: as if a slice were seen of which all is hidden
            self._seen.append((MeasuredSlice(job.slices[0], {window.new[0]: 1.0}), self._blank))
        self._need(held, with_samples=with_samples).check()
        steps = math.ceil(job.draws / self.batch)
        self.progress.total = len(self._groups) + settings.steps + steps

    def _observed(self, one: MeasuredSlice) -> Problem:
        given, anchor = one.given, self.anchor
        image, corruption = image_and_corruption(given)
        found = observe(
            image, corruption, self.prior, spacing=given.spacing,
            noise_sigma=anchor.noise_sigma if given.noise_sigma is None else given.noise_sigma, pose=False,
            alignment=anchor.alignment, field=self.settings.residual_field, check=self.progress.check,
        )  # fmt: skip
        if not found.likelihood.linear or found.placed.given.grid.fine != anchor.problem.placed.given.grid.fine:
            raise InputError("slices of a stack must have the same pixels, and have been seen in a linear way")
        return replace(found, placed=replace(found.placed, fitted=anchor.problem.placed.fitted))

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Numbers of the measured slices of which the same pixels were measured, group by group."""
        groups: dict[bytes, list[int]] = {}
        for j, (_, problem) in enumerate(self._seen):
            seen = np.packbits(problem.placed.given.seen).tobytes()
            groups.setdefault(seen, []).append(j)
        return list(groups.values())

    def finish(self) -> tuple[dict[int, Restoration], Callable[[Sequence[int]], Known]]:
        """Restore: by number of the restoration; and what gives a later window the slices that it goes on from."""
        with torch.no_grad():
            likelihood, profile = self._likelihood()
            stack = self._joint(profile)
        device = self.prior.latents.mean.device
        places = torch.from_numpy(self.layout.places[list(self.window.slices)])
        through, residual = self.prior.parts.through, self.prior.parts.residual
        assert through is not None and residual is not None
        count = len(self.window.known)
        field = StackField(residual, through.of_residual(places).to(device), count)
        images = StackImages(self.prior, self.settings, self._drawn_by_network())
        with torch.no_grad():
            images.at(stack.mean[None])
        eta = self._maximum(stack, images, likelihood)
        with torch.no_grad():
            best = stack.latents(eta)
            images.at(best)
            noise = max(self.anchor.problem.noise.measured, _NOISE)
            whole, added = self._completed(images, field, likelihood, best, noise, None)
            drawn = None
            if self.job.draws:
                latents = stack.sample(
                    self.job.draws, self.generator, None if self.known is None else self.known.drawn_latents
                )
                latents[:, count:] += (best - stack.mean)[:, count:]
                drawn = (latents, *self._completed(images, field, likelihood, latents, noise, self.generator))
            return self._results(best, whole, added, drawn)

    # the parts of it

    @property
    def _kept(self) -> list[int]:
        """Slices of the stack whose restorations the window gives."""
        return [slice_ for slice_ in self.window.kept if self.layout.results[slice_] >= 0]

    def _problem(self, slice_: int) -> Problem:
        """That of a slice of the stack, which may not have been measured."""
        if self._thick:
            return self._blank
        return next((problem for one, problem in self._seen if slice_ in one.holds), self._blank)

    @property
    def _thick(self) -> bool:
        """Whether what was measured are sums of the slices that are restored."""
        return self.job.stack is not None and bool(self.job.stack.thin)

    def _need(self, held: int, *, with_samples: bool) -> Need:
        """Memory that the window takes: images of all its slices for every draw, and what is made of them."""
        stack = 4 * len(self.window.slices) * self.prior.resolution**2
        count, device = len(self._drawn_by_network()), self.prior.latents.mean.device
        network = 0
        if device.type == "cpu":
            together = min(count, images_at_once(self.prior.resolution, device, gradient=True))
            network = bytes_of_images(together, self.prior.resolution, gradient=True)
        network += _COPIES * stack * self.job.draws
        problems = [self._problem(slice_) for slice_ in self._kept]
        shape = self.anchor.problem.shape
        drawn = max((int(np.count_nonzero(problem.free)) for problem in problems), default=0)
        if self._thick:
            network += 4 * len(self.window.slices) * math.prod(shape) * (self.job.draws + 1)
        return Need(shape, drawn, self.job.draws, network, max(held, len(problems)), with_samples)

    def _preview(self, number: int, images: Tensor) -> npt.NDArray[np.float32] | None:
        """What the generator's images (1, n, R, R) look like on the slice that steps tell of, now and then."""
        if (number - 1) % self.settings.preview_every and number != self.progress.total:
            return None
        kept = self._kept
        slice_ = kept[min(number * len(kept) // max(self.progress.total, 1), len(kept) - 1)]
        problem, i = self._problem(slice_), self._at[slice_]
        with torch.no_grad():
            finished_ = problem.finish(images[:, i : i + 1], False, self.progress.check)[0]
        return problem.whole(finished_).astype(np.float32)

    def _likelihood(self) -> tuple[Likelihood, Tensor | None]:
        device = self.prior.latents.mean.device
        profile: Tensor | None = torch.zeros(len(self._seen), len(self.window.slices), device=device)
        assert profile is not None
        for j, (one, _) in enumerate(self._seen):
            for slice_, share in one.holds.items():
                profile[j, self._at[slice_]] = share
        each = [problem.likelihood for _, problem in self._seen]
        seen = []
        for likelihood, (_, problem) in zip(each, self._seen, strict=True):
            observation = likelihood.observation
            assert isinstance(observation, Observation)
            # which pixels are hidden, an observation says anyway
            seen.append(replace(observation, corruption=Identity()) if problem.measured.any() else observation)
        same = len(profile) == profile.shape[1] and torch.equal(profile, torch.eye(len(profile), device=device))
        profile = None if same else profile
        y = torch.cat([one.y for one in each], dim=1)
        return Likelihood(StackObservation(tuple(seen), profile), y), profile

    def _joint(self, profile: Tensor | None) -> StackPosterior:
        """Under the generator's linear part."""
        line, through = self.prior.parts.line, self.prior.parts.through
        assert line is not None and through is not None
        model = line.whitened
        posteriors: list[GaussianPosterior | None] = [None] * len(self._seen)
        for group in self._groups:
            seen = [self._seen[j][1].likelihood for j in group]
            operator = GreyLevels(seen[0].observation)
            shift = operator.A(torch.ones_like(model.mean)[None])
            found = model.posteriors(
                torch.cat([one.y - shift for one in seen]), operator, self._variance, self.progress.check
            )
            for j, one in zip(group, found, strict=True):
                posteriors[j] = one
            self.progress.step("placing")
        places = torch.from_numpy(self.layout.places[list(self.window.slices)])
        device = self.prior.latents.mean.device
        return StackPosterior(
            [one for one in posteriors if one is not None], through.of_latents(places).to(device), profile,
            None if self.known is None else self.known.latents[0], self.progress.check,
        )  # fmt: skip

    @property
    def _variance(self) -> float:
        """Grey levels squared, of an observed pixel: its noise, and what stands for its residual field."""
        noise = self.anchor.problem.noise
        return noise.measured**2 + _SHARE * noise.representation**2

    def _drawn_by_network(self) -> list[int]:
        """Slices, by their places in the window: those that are restored."""
        k = len(self.window.known)
        return [i for i, slice_ in enumerate(self.window.slices) if i >= k and self.layout.results[slice_] >= 0]

    def _maximum(self, stack: StackPosterior, images: StackImages, likelihood: Likelihood) -> Tensor:
        """Eta (1, n - k, K)."""
        known = None if self.known is None else self.known.images
        settings = self.settings.but(optimiser="lbfgs", starts=1, coarse_to_fine=False)

        def drawn(u: Tensor) -> Tensor:
            return self._with_known(images, u, known)

        objective = StackObjective(stack, drawn, likelihood, 1 / self._variance, settings)
        found = maximise(objective, self.generator, self.progress).v  # type: ignore[arg-type]
        self.progress.skip(len(self._groups) + self.settings.steps)
        return found

    @staticmethod
    def _with_known(images: StackImages, u: Tensor, known: Tensor | None) -> Tensor:
        """Images (B, n, R, R) of latents; of known slices their completed ones."""
        found = images(u)
        if known is None:
            return found
        return torch.cat([known.expand(len(u), -1, -1, -1), found[:, known.shape[1] :]], dim=1)

    def _completed(
        self, images: StackImages, field: StackField, likelihood: Likelihood, latents: Tensor, noise: float,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Images (B, n, R, R) in [-1, 1] with their residual fields, and these in grey levels, for each latents."""
        known, k = self.known, len(self.window.known)
        pictures = []
        for part in torch.split(latents, max(self.batch // max(len(images.network), 1), 1)):
            pictures.append(images(part))
            self.progress.check()
        drawn = torch.cat(pictures)
        if known is not None:
            field_known, image_known = (
                (known.field, known.images) if generator is None else (known.drawn_field, known.drawn_images)
            )
            expected = field.expected(field_known)
            drawn = torch.cat([image_known, drawn[:, k:] + expected[:, k:] / 127.5], dim=1)
        if not self.settings.residual_field:
            return drawn, torch.zeros_like(drawn)
        each = max(_PIXELS // max(likelihood.entries, drawn[0].numel()), 1)
        done = complete(drawn, field, likelihood, noise, generator, each, self.progress.check)
        added = to_grey(done) - to_grey(torch.cat(pictures))
        if known is not None:
            added[:, :k] = field_known
        return done, added

    def _results(
        self, best: Tensor, whole: Tensor, added: Tensor, drawn: tuple[Tensor, Tensor, Tensor] | None
    ) -> tuple[dict[int, Restoration], Callable[[Sequence[int]], Known]]:
        """The restorations of the slices that are kept, one by one."""
        shown = from_grey(to_grey(whole) - added)
        native: tuple[Tensor, Tensor] | None = None
        if self._thick:
            native = self._native(whole, drawn)
        found: dict[int, Restoration] = {}
        steps = max(math.ceil(self.job.draws / self.batch), 1)
        kept = self._kept
        for done, slice_ in enumerate(kept):
            number, i = int(self.layout.results[slice_]), self._at[slice_]
            if number in self.refused:
                continue
            problem = self._problem(slice_)
            draws = None
            if native is None:
                field, exact = self.prior.parts.residual, self.settings.data_consistency
                estimate = finished(problem, field, whole[:, i : i + 1], exact, self.progress)
                if drawn is not None:
                    pictures = drawn[1][:, i : i + 1]
                    draws = on_grid(
                        problem, pictures, field, exact, self.generator, self.progress, len(pictures)
                    )  # fmt: skip
            else:
                estimate = self._units(native[0][:, i])[0]
                if drawn is not None:
                    draws = Draws(problem, self._units(native[1][:, i]), self.progress.check)
            misfit = math.nan
            if problem.placed.given.seen.any():
                misfit = misfit_of(problem.likelihood, shown[:, i : i + 1], self.prior.resolution, problem.pixel)
            found[number] = assembled(
                problem, self.prior, self.settings, self.job, draws=draws, estimate=problem.whole(estimate),
                latents=self._w(best[0, i]), scale=_SCALE, misfit=misfit,
                device=self.attempt.device, notes=self.notes, trace=self.progress.trace,
                began=self.began, stack=self._record(slice_),
            )  # fmt: skip
            if done * steps // len(kept) != (done + 1) * steps // len(kept):
                self.progress.step("samples")

        def known(slices: Sequence[int]) -> Known:
            at = [self._at[slice_] for slice_ in slices]
            assert drawn is not None or not self.job.draws
            latents, images_, fields = drawn or (best[:0], whole[:0], added[:0])
            on_grid = None if native is None else (native[0][:, at], native[1][:, at])
            return Known(
                best[:, at], added[:, at], whole[:, at], latents[:, at], fields[:, at], images_[:, at], on_grid
            )

        return found, known

    def _native(self, whole: Tensor, drawn: tuple[Tensor, Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """The window's slices on the scan's grid, grey levels, agreeing with the thick slices; one draw at a time."""
        frame, through = self.anchor.problem.placed.frame, self.prior.parts.through
        assert through is not None
        places = torch.from_numpy(self.layout.places[list(self.window.slices)])
        between = through.of_residual(places).mean(dim=0)
        sets = [whole, whole[:0] if drawn is None else drawn[1]]
        found = []
        for which, images in enumerate(sets):
            out = torch.zeros(len(images), images.shape[1], *frame.shape)
            for b, image in enumerate(images):
                self.progress.check()
                x = frame.A(to_grey(image[None])).clamp(min=0)
                if self.settings.data_consistency:
                    before = None
                    if self.known is not None and self.known.native is not None:
                        before = self.known.native[which][b : b + 1].to(x)
                    x = consistent(x, self._seen, self._at, between, before, self.progress.check)
                out[b] = x[0].cpu()
            found.append(out)
        return found[0], found[1]

    def _units(self, grey: Tensor) -> Any:
        """(B, H W) values in the scan's units of grey levels (B, H, W)."""
        values = self.anchor.problem.window.from_grey(grey.flatten(1).double().numpy())
        return np.asarray(values, np.float32)

    def _w(self, u: Tensor) -> Tensor:
        return self.prior.latents.colour(u)[None].expand(self.prior.num_ws, -1)

    def _record(self, slice_: int) -> dict[str, Any]:
        """What a restoration says of its neighbours."""
        places, at = self.layout.places, self.layout.places[slice_]
        hidden = {s for s in self.window.slices if self.layout.results[s] >= 0}
        clear = [abs(places[s] - at) for s in self.window.slices if s not in hidden]
        return {
            "place_mm": round(float(at), 4),
            "neighbours_mm": [round(float(places[s] - at), 4) for s in self.window.slices if s != slice_],
            "nearest_measured_mm": round(float(min(clear)), 4) if clear else None,
        }
