"""Zips are read only as torch writes them: stored, in one folder, each entry as its sum says."""

from __future__ import annotations

import io
import zipfile


def test_zips_that_are_tampered_with(published, hostile, refused):
    pt = published.rosinality_pt(published.random_weights(4))

    def rename(old: str, new: str):
        return lambda n, d: (n.replace(old, new), d)

    for edit, says in [
        (rename("archive/version", "../../version"), "outside"),
        (rename("archive/version", "/etc/version"), "outside"),
        (rename("archive/version", "archive/C:x"), "outside"),
        (rename("archive/version", "other/version"), "one folder"),
        (rename("data.pkl", "data.txt"), "no data.pkl"),
        (rename("data/0", "data/zero"), "storage is missing"),
        (lambda n, d: (n, d[:-4]) if n.endswith("data/0") else (n, d), "another size"),
        (lambda n, d: (n, b"big") if n.endswith("byteorder") else (n, d), "byte order"),
    ]:
        assert says in refused(hostile.recompressed(pt, edit)), says
    with zipfile.ZipFile(io.BytesIO(pt)) as file:
        at = pt.index(file.read("archive/data/0"))
    assert "altered" in refused(pt[:at] + bytes([pt[at] ^ 1]) + pt[at + 1 :])  # the sum of the entry
