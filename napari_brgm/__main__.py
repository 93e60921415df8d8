"""``python -m napari_brgm`` is ``napari-brgm``."""

from napari_brgm.cli import main

if __name__ == "__main__":
    main()
