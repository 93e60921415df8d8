"""Target: where the files of a command go, and the files that appear there together or not at all."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.errors import InputError
from napari_brgm.scans.outputs import Outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["ShellOutputs", "Target"]


class ShellOutputs(Outputs):
    """Write files into ``--out``: all of them or none, refused in words of the shell."""

    choose, allow = "choose another --out", "add --overwrite"
    writable = "choose an --out folder that can be written"


class VideoOutputs(Outputs):
    """Write the file of ``--save-video``."""

    choose, allow = "choose another --save-video", "add --overwrite"
    writable = "choose a --save-video that can be written"


@dataclass(frozen=True, slots=True)
class Target:
    """Where files go.

    Attributes
    ----------
    folder : Path
        Made if missing.
    overwrite : bool
        Replace files that exist.
    video : Path or None
        Of an animation.
    resume : bool
        Finished slices are kept until the results are there, and a run goes on from them.
    """

    folder: Path
    overwrite: bool = False
    video: Path | None = None
    resume: bool = False

    @classmethod
    def of(cls, folder: Path, overwrite: bool, video: Path | None, *, resume: bool = False) -> Target:
        """Check the animation's name before anything is read.

        Raises
        ------
        InputError
            It is no animation's, or one is asked for of a run that may be resumed.
        """
        if video is not None and resume:
            raise InputError("--save-video shows a run from its start, which --resume may not; leave one of them out")
        if video is not None:
            from napari_brgm.cli.descent import check_animation

            check_animation(video)
        return cls(folder, overwrite, video, resume)

    @contextmanager
    def opened(
        self, names: Sequence[str], read: Sequence[Path], *, again: bool = False
    ) -> Iterator[tuple[ShellOutputs, Path | None]]:
        """Outputs of these names, and where to write the animation; nothing that was read is written over.

        ``again``: what is there is what is left of the same results, and replaced.

        Raises
        ------
        InputError, OutputError
            The animation has the name of another file; or as ``Outputs``.
        """
        with ExitStack() as stack:
            video = None
            if self.video is not None:
                others = [*read, *(self.folder / name for name in names)]
                if self.video.resolve() in [other.resolve() for other in others]:
                    raise InputError(f"{self.video.name} is another file of this run; choose another --save-video")
                shown = VideoOutputs(self.video.parent, [self.video.name], self.overwrite, describe=False)
                video = stack.enter_context(shown).path(self.video.name)
            yield stack.enter_context(ShellOutputs(self.folder, names, self.overwrite or again)), video
