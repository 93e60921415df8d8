"""Result files of the commands: as all result files, refused in words of the shell."""

from __future__ import annotations

from napari_brgm.scans import outputs
from napari_brgm.scans.outputs import derivative_name, json_name, stem_of

__all__ = ["Outputs", "derivative_name", "json_name", "stem_of"]


class Outputs(outputs.Outputs):
    """Write files into ``--out``: all of them or none."""

    choose, allow = "choose another --out", "add --overwrite"
    writable = "choose an --out folder that can be written"
