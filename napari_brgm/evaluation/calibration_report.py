"""The table of calibrated uncertainty as Markdown and JSON, and its factors in a registry and model cards."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from napari_brgm.calibration import LEVELS
from napari_brgm.errors import InputError, OutputError
from napari_brgm.evaluation.calibration_plots import plot_reliability, plot_sparsification
from napari_brgm.reason import reason_of
from napari_brgm.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.calibration import Calibration

__all__ = ["CalibrationReport", "put_into_registry"]

_HEAD = "## Calibration"
_NUMBERS = re.compile(r"\[\s+([-\d.e,\s]+?)\s+\]")


class CalibrationReport:
    """Figures by prior and method; files are written after each, so that a cut run has what it finished.

    Attributes
    ----------
    records : dict
        label -> method -> figures.
    calibrations : dict
        label -> factors of all its methods.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.folder, self.about = folder, about
        self.records: dict[str, dict[str, dict[str, Any]]] = {}
        self.calibrations: dict[str, Calibration] = {}

    def add(self, label: str, method: str, record: dict[str, Any], calibration: Calibration) -> None:
        """Add a method of a prior, and write everything."""
        self.records.setdefault(label, {})[method] = record
        self.calibrations[label] = calibration
        plot_reliability(self.folder / f"{label}--{method}--reliability.png", record["tasks"])
        plot_sparsification(self.folder / f"{label}--{method}--sparsification.png", record["tasks"])
        factors = {name: one.to_dict() for name, one in self.calibrations.items()}
        (self.folder / "calibration.json").write_text(_json(factors))
        (self.folder / "results.json").write_text(_json({"about": self.about, "priors": self.records}))
        (self.folder / "results.md").write_text(self.markdown())

    def markdown(self) -> str:
        """One section for each prior and method."""
        lines = ["# Calibrated uncertainty on held-out validation subjects", ""]
        lines += [f"- {key}: {value}" for key, value in self.about.items()]
        lines += [
            "- Scales and factors were computed on the first half of the subjects; all figures are of the second half, "
            "but for the column 'other way', where the halves are exchanged, and random halvings of all subjects (mean "
            "and standard deviation of a half's coverage by factors of the other). 'Unscaled' is the posterior as it "
            "came; 'before' has the prior's one scale of tissue for in-painting and one for super-resolution; 'after' "
            "has conformal factors. 'strokes' is a painted mask that nothing was fitted to.",
            "- Hidden pixels: those in the hole; of super-resolution all. Tissue: posterior mean above 8 grey levels. "
            "Figures in grey levels of 0..255. Pixels of a slice depend on each other: ± is between subjects.",
            "",
        ]
        for label, methods in self.records.items():
            for method, record in methods.items():
                lines += [f"## {label}, {method}", "", *_section(record)]
        return "\n".join(lines) + "\n"


def _section(record: dict[str, Any]) -> list[str]:
    about, tasks = record["about"], record["tasks"]
    fitted, reported = about["fitted on"], about["reported on"]
    scales = ", ".join(f"{kind} {scale:.3f}" for kind, scale in about["scales"][0].items())
    lines = [
        f"{about['set']}: factors of {fitted['subjects']} subjects ({fitted['slices']} slices), figures of "
        f"{reported['subjects']} others ({reported['slices']} slices). Scales of tissue: {scales}.",
        "",
    ]
    for title, columns in _TABLES.items():
        rows = [[name, *(_shown(value, task) for value in columns.values())] for name, task in tasks.items()]
        if all(cell == "-" for row in rows for cell in row[1:]):
            continue
        lines += [f"**{title}**", "", "| task | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return lines + _goals(tasks) + [""]


def _shown(value: Callable[[dict[str, Any]], str], task: dict[str, Any]) -> str:
    try:
        text = value(task)
    except KeyError:
        return "-"
    return "-" if "nan" in text else text


def _four(task: dict[str, Any], when: str, matter: str) -> str:
    return " / ".join(f"{100 * task[when][f'coverage_{matter}'][str(level)]:.1f}" for level in LEVELS)


def _spread(task: dict[str, Any], matter: str) -> str:
    one = task["after"][f"spread_{matter}"]
    return f"± {100 * one['between subjects']:.1f}, {100 * one['least']:.0f} to {100 * one['greatest']:.0f}"


def _halvings(one: dict[str, float]) -> str:
    return f"{100 * one['mean']:.1f} ± {100 * one['std']:.1f}"


def _gain(task: dict[str, Any], suffix: str = "") -> float:
    one = task["after"]
    return float(100 * (one[f"ause{suffix}"] / one[f"ause{suffix}_constant"] - 1))


_TABLES: dict[str, dict[str, Callable[[dict[str, Any]], str]]] = {
    "Coverage of the 50 / 80 / 90 / 95 % intervals, %": {
        "all, unscaled": lambda t: _four(t, "unscaled", "all"),
        "all, before": lambda t: _four(t, "before", "all"),
        "all, after": lambda t: _four(t, "after", "all"),
        "all, other way": lambda t: _four(t, "the other way round", "all"),
        "90 % of all, random halvings": lambda t: _halvings(t["random halvings"]),
        "tissue, before": lambda t: _four(t, "before", "tissue"),
        "tissue, after": lambda t: _four(t, "after", "tissue"),
        "90 % after: between subjects, single slices": lambda t: _spread(t, "all"),
        "the same of tissue": lambda t: _spread(t, "tissue"),
    },
    "Sharpness and proper scores, before -> after": {
        "RMSE": lambda t: f"{t['after']['rmse']:.1f}",
        "width of 90 %": lambda t: f"{t['before']['width']:.1f} -> {t['after']['width']:.1f}",
        "CRPS": lambda t: f"{t['before']['crps']:.2f} -> {t['after']['crps']:.2f}",
        "CRPS of the draws": lambda t: f"{t['before']['crps_samples']:.2f} -> {t['after']['crps_samples']:.2f}",
        "energy score": lambda t: f"{t['before']['energy']:.2f} -> {t['after']['energy']:.2f}",
        "rank chi2 / dof (p)": lambda t: " -> ".join(
            f"{t[when]['ranks']['chi2_per_degree']:.1f} ({t[when]['ranks']['p']:.2g})" for when in ("before", "after")
        ),
    },
    "Does the spread know where the error is? After calibration": {
        "Spearman": lambda t: f"{t['after']['spearman']:.2f}",
        "of tissue": lambda t: f"{t['after']['spearman_tissue']:.2f}",
        "AUSE": lambda t: f"{t['after']['ause']:.3f}",
        "of a constant map": lambda t: f"{t['after']['ause_constant']:.3f}",
        "difference": lambda t: f"{_gain(t):+.0f} %",
        "AUSE of tissue": lambda t: f"{t['after']['ause_tissue']:.3f}",
        "constant": lambda t: f"{t['after']['ause_tissue_constant']:.3f}",
        "difference of tissue": lambda t: f"{_gain(t, '_tissue'):+.0f} %",
    },
    "VI with the released code's entropy term, on the same slices": {
        "CRPS, ours": lambda t: f"{t['released entropy']['ours on the same slices']['crps']:.2f}",
        "CRPS, theirs": lambda t: f"{t['released entropy']['theirs']['crps']:.2f}",
        "of draws, ours": lambda t: f"{t['released entropy']['ours on the same slices']['crps_samples']:.2f}",
        "of draws, theirs": lambda t: f"{t['released entropy']['theirs']['crps_samples']:.2f}",
        "90 % coverage, theirs": lambda t: f"{100 * t['released entropy']['theirs']['coverage_all']['0.9']:.1f} %",
        "slices": lambda t: str(t["released entropy"]["theirs"]["slices"]),
    },
    "Data and seams": {
        "worst rms of f(x) - y, before": lambda t: f"{t['misfit']['before']:.1e}",
        "after": lambda t: f"{t['misfit']['after']:.1e}",
        "noise": lambda t: f"{t['noise']['least']:.2f} to {t['noise']['greatest']:.2f}",
        "step at the rim / beside it, estimate": lambda t: f"{t['seam']['estimate']:.2f}",
        "draws after": lambda t: f"{t['seam']['draws']:.2f}",
        "truth": lambda t: f"{t['seam']['truth']:.2f}",
    },
}  # fmt: skip


def _goals(tasks: dict[str, Any]) -> list[str]:
    """How many of the tasks that factors were fitted to reach each goal."""
    own = {name: task for name, task in tasks.items() if name != "strokes"}
    after = [task["after"]["coverage_all"]["0.9"] for task in own.values()]
    before = [task["before"]["coverage_all"]["0.9"] for task in own.values()]
    rivals = [task["released entropy"] for task in own.values() if "released entropy" in task]
    better = [one["ours on the same slices"]["crps"] < one["theirs"]["crps"] for one in rivals]
    seams = [task["seam"]["estimate"] <= 1.5 for task in own.values() if "seam" in task]
    least = 0.29  # grey levels: no 8-bit image is more exact than its rounding
    data = [task["misfit"]["after"] <= max(task["noise"]["least"], least) for task in own.values()]
    good = sum(0.88 <= share <= 0.92 for share in after)
    halved = [task["random halvings"]["mean"] for task in own.values()]
    usual = sum(0.88 <= share <= 0.92 for share in halved)
    luck = max(task["random halvings"]["std"] for task in own.values())
    lines = [
        f"- 90 % intervals cover 88 to 92 % of hidden pixels after calibration: {good} of {len(own)} tasks "
        f"({100 * min(after):.1f} to {100 * max(after):.1f} %)",
        f"- the mean over random halvings: {usual} of {len(own)} ({100 * min(halved):.1f} to "
        f"{100 * max(halved):.1f} %; a single halving's standard deviation is at most {100 * luck:.1f})",
        f"- 80 to 97 % before: {sum(0.8 <= c <= 0.97 for c in before)} of {len(own)} "
        f"({100 * min(before):.1f} to {100 * max(before):.1f} %)",
        f"- AUSE at least 30 % below a constant map: {sum(_gain(task) <= -30 for task in own.values())} of {len(own)}",
        f"- every draw's f(x) within the noise (or rounding) of y: {sum(data)} of {len(data)}",
        f"- step at the rim within 1.5 times the texture's: {sum(seams)} of {len(seams)}",
    ]
    if better:
        lines.insert(4, f"- CRPS below that of the released code's entropy: {sum(better)} of {len(better)}")
    return lines


def put_into_registry(path: Path, report: CalibrationReport) -> list[str]:
    """Put factors into a registry file, and a paragraph into the model cards beside it; gives the names of the priors.

    Raises
    ------
    InputError
        The registry has no prior of such a name, or is none.
    OutputError
        It cannot be written.
    """
    try:
        registry = _registry(path)
        missing = [label for label in report.calibrations if label not in registry]
        if missing:
            raise InputError(f"{path} has no prior {missing[0]}; only priors that it lists can be given factors")
        for label, calibration in report.calibrations.items():
            known = registry[label].get("calibration") or {}
            registry[label]["calibration"] = _with_stacks(calibration.to_dict(), known.get("methods") or {})
            card = path.with_name(registry[label].get("card") or "-")
            if card.is_file():
                card.write_text(_with_section(card.read_text("utf-8"), _card(report, label)), "utf-8")
        with whole_file(path) as draft:
            draft.write_text(_json(registry, indent=2), "utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be read and written: {reason_of(error)}") from error
    return list(report.calibrations)


def _with_stacks(found: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """New factors, with the known ones of kinds of task that were not measured: those of stacks."""
    for method, tasks in known.items():
        for task in tasks:
            found["methods"].get(method, {}).setdefault(task, tasks[task])
    return found


def _registry(path: Path) -> dict[str, Any]:
    try:
        registry = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not a registry of priors") from error
    if not (isinstance(registry, dict) and all(isinstance(record, dict) for record in registry.values())):
        raise InputError(f"{path} is not a registry of priors")
    return registry


def _card(report: CalibrationReport, label: str) -> str:
    """Section of a model card."""
    one = report.calibrations[label]
    scales = ", ".join(f"{kind} {scale:.3f}" for kind, scale in one.scales.items())
    tasks = [task for record in report.records[label].values() for task in record["tasks"].values()]
    single = [task["after"]["spread_all"][end] for task in tasks for end in ("least", "greatest")]
    lines = [
        _HEAD,
        f"The posterior of tissue is scaled ({scales}), and intervals are widened or narrowed by conformal factors, "
        f"both of {one.subjects} validation subjects ({one.slices} slices, {one.source}); the others have the figures "
        "below (`napari-brgm evaluate calibration`). Factors hold for in-painting and for super-resolution of square "
        f"means, with the preset `{one.preset}`, and for scans like these; of single slices they held "
        f"{100 * min(single):.0f} to {100 * max(single):.0f} %. The last column: mean and standard deviation over "
        "random halvings of the subjects.",
        "",
        "| method | task | 90 % intervals cover, before | after | tissue, after | width of 90 % | other halvings |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, record in report.records[label].items():
        for name, task in record["tasks"].items():
            before, after = task["before"], task["after"]
            shares = (before["coverage_all"], after["coverage_all"], after["coverage_tissue"])
            cells = [f"{100 * share['0.9']:.1f} %" for share in shares]
            other = _halvings(task["random halvings"]) if "random halvings" in task else "-"
            lines.append("| " + " | ".join([method, name, *cells, f"{after['width']:.1f}", other]) + " |")
    return "\n".join(lines) + "\n"


def _with_section(card: str, section: str) -> str:
    """A card with this section in place of the old one, or before 'Intended use', or at the end."""
    parts = re.split(r"^(?=## )", card, flags=re.M)
    kept = [part for part in parts if not part.startswith(_HEAD)]
    place = next((i for i, part in enumerate(kept) if part.startswith("## Intended use")), len(kept))
    if place == len(kept) and kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return "".join([*kept[:place], section + "\n", *kept[place:]])


def _json(values: Any, indent: int = 1) -> str:
    """JSON with lists of numbers on one line."""
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    return _NUMBERS.sub(lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text) + "\n"
