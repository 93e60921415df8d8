"""The prior must be the one for the scan's anatomy and pixels, and the reason must be the one that decided."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_brgm.plugin.matching import best_prior, modality_of
from napari_brgm.plugin.prior_panel import UNTRAINED
from napari_brgm.zoo.entry import Kind, PriorEntry
from napari_brgm.zoo.registry import registered


def entry(name: str, modality: str = "MR T1", plane: str = "axial", resolution: int = 128) -> PriorEntry:
    return PriorEntry(name, Kind.shipped, modality=modality, plane=plane, resolution=resolution)


def table(*entries: PriorEntry) -> dict[str, PriorEntry]:
    return {one.name: one for one in entries}


@pytest.mark.parametrize(
    ("modality", "plane", "spacing", "prior", "part"),
    [
        ("MR", "axial", (1.0, 1.0), "brain-axial-256", "pixels are 1 mm"),
        ("MR", "axial", (0.5, 2.0), "brain-axial-128", "pixels are 2 mm"),
        ("MR", "axial", None, "brain-axial-128", "the scan is MR, its slice axial"),
        ("MR", "sagittal", (4.0, 4.0), "brain-axial-128", "no prior knows sagittal slices"),
        ("", "axial", (4.0, 4.0), "brain-axial-128", "the file names no modality, MR T1 is assumed"),
        ("CR", "coronal", None, "chest-xray-256", "the scan is CR, its slice coronal"),
        ("DX", "coronal", (0.14, 0.14), "chest-xray-256", "the scan is DX"),
    ],
)
def test_among_the_shipped_priors(modality, plane, spacing, prior: str, part: str) -> None:
    """Catches a prior of another anatomy, and a latent convolutional model for want of a pixel size."""
    match = best_prior(registered(), modality, plane, spacing)
    assert match is not None and match.prior == prior
    assert part in match.reason


def test_the_pixel_size_is_a_reason_only_where_it_decides() -> None:
    match = best_prior(table(entry("only-128")), "MR", "axial", (1.0, 1.0))
    assert match == ("only-128", "the scan is MR, its slice axial")


def test_a_trained_prior_of_the_wrong_size_before_a_latent_convolutional_one() -> None:
    match = best_prior(table(entry("head-lcm-128"), entry("head-256", resolution=256)), "MR", "axial", (2.0, 2.0))
    assert match is not None and match.prior == "head-256" and "mm" not in match.reason


def test_no_prior_knows_the_modality() -> None:
    priors = table(entry("head"), entry("chest", "CR", "frontal"), PriorEntry("unknown", Kind.installed))
    match = best_prior(priors, "CT", "axial", None)
    assert match is not None and match.prior == "head" and "no prior knows CT" in match.reason
    match = best_prior(priors, "CT", "axial", None, untrained=True)
    assert match == (UNTRAINED, "no prior knows CT (those here know CR, MR T1)")


def test_nothing_is_known_of_the_priors() -> None:
    assert best_prior({}, "MR", "axial", None) is None
    assert best_prior(table(PriorEntry("unknown", Kind.installed)), "MR", "axial", None) is None


@pytest.mark.parametrize(
    ("metadata", "modality"), [({}, ""), ({"scan": {"modality": "CT"}}, "CT"), ({"scan": {"modality": None}}, ""),
    ({"scan": "a string of another plugin's"}, "")],
)  # fmt: skip
def test_modality_of_any_layer(metadata: dict, modality: str) -> None:
    assert modality_of(Image(np.zeros((2, 2)), metadata=metadata)) == modality
