"""whole_file(): a file is written whole or not at all, and nothing is left of what failed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["whole_file"]

_PRIVATE = 0o600


@contextmanager
def whole_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Give a file beside ``path`` to write into, which takes its place at the end; until then ``path`` is the old one.

    Parameters
    ----------
    path : Path
        In a folder that is there. Two processes may write it at once: the later one stays.
    private : bool
        Only its owner may read it, from the first byte on.

    Raises
    ------
    OSError
        It cannot be written; nothing is left beside it.

    Examples
    --------
    >>> from pathlib import Path; from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "a.txt") as draft:
    ...         _ = draft.write_text("all of it")
    ...     [(file.name, file.read_text()) for file in Path(folder).iterdir()]
    [('a.txt', 'all of it')]
    """
    draft = path.with_name(f".{uuid4().hex[:12]}.part")  # no longer than the name itself may be
    try:
        if private:
            draft.touch(_PRIVATE)
            draft.chmod(_PRIVATE)
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
