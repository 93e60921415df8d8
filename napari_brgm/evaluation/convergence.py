"""Whether Markov chains agree, and how many independent draws they are worth.

    R-hat = sqrt(var+ / W),   var+ = (N - 1) / N W + B / N         chains cut in halves, so that drift shows too
    ESS   = M N / (1 + 2 sum_t rho_t),   rho_t = 1 - (W - mean_m s_m^2 rho_{t,m}) / var+

The sum ends by Geyer's initial monotone positive sequence. Rank-normalised: the same of normal scores of the ranks, and
of the distances from the median, whichever is worse: heavy tails and chains of unequal spread are then found as well.

Source: Vehtari, Gelman, Simpson, Carpenter and Buerkner, "Rank-normalization, folding, and localization: an improved
R-hat" (Bayesian Analysis 16, 2021; arXiv 1903.08008), Sec. 3 and 4; Gelman et al., "Bayesian Data Analysis", 3rd ed.,
Sec. 11.4 and 11.5.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["effective_size", "rank_scores", "split_rhat"]


def split_rhat(draws: Tensor, *, ranked: bool = False) -> Tensor:
    """R-hat (...) of chains (M, N, ...); 1 where they agree, above 1.01 doubtful. ``ranked``: rank-normalised."""
    if ranked:
        folded = (draws - draws.flatten(0, 1).median(dim=0).values).abs()
        return torch.maximum(split_rhat(rank_scores(draws)), split_rhat(rank_scores(folded)))
    halves = _halves(draws)
    within, total = _variances(halves)
    found: Tensor = (total / within.clamp(min=1e-300)).sqrt()
    return found


def effective_size(draws: Tensor, *, ranked: bool = False) -> Tensor:
    """Number of independent draws (...) with the same error of the mean as chains (M, N, ...)."""
    halves = _halves(rank_scores(draws) if ranked else draws)
    m, n = halves.shape[:2]
    within, total = _variances(halves)
    centred = halves - halves.mean(dim=1, keepdim=True)
    spectrum = torch.fft.rfft(centred, n=2 * n, dim=1)
    products = torch.fft.irfft(spectrum.abs().square(), n=2 * n, dim=1)[:, :n] / n  # (M, N, ...), biased, as in BDA3
    covariance = products.mean(dim=0) * (n / (n - 1))
    rho = 1 - (within - covariance) / total.clamp(min=1e-300)  # (N, ...)
    rho[0] = 1
    pairs = rho[: n // 2 * 2].unflatten(0, (n // 2, 2)).sum(dim=1)  # Geyer: sums of two neighbours are positive ...
    positive = (pairs > 0).int().cumprod(dim=0)
    pairs = torch.cummin(pairs, dim=0).values * positive  # ... and fall
    time = (2 * pairs.sum(dim=0) - 1).clamp(min=1 / torch.log10(torch.tensor(float(m * n))))
    size: Tensor = m * n / time
    return size


def rank_scores(draws: Tensor) -> Tensor:
    """Normal scores of the ranks (M, N, ...) among all draws of all chains (Vehtari et al., Eq. 14)."""
    flat = draws.double().flatten(0, 1)
    ranks = flat.argsort(dim=0).argsort(dim=0) + 1.0
    scores: Tensor = torch.special.ndtri((ranks - 0.375) / (len(flat) + 0.25))
    return scores.reshape(draws.shape)


def _halves(draws: Tensor) -> Tensor:
    """(2 M, N / 2, ...) float64: first and second half of each chain."""
    half = draws.shape[1] // 2
    return torch.cat([draws[:, :half], draws[:, -half:]]).double()


def _variances(chains: Tensor) -> tuple[Tensor, Tensor]:
    """W, the mean variance within chains (M, N, ...), and var+, the estimate that overestimates before they agree."""
    n = chains.shape[1]
    within = chains.var(dim=1).mean(dim=0)
    return within, (n - 1) / n * within + chains.mean(dim=1).var(dim=0)
