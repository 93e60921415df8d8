"""The page of an evaluation: one file that shows its figures and its pictures to who reads scans."""

from napari_brgm.evaluation.grid.page.write import PAGE_FILE, write_page

__all__ = ["PAGE_FILE", "write_page"]
