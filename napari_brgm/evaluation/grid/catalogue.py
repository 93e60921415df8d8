"""The catalogue: every method of the grid by name, and what it is made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.errors import InputError
from napari_brgm.evaluation.grid.generative import GenerativeMethod
from napari_brgm.evaluation.grid.interpolation import INTERPOLATIONS
from napari_brgm.evaluation.grid.latent_search import deep_image_method, one_latent, penalised_z
from napari_brgm.evaluation.grid.linear import LinearMethod, MeanImage
from napari_brgm.evaluation.grid.painting import Biharmonic, OpenCvPainting, Scattered
from napari_brgm.evaluation.grid.pulse import Pulse
from napari_brgm.evaluation.grid.total_variation import TotalVariation
from napari_brgm.evaluation.grid.unscaled import Unscaled
from napari_brgm.evaluation.grid.whole_slice import WholeSlice
from napari_brgm.evaluation.supervised.diffusion import DiffusionSampler
from napari_brgm.evaluation.supervised.method import SupervisedNet
from napari_brgm.evaluation.supervised.role import DENOISER, ROLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.evaluation.held_out import HeldOutSet
    from napari_brgm.evaluation.method import MethodFamily, RestoringMethod
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings
    from napari_brgm.settings import Method as InferenceMethod

    Maker = Callable[["Setting"], RestoringMethod]

__all__ = ["METHODS", "RELEASED_ENTROPY", "UNSCALED", "Setting", "method_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What all methods of a run share; it can be sent to another process if ``prior`` is a name or a path.

    Attributes
    ----------
    held : HeldOutSet
    data, out : Path
        Of the archives, and of what is kept.
    prior : str, Path, Prior or None
        Ours; None: without our methods.
    count : int or None
        Images, evenly spaced; None: all.
    samples, seed : int
    device : str
    settings : InferenceSettings or None
        Of our own rows; None: those that suit the prior.
    weights : Path or None
        Folder of rivals that were trained: ``optz.safetensors`` and so on.
    learned : Path or None
        For what linear rivals learn of the training slices; None: ``out / 'learned'``.
    """

    held: HeldOutSet
    data: Path
    out: Path
    prior: str | Path | Prior | None
    count: int | None = None
    samples: int = 32
    seed: int = 0
    device: str = "auto"
    settings: InferenceSettings | None = None
    weights: Path | None = None
    learned: Path | None = None

    @property
    def learned_folder(self) -> Path:
        """Where it is kept what linear rivals learn."""
        return self.learned or self.out / "learned"

    def ours(self) -> str | Path | Prior:
        """The prior.

        Raises
        ------
        InputError
            There is none.
        """
        if self.prior is None:
            raise InputError("our methods need a prior; name one with --prior, or choose only rivals")
        return self.prior

    def trained(self, name: str) -> Path:
        """Weights of a rival that was trained.

        Raises
        ------
        InputError
            They are not there.
        """
        path = None if self.weights is None else self.weights / f"{name}.safetensors"
        if path is None or not path.is_file():
            raise InputError(f"the weights of {name} are not there; train it and name the folder with --weights")
        return path


def _with_prior(name: str, title: str, family: MethodFamily, **named: Any) -> Maker:
    def make(setting: Setting) -> RestoringMethod:
        return GenerativeMethod(
            name, title, family, setting.ours(), samples=setting.samples, device=setting.device, **named
        )

    return make


def _ours(name: str, title: str, **named: Any) -> Maker:
    def make(setting: Setting) -> RestoringMethod:
        return _with_prior(name, title, "ours", settings=setting.settings, **named)(setting)

    return make


def _of_weights(name: str, title: str) -> Maker:
    """A prior that was trained to be compared, without the residual field, which is not its own."""

    def make(setting: Setting) -> RestoringMethod:
        return GenerativeMethod(
            name, title, "generative", setting.trained(name), samples=_FEW_SAMPLES, device=setting.device,
            changes={"residual_field": False},
        )  # fmt: skip

    return make


def _learned(kind: Callable[..., RestoringMethod], **named: Any) -> Maker:
    def make(setting: Setting) -> RestoringMethod:
        if not setting.held.training:
            raise InputError("there are no training slices beside scans of one's own, so nothing linear can be fitted")
        return kind(setting.held, setting.data, setting.learned_folder, **named)

    return make


def _fixed(method: RestoringMethod) -> Maker:
    return lambda _setting: method


def _supervised(role: str) -> Maker:
    def make(setting: Setting) -> RestoringMethod:
        net = SupervisedNet(setting.trained(role))
        if net.card.set_name != setting.held.name:
            raise InputError(f"{role} was trained on {net.card.set_name}, not on {setting.held.name}; leave it out")
        return net

    return make


def _diffusion(setting: Setting) -> RestoringMethod:
    return DiffusionSampler(setting.trained(DENOISER), setting.held.name)


def _lcm(name: str, title: str, *, preset_name: str | None = None, field: bool = False) -> Maker:
    """The latent convolutional model that ships for this set."""

    def make(setting: Setting) -> RestoringMethod:
        if setting.held.name not in _LCM_PRIORS:
            raise InputError(f"no latent convolutional model ships for {setting.held.name}; leave {name} out")
        return GenerativeMethod(
            name, title, "generative", _LCM_PRIORS[setting.held.name], preset_name=preset_name, samples=_FEW_SAMPLES,
            device=setting.device, changes={"residual_field": field},
        )  # fmt: skip

    return make


_LCM_PRIORS = {"brain-128": "brain-axial-lcm-128", "xray-128": "chest-xray-lcm-128"}
_FEW_SAMPLES = 4  # of rivals whose spread is not looked at
_CLASSICAL: tuple[RestoringMethod, ...] = (
    *INTERPOLATIONS, OpenCvPainting("telea"), OpenCvPainting("navier-stokes"), Biharmonic(), Scattered("linear"),
    TotalVariation(),
)  # fmt: skip

# in the order of tables
METHODS: dict[str, Maker] = {
    **{method.name: _fixed(method) for method in _CLASSICAL},
    "dip": lambda setting: deep_image_method(setting.held.framing.resolution, setting.device),
    "mean-image": _learned(MeanImage),
    "linear-64": _learned(LinearMethod, components=64),
    "linear": _learned(LinearMethod),
    **{role.name: _supervised(role.name) for role in ROLES if role.kind != "noise"},
    "diffpir": _diffusion,
    "pulse": lambda setting: Pulse(setting.ours(), device=setting.device),
    "pulse-restarts": lambda setting: Pulse(setting.ours(), sphere=False, device=setting.device),
    "one-latent": lambda setting: one_latent(setting.ours(), setting.device),
    "penalised-z": lambda setting: penalised_z(setting.ours(), setting.device),
    "lcm": _lcm("lcm", "LCM"),
    "lcm-field": _lcm("lcm-field", "LCM with our residual field", field=True),
    "lcm-box": _lcm("lcm-box", "LCM, all of phi in its box, as in the paper", preset_name="box"),
    "optz": _of_weights("optz", "OptZ: the latent map itself"),
    "glo": _of_weights("glo", "GLO: a vector"),
    **{f"glo-{n}": _of_weights(f"glo-{n}", f"GLO: a vector of {n}") for n in (64, 1024)},
    **{f"glo-map-{n}": _of_weights(f"glo-map-{n}", f"GLO: a map of {n} x {n}") for n in (8, 16)},
    "autoencoder": _of_weights("autoencoder", "autoencoder's latent"),
    "paper": _with_prior("paper", "BRGM Eq. 6 with the paper's weights, MAP", "generative", preset_name="paper"),
    "reference": _with_prior("reference", "BRGM as released, MAP", "generative", preset_name="reference"),
    "invert-wplus": lambda setting: WholeSlice("w+", setting.ours(), setting.device),
    "invert-w": lambda setting: WholeSlice("w", setting.ours(), setting.device),
    "laplace": _ours("laplace", "ours, Laplace", inference="laplace", others=("mean", "sample")),
    "vi": _ours("vi", "ours, VI mean", inference="vi", others=("sample",)),
    "ours": _ours("ours", "ours", others=("mean", "sample")),
}


RELEASED_ENTROPY = "released-entropy"
UNSCALED = {"map": "unscaled", "laplace": "unscaled-laplace", "vi": "unscaled-vi"}  # by the way of inference


def _unscaled(name: str, title: str, inference: InferenceMethod | None) -> Maker:
    def make(setting: Setting) -> RestoringMethod:
        return Unscaled(
            name, title, setting.ours(), inference, setting.settings, samples=setting.samples, device=setting.device
        )

    return make


# what reports on the posterior ask for, and no table shows
_STUDIED: dict[str, Maker] = {
    UNSCALED["map"]: _unscaled(UNSCALED["map"], "ours before calibration", "map"),
    UNSCALED["laplace"]: _unscaled(UNSCALED["laplace"], "ours, Laplace, before calibration", "laplace"),
    UNSCALED["vi"]: _unscaled(UNSCALED["vi"], "ours, VI, before calibration", "vi"),
    RELEASED_ENTROPY: _unscaled(RELEASED_ENTROPY, "VI with the released code's entropy", None),
}


def method_of(name: str, setting: Setting) -> RestoringMethod:
    """Make a method.

    Raises
    ------
    InputError
        There is none of this name, or it cannot be had with this setting.
    """
    maker = METHODS.get(name) or _STUDIED.get(name)
    if maker is None:
        raise InputError(f"there is no method {name!r}; choose from {', '.join(METHODS)}")
    return maker(setting)
