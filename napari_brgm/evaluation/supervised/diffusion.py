"""DiffusionSampler: DiffPIR, a diffusion sampler that puts a denoiser between steps towards what was measured.

    x0 = D(x_t),   x0 <- prox of |A x - y|^2 at x0,   x_(t-1) from x0, the noise that x_t then has, and fresh noise

The sampler is deepinv's, the denoiser is trained on the training slices (denoise.py). Its trust in the data and its
share of fresh noise are the best of twelve pairs on four training slices, for holes and for super-resolution alike.
Mean and standard deviation are those of a few draws.

Source: Zhu et al., "Denoising diffusion models for plug-and-play image restoration", CVPR Workshops 2023, Alg. 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_brgm.errors import InputError
from napari_brgm.evaluation.method import MethodFamily, Restored
from napari_brgm.evaluation.supervised.denoise import denoised
from napari_brgm.evaluation.supervised.role import DENOISER
from napari_brgm.evaluation.supervised.weights import read_card, read_net
from napari_brgm.zoo.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.supervised.net import RestoringNet
    from napari_brgm.evaluation.tasks import Task

__all__ = ["DiffusionSampler"]

_DRAWS, _STEPS = 8, 100
_NOISE = 0.01  # of the data, which are exact: a grey level or two
_TRUST, _FRESH = 2.0, 1.0  # lambda, zeta


class DiffusionSampler:
    """DiffPIR with a trained denoiser.

    Parameters
    ----------
    path : Path
        Of the denoiser.
    set_name : str
        That is restored; the denoiser was trained on its training slices.

    Raises
    ------
    InputError
        The denoiser is of another set, or deepinv is not installed.
    WeightsError
        The file is no denoiser's, or damaged; a damaged network is told by ``prepare``.
    """

    family: MethodFamily = "generative"
    name = "diffpir"

    def __init__(self, path: Path, set_name: str) -> None:
        try:
            import deepinv  # noqa: F401
        except ImportError as error:
            raise InputError("diffpir needs deepinv; install napari-brgm[evaluation]") from error
        self.path, self.card = path, read_card(path)
        if (self.card.name, self.card.set_name) != (DENOISER, set_name):
            raise InputError(
                f"{path.name} is {self.card.name} of {self.card.set_name}; a {DENOISER} of {set_name} is needed"
            )
        self._net: RestoringNet | None = None

    @property
    def title(self) -> str:
        return f"diffusion sampler (DiffPIR), mean of {_DRAWS} draws, denoiser of {self.card.seconds / 3600:.1f} h"

    def fingerprint(self) -> dict[str, Any]:
        return {
            "weights": sha256_of(self.path), "draws": _DRAWS, "steps": _STEPS, "noise": _NOISE, "lambda": _TRUST,
            "zeta": _FRESH,
        }  # fmt: skip

    def solves(self, task: Task) -> bool:
        return task.kind in ("hole", "low-res") and task.size == self.card.size

    def prepare(self) -> None:
        if self._net is None:
            self._net, _ = read_net(self.path)

    def restore(self, observed: npt.NDArray[np.floating], task: Task, seed: int) -> Restored:
        """Draw restorations of one observation (h, w)."""
        from deepinv.optim.data_fidelity import L2
        from deepinv.sampling import DiffPIR

        self.prepare()
        assert self._net is not None
        y = torch.from_numpy(np.asarray(observed, np.float32) / np.float32(255))[None, None].repeat(_DRAWS, 1, 1, 1)
        seen = _Observed(task)
        sampler = DiffPIR(_Denoiser(self._net), L2(), sigma=_NOISE, max_iter=_STEPS, zeta=_FRESH, lambda_=_TRUST)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            draws = sampler(y, seen.physics(), x_init=self._net.mean.expand(_DRAWS, -1, -1, -1))
            draws = draws - task.factor**2 * seen.adjoint(task.apply(draws) - y)  # the last step is the denoiser's
        images = (255 * draws[:, 0]).clamp(0, 255).numpy()
        return Restored(images.mean(axis=0), images.std(axis=0, ddof=1), others={"sample": images[0]})


class _Denoiser(nn.Module):
    """As deepinv calls it: images in [0, 1], one strength."""

    def __init__(self, net: RestoringNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, sigma: Tensor, **_: Any) -> Tensor:
        return denoised(self.net, x, torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1, 1, 1))


class _Observed:
    """A of a task, of which A A' is 1 in measured pixels, or 1 / f^2."""

    def __init__(self, task: Task) -> None:
        self.task, self.factor = task, task.factor

    def adjoint(self, y: Tensor) -> Tensor:
        """A' y."""
        f = self.factor
        if self.task.missing is not None:
            return self.task.apply(y)
        return y.repeat_interleave(f, dim=-2).repeat_interleave(f, dim=-1) / f**2

    def prox(self, z: Tensor, y: Tensor, gamma: Tensor) -> Tensor:
        """The x of least gamma / 2 |A x - y|^2 + 1 / 2 |x - z|^2."""
        return z - self.adjoint(self.task.apply(z) - y) * gamma / (1 + gamma / self.factor**2)

    def physics(self) -> Any:
        """The same as deepinv takes it."""
        from deepinv.physics import LinearPhysics

        of = self

        class Physics(LinearPhysics):  # type: ignore[misc]
            def prox_l2(self, z: Tensor, y: Tensor, gamma: Tensor, **_: Any) -> Tensor:
                return of.prox(z, y, gamma)

        return Physics(A=lambda x, **_: of.task.apply(x), A_adjoint=lambda y, **_: of.adjoint(y))
