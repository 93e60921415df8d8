"""Records of several results: what all say, and the rest of each."""

from __future__ import annotations

from napari_brgm.engine.provenance import shared_record


def test_shared_record_parts_without_loss() -> None:
    records = [
        {"seed": 1, "notes": [], "seconds": 2.0, "only": True},
        {"seed": 1, "notes": [], "seconds": 3.0},
        {"seed": 1, "notes": [], "seconds": 2.0, "only": True},
    ]
    shared, rest = shared_record(records)
    assert shared == {"seed": 1, "notes": []}
    assert [shared | one for one in rest] == records
    assert shared_record(records[:1]) == (records[0], [{}])
