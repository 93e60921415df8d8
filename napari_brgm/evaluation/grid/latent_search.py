"""Other people's ways to look for a latent, as settings of ``restore``: LCM's rivals, and the untrained network.

    one latent       min |y - A G(w)|^2 over one w for all layers, from the mean w, held by nothing: "a progressive
                     GAN's latent" of LCM Fig. 10
    penalised z      the same under a penalty of the norm of z, or of w whitened where there is no mapping network:
                     "WGAN-GP with a norm penalty" of LCM Fig. 10; its weight is chosen on training slices
    deep image prior an untrained network, stopped early (priors/deep_image.py)

All are without the straight line that our prior starts from and without its residual field. Latents are found by Adam.

Sources: Athar, Burnaev and Lempitsky, "Latent Convolutional Models" (ICLR 2019, arXiv 1806.06284), Sec. 4; Ulyanov,
Vedaldi and Lempitsky, "Deep Image Prior" (CVPR 2018, arXiv 1711.10925).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.evaluation.grid.generative import GenerativeMethod
from napari_brgm.priors.deep_image import DeepImagePrior
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.priors.prior import Prior

__all__ = ["deep_image_method", "one_latent", "penalised_z"]

_PLAIN = InferenceSettings(
    name="plain", start="mean", optimiser="adam", learning_rate=0.1, steps=150, residual_field=False, fit_pose=False,
    data_consistency=False,
)  # fmt: skip
# of the squared norm, beside the misfit over the noise's variance; of 0, 0.1, 1 and 10 the best on two training slices:
# 41.7, 27.6, 23.4, 27.0 on mask 3, and 20.4, 18.5, 20.5 at x8 (0 not measured)
_PENALTY = 1.0


def one_latent(given: str | Path | Prior, device: str = "auto") -> GenerativeMethod:
    """One w for all layers, by least squares alone."""
    settings = _PLAIN.but(name="one-latent", lambda_w=0.0)
    return GenerativeMethod(
        "one-latent", "one latent, least squares", "generative", given, settings=settings, samples=0, device=device
    )


def penalised_z(given: str | Path | Prior, device: str = "auto") -> GenerativeMethod:
    """Latent z under a penalty of its norm."""
    settings = _PLAIN.but(name="penalised-z", latent_space="z", lambda_w=_PENALTY)
    return GenerativeMethod(
        "penalised-z", "z under a penalty of its norm", "generative", given, settings=settings, samples=0, device=device
    )


def deep_image_method(size: int, device: str = "auto") -> GenerativeMethod:
    """Deep image prior under its preset, of slices of ``size`` x ``size`` pixels."""
    return GenerativeMethod(
        "dip", "Deep Image Prior (untrained)", "training-free", DeepImagePrior(size), settings=preset("untrained"),
        samples=16, device=device,
    )  # fmt: skip
