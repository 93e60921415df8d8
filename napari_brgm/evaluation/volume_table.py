"""The table of the study of volumes.

RMSE is over the hidden pixels, or all tissue, grey levels. 'jump': rms difference of neighbouring slices in the hole,
of samples over that of what was hidden. 'as it came': share of what was hidden in uncalibrated 90 % intervals;
'calibrated': by factors of one half of the subjects on the other, mean and standard deviation over random halvings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.evaluation.volume_cases import Case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.evaluation.calibration_fit import Gathered

__all__ = ["table"]

_HALVINGS = 50


def table(rows: Sequence[dict[str, Any]], scores: Gathered | None) -> str:
    """Markdown: a row for each group, then one for each group and mask.

    Parameters
    ----------
    rows : sequence of dict
        As the study keeps them.
    scores : Gathered or None
        Of the intervals, by 'group|mask'; None: none were measured.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        case = Case(**row["case"])
        groups.setdefault((case.group, "all"), []).append(row)
        if case.mask >= 0:
            groups.setdefault((case.group, f"mask {case.mask}"), []).append(row)
    names = list(dict.fromkeys(name for row in rows for name in row["squares"]))
    held = {} if scores is None else _held(scores, {row["case"]["subject"] for row in rows})
    head = [
        "task", "holes", "subjects", *names, "ours / best line", "ours / alone", "as it came", "calibrated", "jump",
        "seconds",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for (group, mask), own in sorted(groups.items(), key=lambda item: (item[0][1] != "all", item[0])):
        rmse = {
            name: (sum(r["squares"][name] for r in own) / sum(r["count"] for r in own)) ** 0.5
            for name in names
            if all(name in r["squares"] for r in own)
        }
        ruled = [value for name, value in rmse.items() if name not in ("ours", "mean", "alone")]
        jumps = [row["jump"] / row["true jump"] for row in own if "jump" in row]
        cells = [group, mask, str(len({r["case"]["subject"] for r in own}))]
        cells += [f"{rmse[name]:.2f}" if name in rmse else "" for name in names]
        cells += [
            f"{rmse['ours'] / min(ruled):.3f}",
            f"{rmse['ours'] / rmse['alone']:.3f}" if "alone" in rmse else "",
            *held.get((group, mask), ("", "")),
            f"{np.mean(jumps):.2f}" if jumps else "",
            f"{np.mean([r['seconds'] for r in own]):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _held(scores: Gathered, subjects: set[int]) -> dict[tuple[str, str], tuple[str, str]]:
    """Shares of the 90 % intervals as they came, and by halvings, of groups and masks."""
    raw = scores.coverage({}, subjects)
    halves = scores.halvings(_HALVINGS) if len(subjects) > 1 else {}
    weights = scores.counts()
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for group in dict.fromkeys(task.split("|")[0] for task in raw):
        own = [task for task in raw if task.split("|")[0] == group]
        for mask, tasks in [("all", own)] + [(f"mask {task.split('|')[1]}", [task]) for task in own]:
            shares = [weights[task] for task in tasks]
            came = f"{np.average([raw[task] for task in tasks], weights=shares):.1%}"
            there = [task for task in tasks if task in halves]
            calibrated = ""
            if there:
                mean = np.average([halves[task].mean for task in there], weights=[weights[task] for task in there])
                calibrated = f"{mean:.1%}"
                if len(there) == 1:
                    calibrated += f" +- {halves[there[0]].std:.1%}"
            found[group, mask] = came, calibrated
    return found
