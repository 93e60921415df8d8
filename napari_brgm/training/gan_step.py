"""One step of adversarial training: discriminator, R1 now and then, generator, path lengths now and then, averages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.training.adversarial import (
    average_weights,
    discriminator_loss,
    generator_loss,
    gradient_norm,
    r1,
)
from napari_brgm.training.augment import augment
from napari_brgm.training.synthesis import mixed_latents, noise_fields, synthesise

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.training.gan_settings import GanSettings
    from napari_brgm.training.gan_state import GanState
    from napari_brgm.training.slice_bank import SliceBank

__all__ = ["GanStep"]

_NORM_STEPS = 16  # gradient norms are measured every so many steps


class GanStep:
    """The two networks as functions, and a step that trains them.

    Parameters
    ----------
    state : GanState
        Changed in place.
    settings : GanSettings
    report : callable
        Gets a sentence where the networks cannot be compiled.
    """

    def __init__(self, state: GanState, settings: GanSettings, report: Callable[[str], None]) -> None:
        self.state, self.settings = state, settings
        auto = settings.precision == "auto" and state.device.type == "cuda"
        self.half_from = settings.half_from if auto or settings.precision == "bfloat16" else None
        self.draw, self.judge = self._plain_draw, self._plain_judge
        self.gamma = settings.gamma(state.generator.resolution)
        if settings.compiled:
            self._compile(report)

    def _plain_draw(self, ws: Tensor, fields: list[Tensor] | None) -> Tensor:
        return synthesise(self.state.generator.synthesis, ws, fields, self.half_from)

    def _plain_judge(self, images: Tensor) -> Tensor:
        logits: Tensor = self.state.discriminator(images, self.half_from)
        return logits

    def __call__(self, bank: SliceBank) -> None:
        """Show one batch of slices of ``bank``."""
        state, settings = self.state, self.settings
        measure = state.steps % _NORM_STEPS == 0
        self._discriminator(bank, measure)
        if state.steps % settings.r1_every == 0:
            self._r1(bank)
        state.discriminator.requires_grad_(False)
        self._generator(measure)
        state.discriminator.requires_grad_(True)
        if settings.path_steps and state.steps % settings.path_steps == 0:
            self._path()
        state.steps += 1
        state.shown += settings.batch
        average_weights(state.average, state.generator, settings.batch, state.shown, settings.ema_images)
        if settings.ada_most and state.steps % settings.ada_every == 0:
            state.strength.adjust()

    def _latents(self, n: int) -> tuple[Tensor, list[Tensor] | None]:
        """Ws (n, num_ws, D), and noise."""
        net, random = self.state.generator, self.state.random
        ws = mixed_latents(net.mapping, n, self.settings.mixing, random)
        return ws, noise_fields(net.synthesis, n, random) if self.settings.noise else None

    def _seen(self, images: Tensor) -> Tensor:
        """What the discriminator sees of images."""
        if not self.settings.ada_most:
            return images
        return augment(images, self.state.strength.p, self.settings.augment, self.state.random)

    def _discriminator(self, bank: SliceBank, measure: bool) -> None:
        state, n = self.state, self.settings.batch
        with torch.no_grad():
            fake = self.draw(*self._latents(n))
            both = self._seen(torch.cat([bank.draw(n, state.random), fake]))
        logits = self.judge(both)  # groups of the minibatch deviation do not mix the two halves
        real_logits, fake_logits = logits[:n], logits[n:]
        loss = discriminator_loss(real_logits, fake_logits)
        loss.backward()  # type: ignore[no-untyped-call]
        if measure:
            state.meter.add("gradient_discriminator", gradient_norm(state.discriminator.parameters()))
        state.adam_d.step()
        state.strength.observe(real_logits)
        state.meter.add("loss_discriminator", loss)
        state.meter.add("logit_real", real_logits.detach().mean())
        state.meter.add("logit_fake", fake_logits.detach().mean())

    def _r1(self, bank: SliceBank) -> None:
        state = self.state
        with torch.no_grad():
            images = self._seen(bank.draw(self.settings.batch, state.random))
        images.requires_grad_(True)
        penalty = r1(self._plain_judge(images), images).mean()
        (penalty * (self.gamma / 2 * self.settings.r1_every)).backward()  # type: ignore[no-untyped-call]
        state.adam_d.step()
        state.meter.add("r1", penalty)

    def _generator(self, measure: bool) -> None:
        state = self.state
        loss = generator_loss(self.judge(self._seen(self.draw(*self._latents(self.settings.batch)))))
        loss.backward()  # type: ignore[no-untyped-call]
        if measure:
            state.meter.add("gradient_generator", gradient_norm(state.generator.parameters()))
        state.adam_g.step()
        state.meter.add("loss_generator", loss)

    def _path(self) -> None:
        state, settings = self.state, self.settings
        ws, fields = self._latents(settings.path_batch)
        lengths = state.path.lengths(self._plain_draw(ws, fields), ws, state.random)
        penalty = state.path.penalty(lengths)
        (penalty * (settings.path_weight * settings.path_steps)).backward()  # type: ignore[no-untyped-call]
        state.adam_g.step()
        state.meter.add("path_penalty", penalty)
        state.meter.add("path_length", lengths.mean())

    def _compile(self, report: Callable[[str], None]) -> None:
        """Try the compiled networks once, forwards and backwards; keep them if they work.

        The regularisers stay with the plain ones: compiled functions have no second derivatives.
        """
        state, n = self.state, self.settings.batch
        net = state.generator
        ws = torch.zeros(n, net.num_ws, self.settings.latent, device=state.device)
        fields = None
        if self.settings.noise:
            fields = noise_fields(net.synthesis, n, torch.Generator(state.device).manual_seed(0))
        try:
            draw, judge = torch.compile(self._plain_draw), torch.compile(self._plain_judge)
            with torch.no_grad():
                fake = draw(ws, fields)
            judge(torch.cat([fake, fake])).mean().backward()  # type: ignore[no-untyped-call]
            state.discriminator.requires_grad_(False)
            judge(draw(ws.requires_grad_(True), fields)).mean().backward()  # type: ignore[no-untyped-call]
        except Exception as error:  # whatever the compiler stack raises, the plain networks do
            report(f"the networks could not be compiled ({type(error).__name__}) and run as they are, more slowly")
        else:
            self.draw, self.judge = draw, judge
        finally:
            state.discriminator.requires_grad_(True)
            for p in (*state.generator.parameters(), *state.discriminator.parameters()):
                p.grad = None
