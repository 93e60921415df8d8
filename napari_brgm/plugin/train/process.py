"""The training's own process: started by ``napari-brgm train``, found again after napari was closed, and stopped.

Which one was started last stands in training.json in the person's folder; how far it is in its work folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_brgm.errors import OutputError
from napari_brgm.reason import reason_of
from napari_brgm.training.progress_file import is_running, read_progress
from napari_brgm.zoo.folder import home

__all__ = ["TrainingWish", "last_wish", "said_in", "started", "stop"]

_RECORD = "training.json"
_LOG = "train.log"
_begun: list[subprocess.Popen[bytes]] = []  # kept, so that their end is heard of although their panel is gone


@dataclass(frozen=True, slots=True)
class TrainingWish:
    """What a person asked for.

    Attributes
    ----------
    data, out : str
        Folder or archive; weights file.
    recipe, modality : str
    resolution : int
    mirror : bool
    """

    data: str
    out: str
    recipe: str = "linear"
    modality: str = ""
    resolution: int = 128
    mirror: bool = False

    @property
    def work(self) -> Path:
        """Its work folder."""
        out = Path(self.out)
        return out.with_name(f"{out.stem}-work")

    def arguments(self, *, survey: bool) -> list[str]:
        """Those of ``napari-brgm``."""
        found = ["train", "--data", self.data, "--out", self.out, "--work", str(self.work), "--recipe", self.recipe]
        found += ["--resolution", str(self.resolution)]
        found += ["--modality", self.modality] * bool(self.modality)
        return found + ["--mirror"] * self.mirror + ["--survey"] * survey


def started(wish: TrainingWish, *, survey: bool) -> subprocess.Popen[bytes]:
    """Start the process; it goes on when napari is closed. What it says goes to train.log in the work folder.

    Raises
    ------
    OutputError
        The work folder cannot be written.
    """
    try:
        wish.work.mkdir(parents=True, exist_ok=True)
        if not survey:
            home().mkdir(parents=True, exist_ok=True)
            (home() / _RECORD).write_text(json.dumps(asdict(wish)) + "\n", encoding="utf-8")
        with (wish.work / _LOG).open("wb") as log:
            command = [sys.executable, "-m", "napari_brgm", *wish.arguments(survey=survey)]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
    except OSError as error:
        raise OutputError(f"cannot write into {wish.work}: {reason_of(error)}; choose another place") from error
    _begun[:] = [one for one in _begun if one.poll() is None] + [process]
    return process


def last_wish() -> TrainingWish | None:
    """What was trained last, by this window or another; None where nothing was, or it cannot be told."""
    try:
        found: Any = json.loads((home() / _RECORD).read_text(encoding="utf-8"))
        return TrainingWish(**found)
    except (OSError, ValueError, TypeError):
        return None


def stop(work: Path) -> None:
    """Ask the process that works in this folder to end; everything is kept."""
    progress = read_progress(work)
    if progress is not None and is_running(work):  # so that the number is of a process that lives
        os.kill(int(progress["process"]), signal.SIGTERM)


def said_in(work: Path) -> list[str]:
    """Lines of the log, without those of a bar."""
    try:
        text = (work / _LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("slices shown")]
