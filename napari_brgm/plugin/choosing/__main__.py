"""``python -m napari_brgm.plugin.choosing FOLDER KIND READER``: the window that ``evaluate choose`` opens."""

from __future__ import annotations

import sys
from pathlib import Path

from napari_brgm.errors import BrgmError
from napari_brgm.evaluation.choosing.session import ChoosingSession
from napari_brgm.evaluation.choosing.study import KINDS, ChoiceStudy

_BAD_INPUT = 2


def main(folder: str, kind: str, reader: str) -> int:
    """Ask until the window is closed; the exit code."""
    try:
        session = ChoosingSession(ChoiceStudy(Path(folder)), next(one for one in KINDS if one == kind), reader)
    except BrgmError as error:
        sys.stderr.write(f"napari-brgm: {error}\n")
        return _BAD_INPUT
    import napari

    from napari_brgm.plugin.choosing.window import open_choosing

    viewer = napari.Viewer(title=f"{reader}: {kind}")
    open_choosing(viewer, session)
    napari.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
