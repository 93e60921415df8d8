"""Pickled modules, walked into one table of tensors: by path and name, as a state dict has them.

Modules of the StyleGAN2-ADA code bases are calls of ``torch_utils.persistence._reconstruct_persistent_obj(meta)``;
``meta`` holds source text, which the stock loader executes and which is not looked at here, and the module's
attributes. Those of other code bases are calls of their class, with their attributes as state.
"""

from __future__ import annotations

from typing import Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_names import MODULE_NAMES, RECONSTRUCT
from napari_brgm.zoo.inert_pickle import CONVERT, Call, fields

__all__ = ["States", "is_module", "state_of", "tensors_of", "walk"]

States = dict[str, dict[Any, Any]]  # attributes by path ('synthesis.b4.')
_MOST_MODULES: Final = 500  # a 1024 px generator has about 200
_DEEPEST: Final = 8
_MOST_WRAPPERS: Final = 4
_WRAPPED: Final = ("module", "_orig_mod")  # by DataParallel, by torch.compile


def is_module(value: Any) -> bool:
    """Whether a stand-in is that of a module."""
    return isinstance(value, Call) and (value.name == RECONSTRUCT or value.name in MODULE_NAMES)


def state_of(module: Any) -> dict[Any, Any]:
    """Attributes of a module.

    Raises
    ------
    WeightsError
        It is none.
    """
    state: dict[Any, Any] = {}
    if isinstance(module, Call) and module.name == RECONSTRUCT and len(module.args) == 1:
        state = fields(fields(module.args[0]).get("state"))
    elif is_module(module):
        state = fields(module.state)
    if not state:
        raise WeightsError(f"the file holds a module of a layout that is not known; {CONVERT}")
    return state


def walk(generator: Any) -> States:
    """Attributes of every module, without what wraps them; a module that holds itself ends in a refusal.

    Raises
    ------
    WeightsError
        There are too many, or one is of a layout that is not known.
    """
    for _ in range(_MOST_WRAPPERS):
        inner = fields(state_of(generator).get("_modules"))
        wrapped = [inner[name] for name in _WRAPPED if list(inner) == [name]]
        if not wrapped:
            break
        generator = wrapped[0]
    found: States = {}
    waiting = [("", generator)]
    while waiting:
        path, module = waiting.pop()
        state = state_of(module)
        found[path] = state
        for name, inner in fields(state.get("_modules")).items():
            if inner is not None:
                waiting.append((f"{path}{_name(name)}.", inner))
        if len(found) + len(waiting) > _MOST_MODULES or path.count(".") > _DEEPEST:
            raise WeightsError("the file nests more modules than any published generator; it was refused")
    return found


def tensors_of(states: States) -> dict[str, Any]:
    """Stand-ins of all parameters and buffers, by path and name."""
    found: dict[str, Any] = {}
    for path, state in states.items():
        both = {**fields(state.get("_parameters")), **fields(state.get("_buffers"))}
        found |= {f"{path}{_name(k)}": v for k, v in both.items() if v is not None}
    return found


def _name(key: Any) -> str:
    if not isinstance(key, str) or (not key.isidentifier() and not key.isdecimal()) or len(key) > 40:
        raise WeightsError("the file holds modules or parameters with names that no published generator has")
    return key
