"""``napari-brgm replay``: a result made again from its record, and what of it came out differently."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_brgm.cli import options
from napari_brgm.cli.terminal import say
from napari_brgm.errors import InputError
from napari_brgm.settings import preset
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["differences", "replay"]

_DIFFERENT = 1
_PASSING = (  # of each run, names, or told by others
    "created", "seconds", "run", "job_sha256", "results", "inputs", "widths", "source_layer",
)  # fmt: skip
_TASKS = {"Mask": "inpaint", "Downsample": "superres", "Jpeg": "clean", "Identity": "clean"}
_SHOWN = 12


def replay(
    context: typer.Context,
    record: Annotated[
        Path,
        typer.Argument(
            metavar="RECORD",
            help="JSON beside an image of inpaint, superres or clean, or that image (NIfTI, PNG, TIFF).",
        ),
    ],
    scan: Annotated[Path, typer.Option(help="The scan that it was made of.", show_default=False)],
    out: options.Out,
    mask: Annotated[Path | None, typer.Option(help="The mask, of an in-painting.", show_default=False)] = None,
    second: Annotated[
        Path | None, typer.Option(help="The second scan, where the record names one.", show_default=False)
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(help="Name of the prior, or path of its file.", show_default="the name in the record"),
    ] = None,
    device: options.Device = "auto",
    pseudonym: options.Pseudonym = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Make a result again from its record, and say whether it is bit-identical.

    If it is not, or inputs, prior, software or processor are not those of the record, tells in which parts the records
    differ, and ends with 1. Results are exact on the same kind of processor with the same versions and number of
    threads.
    """
    from napari_brgm.cli.pseudonym import read_as
    from napari_brgm.scans.fingerprint import sha256_of
    from napari_brgm.scans.record import record_of, sidecar_of

    if not record.is_file():
        raise InputError(f"there is no file {plain_text(record)}; check the path")
    record = record if record.suffix == ".json" else sidecar_of(record)
    known, _, _ = record_of(_image_name(record))
    if known is None:
        raise InputError(f"{plain_text(record.name)} has no record of a result; give the .json that lies beside one")
    task, arguments = command_of(known, prior)
    if (task == "inpaint") != (mask is not None):
        raise InputError(
            "the record is of an in-painting; give its --mask"
            if mask is None
            else f"{task} takes no mask; leave out --mask"
        )
    if _with_second(known) != (second is not None):
        raise InputError(
            "the record is of two scans of one patient; give the other one as --second"
            if second is None
            else "the record is of one scan; leave out --second"
        )
    scan, mask, second = context.with_resource(read_as(pseudonym, out, scan, mask=mask, second=second))
    more = {"--mask": mask, "--second": second}
    read = [scan, *(path for path in more.values() if path is not None)]
    apart = [
        f"input {plain_text(path.name)}: other bytes than {one['name']} had"
        for one, path in zip(known.get("inputs", []), read, strict=False)
        if one.get("sha256") != sha256_of(path)
    ]
    given = [str(scan), "--out", str(out), "--device", device]
    for option, path in more.items():
        given += [] if path is None else [option, str(path)]
    given += arguments + _series(scan, known) + (["--overwrite"] if overwrite else [])
    group: Any = context.find_root().command
    before = {path: path.stat().st_mtime_ns for path in out.glob("*Estimate*.json")} if out.is_dir() else {}
    with group.commands[task].make_context(task, given, parent=context) as inner:
        inner.command.invoke(inner)
    made = [path for path in out.glob("*Estimate*.json") if before.get(path) != path.stat().st_mtime_ns]
    again, _, _ = record_of(_image_name(made[0]))
    assert again is not None
    apart += list(differences(known, again))
    image = _image_beside(record)
    verdict = _compared(image, _image_beside(made[0]))
    for line in apart[:_SHOWN]:
        say(f"differs: {line}", err=True)
    if len(apart) > _SHOWN:
        say(f"and {len(apart) - _SHOWN} parts more", err=True)
    say(verdict)
    if apart or verdict != _IDENTICAL:
        raise typer.Exit(_DIFFERENT)


def _with_second(record: dict[str, Any]) -> bool:
    return any(one.get("second") for one in [record, *(record.get("slices") or [])])


def _series(scan: Path, record: dict[str, Any]) -> list[str]:
    """Which of the series in a folder the record is of, by the number that it has in the scanner's order."""
    from napari_brgm.scans import read_scan
    from napari_brgm.scans.names import series_label

    label = str((record.get("inputs") or [{}])[0].get("name"))
    if not scan.is_dir() or not label.startswith("series "):
        return []
    labels = [series_label(one.header) for one in read_scan(scan)]
    if labels.count(label) != 1:
        many = "several times " if label in labels else "no "
        raise InputError(
            f"there is {many}{label} in {plain_text(scan.name)}; give the folder of the series that it was made of"
        )
    return ["--series", str(labels.index(label) + 1)]


_IDENTICAL = "bit-identical"


def command_of(record: dict[str, Any], prior: str | None = None) -> tuple[str, list[str]]:
    """Task and options of the shell's command that makes a result again, but for its files.

    Raises
    ------
    InputError
        The record is of something else, or of a trial.
    """
    slices = record.get("slices") or [{"index": record.get("index")}]
    whole = record | slices[0]
    corruption = whole.get("corruption") or {}
    task = _TASKS.get(str(corruption.get("name")))
    if task is None or record.get("trial") or len(corruption.get("factor", [])) == 3:
        raise InputError(
            "the record is of no in-painting, super-resolution in the plane or cleaning; nothing is replayed"
        )
    settings = whole["settings"]
    found = [
        "--prior", prior or whole["prior"]["name"], "--method", whole["method"], "--samples", str(whole["samples"]),
        "--seed", str(whole["seed"]), "--preset", settings["name"],
    ]  # fmt: skip
    if settings["steps"] != preset(settings["name"]).steps:
        found += ["--steps", str(settings["steps"])]
    if task != "clean":
        found += ["--refine", str(settings["refine_steps"]), "--finish" if settings["finish"] else "--no-finish"]
    if settings["lambda_perceptual"]:
        found += ["--features", settings["features"]]
    if task == "superres":
        found += ["--factor", ",".join(f"{factor:g}" for factor in corruption["factor"])]
    elif corruption["name"] == "Jpeg":
        found += ["--jpeg-quality", str(corruption["quality"])]
    elif task == "clean":
        found += ["--noise-sigma", str(record.get("noise_sigma"))]
    elif record.get("mask", {}).get("missing_where") == "zero":
        found.append("--invert-mask")
    if task == "inpaint":
        found += ["--yes"] + (["--alone"] if record.get("alone") else [])
    for option in ("plane", "volume"):
        if record.get(option) is not None:
            found += [f"--{option}", str(record[option])]
    if len(slices) == 1 and slices[0].get("index") is not None and record.get("plane") is not None:
        found += ["--index", str(slices[0]["index"])]
    return task, found + (["--strip"] if whole.get("strip") else [])


def differences(one: Any, other: Any, at: str = "") -> Iterator[str]:
    """Parts in which two records differ, but for what differs in every run; 'prior.sha256: a, now b'."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            if key not in _PASSING and not str(key)[:1].isupper():
                yield from differences(one.get(key), other.get(key), f"{at}.{key}" if at else str(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            yield from differences(first, second, f"{at}[{number}]")
    elif one != other:
        yield f"{at}: {_short(one)}, now {_short(other)}"


def _short(value: Any) -> str:
    text = plain_text(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _image_name(record: Path) -> Path:
    """Name of an image that a record may lie beside."""
    return record.with_name(record.name.removesuffix(".json") + ".nii")


def _image_beside(record: Path) -> Path | None:
    """The image that a record lies beside."""
    stem = record.name.removesuffix(".json")
    endings = (".nii.gz", ".nii", ".png", ".tif")
    return next((path for ending in endings if (path := record.with_name(stem + ending)).is_file()), None)


def _compared(before: Path | None, now: Path | None) -> str:
    """Whether the pixels of two images are the same."""
    import numpy as np

    if before is None or now is None:
        return "made again; there is no image beside the record to compare it with"
    first, second = _pixels(before), _pixels(now)
    if first.shape != second.shape:
        return f"not identical: the image had the shape {first.shape}, and now has {second.shape}"
    if first.dtype == second.dtype and first.tobytes() == second.tobytes():
        return _IDENTICAL
    apart = np.abs(first.astype(np.float64) - second.astype(np.float64))
    count = int(np.count_nonzero(~(apart == 0)))
    return f"not identical: {count} of {apart.size} pixels differ, by {np.nanmax(apart):.3g} at most"


def _pixels(path: Path) -> Any:
    import nibabel as nib
    import numpy as np

    from napari_brgm.scans.picture import read_picture

    if path.name.endswith((".nii", ".nii.gz")):
        loaded: Any = nib.load(path)
        return np.asanyarray(loaded.dataobj)
    return read_picture(path).pixels
