"""The Gaussian round a MAP."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.inference import gaussian_at


@pytest.mark.parametrize("uneven", [False, True])
def test_without_preconditioning_it_is_the_precision_diagonal(linear_problem, uneven):
    """1 / sqrt(diag precision), by 24 random probes: catches a lost sigma or prior."""
    for sigma in (25.0, 100.0):
        exact = linear_problem("mask", sigma, uneven)
        v = exact.mean.float()[None, None]
        found = gaussian_at(exact.posterior, v, torch.Generator().manual_seed(0))
        assert torch.equal(found.mean, v[0])
        ratio = found.std[0].double() / exact.mean_field_std
        assert ratio.min() > 0.7 and ratio.max() < 1.4
        assert abs(ratio.log().mean()) < 0.12


@pytest.mark.parametrize("uneven", [False, True])
def test_preconditioned_it_is_the_exact_covariance(linear_problem, uneven):
    """Catches draws that lose the correlations of the linear posterior."""
    exact = linear_problem("mask", uneven=uneven, start="linear")
    posterior = exact.posterior
    found = gaussian_at(posterior, posterior.start(), torch.Generator().manual_seed(0))
    w = posterior.latents(found.sample(20_000, torch.Generator().manual_seed(1)))[:, 0]
    covariance = torch.linalg.inv(exact.precision)
    assert (torch.cov(w.T).double() - covariance).norm() < 0.05 * covariance.norm()
