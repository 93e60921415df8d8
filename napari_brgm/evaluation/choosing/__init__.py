"""People choose: the reconstruction nearest the truth, or the image that is real (BRGM Appendix D)."""

from napari_brgm.evaluation.choosing.cases import ChoiceCase, read_case, write_case

__all__ = ["ChoiceCase", "read_case", "write_case"]
