"""Lines of ``batch --json`` as they come: half-written ones wait, what is no line of ours is passed over."""

from __future__ import annotations

import json

from napari_brgm.plugin.batch.lines import BatchLines, ShownRow


def test_rows_change_as_lines_come(tmp_path):
    path = tmp_path / "progress.jsonl"
    lines = BatchLines(path)
    assert lines.read() == []  # there is no file yet
    done = {"row": "a", "state": "done", "seconds": 4.5}
    progress = {"rows": 3, "ended": 1, "share": 0.5, "seconds_left": 9, "at_work": {"b": 0.25}}
    said = [{"plan": [done, {"row": "b", "state": "waiting"}, {"row": "c", "state": "waiting"}]}, progress]
    text = "".join(json.dumps(one) + "\n" for one in said)
    path.write_text(text[:-9])
    assert [row.state for row in lines.read()] == ["done", "waiting", "waiting"] and lines.ended == 0
    path.write_text(text)
    assert lines.read() == [ShownRow("b", "at work", 0.25)]
    assert (lines.ended, lines.share, lines.seconds_left) == (1, 0.5, 9)
    failed = {"row": "b", "state": "failed", "seconds": 1, "reason": "it ends too early"}
    path.write_text(text + 'Warning: of another\n{"row": 5}\n[]\n' + json.dumps(failed) + "\n")
    assert lines.read() == [ShownRow("b", "failed", seconds=1, reason="it ends too early")]
    assert list(lines.rows) == ["a", "b", "c"] and lines.rows["a"] == ShownRow("a", "done", seconds=4.5)
