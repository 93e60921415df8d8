"""Which of the things in a file is the generator, whether it is a pickled module or a table, and in which layout.

    G_ema, g_ema, ema ...     the average over the training, which the papers draw with: taken first
    G, g, generator ...       as trained; taken where there is no average, and said
    state_dict, model ...     looked into

Else the table itself is a state dict, perhaps of several networks: of it, what lies below the prefix of the generator's
names ('module.', 'G_ema.').
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from napari_brgm.errors import WeightsError
from napari_brgm.zoo.inert_pickle import CONVERT, fields
from napari_brgm.zoo.module_tree import States, is_module, tensors_of, walk
from napari_brgm.zoo.published import shown

__all__ = ["GeneratorEntry", "generator_in"]

_AVERAGED: Final = ("G_ema", "g_ema", "netG_ema", "generator_ema", "params_ema", "ema")
_TRAINED: Final = ("G", "g", "netG", "generator", "params")
_WRAPPERS: Final = ("state_dict", "model_state_dict", "model")
_DEEPEST: Final = 3
_FIRST: Final = ("synthesis.b4.const", "input.input")  # names that say where a generator's names begin
_STYLEGAN3: Final = "synthesis.input.freqs"
_ONLY_TRAINED: Final = "The file holds the generator as it was trained last ({}), not its average over the training."


@dataclass(frozen=True, slots=True)
class GeneratorEntry:
    """The generator of a file.

    Attributes
    ----------
    held : dict
        Stand-ins of its tensors by name, without prefixes.
    states : dict or None
        Attributes of its modules by path, where they were pickled.
    beside : dict
        The table in which it was found.
    taken : tuple of str
        What was taken for granted, a sentence each.
    """

    held: dict[str, Any]
    states: States | None
    beside: dict[Any, Any]
    taken: tuple[str, ...] = ()

    @property
    def is_rosinality(self) -> bool:
        """Whether its names are those of rosinality's code base."""
        return not any(k.startswith(("synthesis.", "mapping.")) for k in self.held)


def generator_in(value: Any) -> GeneratorEntry:
    """Find the generator in what a file holds.

    Raises
    ------
    WeightsError
        There is none, or it cannot be told which.
    """
    beside: dict[Any, Any] = {}
    taken: tuple[str, ...] = ()
    name: str | None = None
    for _ in range(_DEEPEST):
        if is_module(value):
            states = walk(value)
            return GeneratorEntry(_without_prefix(tensors_of(states)), states, beside, taken)
        table = fields(value)
        found = next((k for k in (*_AVERAGED, *_TRAINED, *_WRAPPERS) if _is_there(table, k)), None)
        if found is None:
            break
        name = found
        if name in _TRAINED:
            taken = (_ONLY_TRAINED.format(name),)
        beside, value = {**beside, **table}, table[name]
    held = {k: v for k, v in fields(value).items() if isinstance(k, str)}
    if not held and beside:
        raise WeightsError(f"the generator in the file ({name}) is empty or of a layout that is not known; {CONVERT}")
    tensors = _without_prefix({k: v for k, v in held.items() if not _is_setting(v)})
    return GeneratorEntry(tensors, None, beside or held, taken)


def _is_there(table: dict[Any, Any], name: str) -> bool:
    value = table.get(name)
    return value is not None and not (name in _WRAPPERS and isinstance(value, list | str))


def _is_setting(value: Any) -> bool:
    """Whether an entry beside tensors can be none."""
    return value is None or isinstance(value, bool | int | float | str | list | tuple) or bool(fields(value))


def _without_prefix(held: dict[str, Any]) -> dict[str, Any]:
    """Tensors of the generator, by the names below the prefix that all of them have.

    Raises
    ------
    WeightsError
        There is none, or more than one.
    """
    every = [k.removesuffix(first) for first in (*_FIRST, _STYLEGAN3) for k in held if _ends(k, first)]
    prefixes = list(dict.fromkeys(every))
    if not prefixes:
        told = f"hold other things, such as {shown(next(iter(held)), 40)!r}" if held else "hold no tensors by name"
        part = "are the synthesis network alone" if "b4.const" in held else told
        raise WeightsError(
            f"these weights are not a StyleGAN2 generator (G_ema or g_ema) in a layout known here: they {part}; "
            f"{CONVERT}"
        )
    averaged = [prefix for prefix in prefixes if "ema" in prefix.lower()]
    found = averaged or prefixes
    if len(found) > 1:
        names = " and ".join(repr(shown(prefix, 20)) for prefix in found[:2])
        raise WeightsError(f"the file holds more than one generator ({names}); save the one you mean alone")
    return {k.removeprefix(found[0]): v for k, v in held.items() if k.startswith(found[0])}


def _ends(key: str, first: str) -> bool:
    return key == first or key.endswith("." + first)
