"""Stacked: the slices of one window, restored together.

    observed each -> posterior of each alone -> joint posterior -> MAP of the stack -> draws of the stack -> one by one

    p(u_1 .. u_n | y_1 .. y_m)      linear part and residual field exact, correlated along the normal (through_plane.py)
    x_i = G(u_i) + e_i

The residual field of a slice stands as white noise where the latents are found, and is kriged through the stack given
these. As noise it has less of its variance than where a slice is by itself, as neighbours tell it from the latents.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.engine.course import Course
from napari_brgm.engine.draws import least_noise
from napari_brgm.engine.need import Need
from napari_brgm.engine.stack_found import StackFound
from napari_brgm.engine.stack_results import StackResults
from napari_brgm.engine.stack_seen import StackSeen
from napari_brgm.inference import Completion, Progress, maximise
from napari_brgm.inference.stack import StackPosterior
from napari_brgm.inference.stack_objective import StackImages, StackObjective
from napari_brgm.likelihood import GreyLevels, Likelihood, to_grey
from napari_brgm.posterior import bytes_of_images, images_at_once
from napari_brgm.priors.stack_field import StackField

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.engine.anchor import Anchor
    from napari_brgm.engine.devices import Attempt
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.known import Known
    from napari_brgm.engine.layout import Layout
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.engine.windows import StackPart
    from napari_brgm.inference import Step
    from napari_brgm.inference.cutout import Cutout
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["StackedRestoring"]

_COPIES = 4  # of the images of all draws: drawn, completed, their fields, and in work
_OF_LATENTS, _OF_FREQUENCIES = 48, 40  # bytes of a number of such matrices, with those on the way to it
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
    near : sequence of Cutout
        Where the residual field is told; none: everywhere.
    number : int
        Of the window, for its random numbers.
    tell : callable
        Gets the window's steps, and how much of the window is done with each, 0 .. 1.
    held : int
        Results that memory will hold at the end, the window's among them.
    with_samples : bool
        Whether with their samples.

    Attributes
    ----------
    seen : StackSeen
        What was measured, and which slices cannot be restored.
    """

    def __init__(
        self, layout: Layout, window: StackPart, job: Job, prior: Prior, settings: InferenceSettings, attempt: Attempt,
        anchor: Anchor, known: Known | None, near: Sequence[Cutout], number: int, tell: Callable[[Step, float], object],
        *, held: int = 1, with_samples: bool = True,
    ) -> None:  # fmt: skip
        self.began = time.perf_counter()
        self.window, self.job, self.prior, self.settings = window, job, prior, settings
        self.attempt, self.anchor, self.known, self.near = attempt, anchor, known, near
        self.generator = torch.Generator().manual_seed(int(job.seed) + number)
        self.progress = Progress(self._told, preview=self._preview)
        self.batch = min(attempt.batch, images_at_once(prior.resolution, prior.latents.mean.device))
        drawn = int(np.count_nonzero(layout.results[list(window.new)] >= 0))
        self.course, self._tell, self._groups = Course(len(window.new), drawn, settings.steps, job.draws), tell, 0
        self.seen = StackSeen(layout, window, job, prior, settings, anchor, self._asked)
        self._groups = len(self.seen.groups)
        self.course.count_masks(self._groups)
        self._need(held, with_samples=with_samples).check()
        self._found = len(self.seen.groups) + settings.steps  # number of the last step of MAP
        self.progress.total = self._found + max(job.draws, 1)

    def finish(self) -> tuple[dict[int, Restoration], Callable[[Sequence[int]], Known]]:
        """Restore: by number of the restoration; and what gives a later window the slices that it goes on from."""
        with torch.no_grad():
            profile = self.seen.profile()
            likelihood = self.seen.likelihood(profile)
            stack = self._joint(profile)
        device = self.prior.latents.mean.device
        places = torch.from_numpy(self.seen.places)
        through, residual = self.prior.parts.through, self.prior.parts.residual
        assert through is not None and residual is not None
        count = len(self.window.known)
        field = StackField(residual, through.of_residual(places).to(device), count)
        images = StackImages(self.prior, self.settings, self._drawn_by_network())
        with torch.no_grad():
            images.at(stack.mean[None])
        eta = self._maximum(stack, images, likelihood)
        with torch.no_grad():
            self.course.begin("best")
            best = stack.latents(eta)
            images.at(best)
            self._completion = Completion(field, likelihood, self._noise(), self.near, self._asked)
            whole, added = self._completed(images, field, likelihood, best, None)
            drawn = None
            if self.job.draws:
                self.course.begin("latents")
                latents = stack.sample(
                    self.job.draws, self.generator, None if self.known is None else self.known.drawn_latents
                )
                latents[:, count:] += (best - stack.mean)[:, count:]
                drawn = StackFound(latents, *self._completed(images, field, likelihood, latents, self.generator))
            results = StackResults(
                self.seen, self.prior, settings=self.settings, known=self.known, device=self.attempt.device,
                notes=[*self.attempt.notes, *self.seen.notes], generator=self.generator, progress=self.progress,
                began=self.began,
            )  # fmt: skip
            self.course.begin("results")
            made = results.made(StackFound(best, whole, added), drawn, self.course.reach)
            self.progress.skip(self.progress.total - 1)
            self.progress.step("samples")
            return made

    def _told(self, step: Step) -> None:
        if step.phase == "map":  # told again in the stages that follow
            self.course.begin("map")
            self.course.reach((step.iteration - self._groups) / self.settings.steps, stage="map")
            if self.course.drawn:
                done = self._found + int(self.course.drawn * (step.total - self._found))
                step = replace(step, phase="samples", iteration=done, loss=math.nan)
        self._tell(step, 1.0 if step.iteration >= step.total else self.course.share)

    def _asked(self) -> None:
        """Called now and then in long work; what it raises ends the work."""
        self.course.ask()
        self.progress.check()

    def _need(self, held: int, *, with_samples: bool) -> Need:
        """Memory that the window takes: images of all its slices for every draw, and what is made of them."""
        stack = 4 * len(self.window.slices) * self.prior.resolution**2
        count, device = len(self._drawn_by_network()), self.prior.latents.mean.device
        network = 0
        if device.type == "cpu":
            together = min(count, images_at_once(self.prior.resolution, device, gradient=True))
            network = bytes_of_images(together, self.prior.resolution, gradient=True)
        network += _COPIES * stack * self.job.draws + self._matrices()
        problems = [self.seen.problem(slice_) for slice_ in self.seen.kept]
        shape = self.anchor.problem.shape
        drawn = max((int(np.count_nonzero(problem.free)) for problem in problems), default=0)
        if self.seen.thick:
            network += 2 * 4 * len(self.window.slices) * math.prod(shape) * (self.job.draws + 1)
        return Need(shape, drawn, self.job.draws, network, max(held, len(problems)), with_samples)

    def _matrices(self) -> int:
        """Bytes of the correlations of each slice with each: of every latent, and of every frequency of the field."""
        residual = self.prior.parts.residual
        assert residual is not None
        latents = _OF_LATENTS * self.prior.latents.mean.numel()
        return len(self.window.slices) ** 2 * (latents + _OF_FREQUENCIES * residual.spectrum.numel())

    def _preview(self, number: int, images: Tensor) -> Sequence[npt.NDArray[np.float32]]:
        """What the generator's images (1, n, R, R) look like on each slice that is restored, now and then."""
        since = number - 1 - self._groups  # from the first that has images: those before it place slices
        if since % self.settings.preview_every and number != self.progress.total:
            return ()
        shown = []
        for slice_ in self.seen.kept:
            problem, i = self.seen.problem(slice_), self.seen.at[slice_]
            with torch.no_grad():
                finished_ = problem.finish(images[:, i : i + 1], False, self.progress.check)[0]
            shown.append(problem.whole(finished_).astype(np.float32))
        return shown

    def _joint(self, profile: Tensor | None) -> StackPosterior:
        """Under the generator's linear part."""
        line, through = self.prior.parts.line, self.prior.parts.through
        assert line is not None and through is not None
        model = line.whitened
        posteriors: list[GaussianPosterior | None] = [None] * len(self.seen.each)
        for group in self.seen.groups:
            seen = [self.seen.each[j][1].likelihood for j in group]
            operator = GreyLevels(seen[0].observation)
            shift = operator.A(torch.ones_like(model.mean)[None])
            found = model.posteriors(torch.cat([one.y - shift for one in seen]), operator, self._variance, self._asked)
            for j, one in zip(group, found, strict=True):
                posteriors[j] = one
            self.progress.step("placing")
        places = torch.from_numpy(self.seen.places)
        device = self.prior.latents.mean.device
        return StackPosterior(
            [one for one in posteriors if one is not None], through.of_latents(places).to(device), profile,
            None if self.known is None else self.known.latents[0], self._asked,
        )  # fmt: skip

    @property
    def _variance(self) -> float:
        """Grey levels squared, of an observed pixel: its noise, and what stands for its residual field."""
        noise = self.anchor.problem.noise
        return noise.measured**2 + self.seen.share * noise.representation**2

    def _noise(self) -> float | Tensor:
        """Of what was observed given the residual fields, grey levels; (1, m, h, w) where second scans have theirs."""
        if all(problem.sigma is None for _, problem in self.seen.each):
            return least_noise(self.anchor.problem)
        each = [torch.as_tensor(least_noise(problem)) for _, problem in self.seen.each]
        shape = self.seen.each[0][1].likelihood.y.shape
        return torch.cat([one.expand(shape) for one in each], dim=1)

    def _drawn_by_network(self) -> list[int]:
        """Slices, by their places in the window: those that are restored."""
        k = len(self.window.known)
        return [i for i, slice_ in enumerate(self.window.slices) if i >= k and self.seen.layout.results[slice_] >= 0]

    def _maximum(self, stack: StackPosterior, images: StackImages, likelihood: Likelihood) -> Tensor:
        """Eta (1, n - k, K)."""
        known = None if self.known is None else self.known.images
        settings = self.settings.but(optimiser="lbfgs", starts=1, coarse_to_fine=False)

        def drawn(u: Tensor) -> Tensor:
            return self._with_known(images, u, known)

        objective = StackObjective(stack, drawn, likelihood, 1 / self._variance, settings)
        found = maximise(objective, self.generator, self.progress).v  # type: ignore[arg-type]
        self.progress.skip(self._found)
        return found

    @staticmethod
    def _with_known(images: StackImages, u: Tensor, known: Tensor | None) -> Tensor:
        """Images (B, n, R, R) of latents; of known slices their completed ones."""
        found = images(u)
        if known is None:
            return found
        return torch.cat([known.expand(len(u), -1, -1, -1), found[:, known.shape[1] :]], dim=1)

    def _completed(
        self, images: StackImages, field: StackField, likelihood: Likelihood, latents: Tensor,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Images (B, n, R, R) in [-1, 1] with their residual fields, and these in grey levels, for each latents."""
        known, k = self.known, len(self.window.known)
        pictures = []
        if generator is not None:
            self.course.begin("images")
        parts = torch.split(latents, max(self.batch // max(len(images.network), 1), 1))
        for part in parts:
            pictures.append(images(part))
            if generator is not None:
                self.course.reach(len(pictures) / len(parts))
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
        if generator is not None:
            self.course.begin("fields", batches=math.ceil(len(drawn) / each))
        done = self._completion.of(drawn, generator, each)
        added = to_grey(done) - to_grey(torch.cat(pictures))
        if known is not None:
            added[:, :k] = field_known
        return done, added
