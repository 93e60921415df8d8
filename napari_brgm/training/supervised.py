"""Train supervised rivals one after the other, each for so many minutes of one core, kept as it goes.

OUT/NAME.safetensors    the weights of the last checkpoint, for ``SupervisedNet``
OUT/NAME.json           its card, settings and losses
OUT/NAME-work           checkpoint, made-by.json, progress.json
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_brgm.errors import InputError, OutputError, WeightsError
from napari_brgm.evaluation.held_out import SETS
from napari_brgm.evaluation.supervised.role import ROLES, role_of
from napari_brgm.evaluation.supervised.weights import SupervisedCard, read_net, write_net
from napari_brgm.reason import advice_of, reason_of
from napari_brgm.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from napari_brgm.training.progress_file import ProgressFile, State
from napari_brgm.training.supervised_state import SupervisedSettings, SupervisedState
from napari_brgm.training.work_folder import claim_folder
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_brgm.datasets import SliceSet
    from napari_brgm.evaluation.supervised.net import RestoringNet
    from napari_brgm.evaluation.supervised.role import SupervisedRole

__all__ = ["SupervisedTraining"]

_KEEP = 120.0  # seconds of one core between checkpoints
_LOG = 100  # steps between losses that are kept


@dataclass(frozen=True, slots=True)
class SupervisedTraining:
    """What to train, on what, for how long.

    Attributes
    ----------
    out : Path
        Folder of the weights; made if missing.
    set_name : str
        Of the training slices, for example 'brain-128'.
    minutes : float
        Of one core (processor time), for each network; those of earlier runs count.
    settings : SupervisedSettings
    """

    out: Path
    set_name: str
    minutes: float
    settings: SupervisedSettings

    def run(self, data: Path, names: Sequence[str], tell: Callable[[int, int, str], None]) -> None:
        """Train, or go on with, the named networks; validation slices are not opened.

        ``tell`` is called with (seconds done, in all, where it stands).

        Raises
        ------
        InputError
            A name or the set is unknown; or a network to begin with is neither there nor trained before; or the folder
            is of other slices or settings, or another process works in it.
        ScanError, OutputError, WeightsError
            The training slices cannot be read; the folder cannot be written; what is in it is damaged.
        """
        chosen = [role_of(name) for name in names]
        roles = [role for role in ROLES if role in chosen]  # in an order in which weights to begin with come first
        for role in roles:
            source = role.begins_with
            if source and role_of(source) not in roles and not self._weights(source).exists():
                raise InputError(f"{role.name} begins with the weights of {source}; train that first, or name both")
        held = next((held for held in SETS if held.name == self.set_name), None)
        if held is None:
            known = ", ".join(held.name for held in SETS)
            raise InputError(f"no set is called {self.set_name!r}; choose from {known}")
        slices = held.read(data, "training")
        for role in roles:
            self._train(role, slices, tell)

    def _train(self, role: SupervisedRole, slices: SliceSet, tell: Callable[[int, int, str], None]) -> None:
        work = self.out / f"{role.name}-work"
        file = ProgressFile(work, self._weights(role.name))
        ended: State = "stopped"
        said = ""
        try:
            file.stage(role.name)
            before, begin = self._begin(role, work)
            claim_folder(work, role.name, slices, self.settings.counting_for(role))
            state = SupervisedState(role, slices, self.settings, begin)
            if has_checkpoint(work / "checkpoint"):
                state.restore(load_checkpoint(work / "checkpoint"))
            self._go_on(state, slices, work, before, file, tell)
            ended, said = "done", f"{state.shown:,} slices shown"
        except Exception as error:
            ended, said = "failed", str(error)
            raise
        finally:
            file.end(ended, said)

    def _begin(self, role: SupervisedRole, work: Path) -> tuple[float, RestoringNet | None]:
        """Weights to begin with, and the seconds that they took; a training that goes on keeps those it began with."""
        kept = work / "began-with.json"
        if has_checkpoint(work / "checkpoint") or not role.begins_with:
            try:
                return float(json.loads(kept.read_text())["seconds"]), None
            except FileNotFoundError:
                return 0.0, None
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise WeightsError(f"{kept} cannot be read; choose another folder") from error
        net, card = read_net(self._weights(role.begins_with))
        if (card.name, card.set_name) != (role.begins_with, self.set_name):
            of = f"{card.name} of {card.set_name}"
            raise InputError(f"{self._weights(role.begins_with)} holds {of}; choose another folder")
        self._write(kept, json.dumps({"seconds": card.seconds + card.before, "images": card.images}))
        return card.seconds + card.before, net

    def _go_on(
        self, state: SupervisedState, slices: SliceSet, work: Path, before: float, file: ProgressFile,
        tell: Callable[[int, int, str], None],
    ) -> None:  # fmt: skip
        """Show batches until the minutes are over."""
        whole = 60 * self.minutes
        kept, began, spent = state.seconds, time.process_time(), state.seconds
        text = state.role.name
        while state.seconds < whole:
            state.step()
            state.seconds = spent + time.process_time() - began
            if state.steps % _LOG == 0:
                if not state.is_finite():
                    raise InputError(f"{state.role.name} became unstable; start in a new folder with another --seed")
                text = f"{state.role.name}: {state.shown:,} slices shown, {state.log()[1]:.2f} grey levels off"
            tell(min(int(state.seconds), int(whole)), int(whole), text)
            file.tell(int(state.seconds), int(whole), text)
            if state.seconds - kept > _KEEP:
                self._keep(state, slices, work, before)
                kept = state.seconds
        self._keep(state, slices, work, before)

    def _keep(self, state: SupervisedState, slices: SliceSet, work: Path, before: float) -> None:
        """Checkpoint, then weights and what is said of them."""
        save_checkpoint(work / "checkpoint", state.saved())
        role = state.role
        card = SupervisedCard(
            name=role.name, set_name=self.set_name, size=slices.framing.resolution, factors=state.factors,
            fold=role.fold, filters=role.filters, blocks=role.blocks, images=state.shown,
            seconds=round(state.seconds, 1), before=before, seed=self.settings.seed, slices=len(slices),
            subjects=len(slices.subject_names),
        )  # fmt: skip
        write_net(self._weights(role.name), state.average, card)
        told = asdict(card) | {
            "training": slices.digest(), "settings": self.settings.counting_for(role), "losses": state.losses,
        }  # fmt: skip
        self._write(self.out / f"{role.name}.json", json.dumps(told, indent=1))

    def _weights(self, name: str) -> Path:
        return self.out / f"{name}.safetensors"

    def _write(self, path: Path, text: str) -> None:
        try:
            with whole_file(path) as draft:
                draft.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            advice = advice_of(error, "choose another folder")
            raise OutputError(f"cannot write into {path.parent}: {reason_of(error)}; {advice}") from error
