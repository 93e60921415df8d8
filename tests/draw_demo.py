"""Draw docs/images/demo-*.png: the sheets that `napari-brgm demo` writes.

python tests/draw_demo.py --out docs/images
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SHEETS = {"demo-inpaint": "brgmInpaint", "demo-superres": "brgmSuperres"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as made:
        command = [sys.executable, "-m", "napari_brgm", "demo", "--no-viewer", "--out", made]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name, what in SHEETS.items():
            (sheet,) = Path(made).glob(f"*{what}Sheet*.png")
            shutil.copyfile(sheet, out / f"{name}.png")
            print(out / f"{name}.png")


if __name__ == "__main__":
    main()
