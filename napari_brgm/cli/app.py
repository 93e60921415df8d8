"""The typer application, and what becomes of errors: one sentence on stderr and exit code 2; 130 after Ctrl-C,
143 after SIGTERM.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_brgm import __version__
from napari_brgm.cli.archives import archives, pull, push
from napari_brgm.cli.batch import OPTIONS_OF_TASKS, batch
from napari_brgm.cli.bids import RAW_ARGUMENTS, bids
from napari_brgm.cli.clean import clean
from napari_brgm.cli.demo import demo
from napari_brgm.cli.evaluate import evaluate
from napari_brgm.cli.info import info
from napari_brgm.cli.inpaint import inpaint
from napari_brgm.cli.interpolate import interpolate
from napari_brgm.cli.measure import benchmark
from napari_brgm.cli.replay import replay
from napari_brgm.cli.sample import sample
from napari_brgm.cli.stopping import Stopped, stop_on_signals
from napari_brgm.cli.superres import superres
from napari_brgm.cli.terminal import say, survive_any_text
from napari_brgm.cli.train import train
from napari_brgm.cli.trial import trial
from napari_brgm.cli.weights_parts import weights
from napari_brgm.errors import BrgmError
from napari_brgm.reason import advice_of, lacks_memory, reason_of

__all__ = ["app", "main"]

_BAD_INPUT = 2
_STOPPED = 130  # 128 + SIGINT


class Commands(TyperGroup):
    """A group whose every failure that a person can mend is one sentence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            _say("stopped; no file was left half-written")
            raise typer.Exit(stop.code if isinstance(stop, Stopped) else _STOPPED) from None
        except BrgmError as error:
            _say(str(error))
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            _say("there is not enough memory; choose fewer --samples or a smaller scan")
        except BrokenPipeError:  # whoever read has seen enough, as head does: click ends it without a word
            raise
        except OSError as error:
            where = "" if error.filename is None else f" {error.filename}"
            advice = advice_of(error, "check the path and its permissions")
            _say(f"cannot use{where}: {reason_of(error)}; {advice}")
        raise typer.Exit(_BAD_INPUT)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            code = super().main(*args, **extra | {"standalone_mode": False})
        except Exception as error:
            # typer's own errors of use: click's class, or the copy of it that newer versions of typer carry
            message = getattr(error, "format_message", None)
            if message is None or not standalone_mode:
                raise
            if message():  # a group without a command has shown its help already
                _say(f"{message().rstrip('.')}; see --help")
            raise SystemExit(_BAD_INPUT) from None
        if not standalone_mode:
            return code
        raise SystemExit(code if isinstance(code, int) else 0)


app = typer.Typer(
    name="napari-brgm",
    cls=Commands,
    help="Restore medical images with a generative prior, and say how uncertain each pixel is. "
    "What is restored is synthetic: not for diagnosis.",
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _commands(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())


def _example(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(lines)


app.command(
    epilog=_example(
        "napari-brgm inpaint brain.nii.gz --mask artefact.nii.gz --out restored",
        "napari-brgm inpaint series-folder --series 2 --mask strokes.png --index 80 --method vi --out restored",
        "napari-brgm inpaint photo.png --mask strokes.png --pixel-mm 1.5 --out restored --save-video descent.gif",
        "napari-brgm inpaint brain.nii.gz --missing-share 0.95 --index 80 --out tried",
    )
)(inpaint)
app.command(
    epilog=_example(
        "napari-brgm superres brain.nii.gz --factor 4 --index 12 --out restored",
        "napari-brgm superres low.png --factor 4 --pixel-mm 6 --out restored",
        "napari-brgm superres thick.nii.gz --factor 3,1 --plane coronal --out restored",
    )
)(superres)
app.command(
    epilog=_example(
        "napari-brgm clean brain.nii.gz --jpeg-quality 10 --index 12 --out cleaned",
        "napari-brgm clean brain.nii.gz --noise-sigma 25 --out cleaned",
    )
)(clean)
app.command(
    name="try",
    epilog=_example(
        "napari-brgm try clean.png --corrupt mask.png --out tried",
        "napari-brgm try brain.nii.gz --corrupt x8 --index 80 --out tried --save-video descent.gif",
    ),
)(trial)
app.command(
    epilog=_example(
        "napari-brgm replay restored/brain_desc-brgmInpaintEstimate_image.json --scan brain.nii.gz "
        "--mask artefact.nii.gz --out again",
    )
)(replay)
app.command(
    context_settings=OPTIONS_OF_TASKS,
    epilog=_example(
        "napari-brgm batch --scans scans --masks masks --out restored inpaint --samples 16",
        "napari-brgm batch --job rows.csv --out restored --shard 2/8 superres --factor 2",
    ),
)(batch)
app.command(context_settings=RAW_ARGUMENTS)(bids)
app.command(
    epilog=_example(
        "napari-brgm sample --prior brain-axial-128 --count 16 --out drawn",
        "napari-brgm sample --count 4 --seed 7 --residual-field --out drawn",
    )
)(sample)
app.command(
    epilog=_example(
        "napari-brgm interpolate one.nii.gz another.nii.gz --index-first 80 --index-second 82 --out between",
        "napari-brgm interpolate brain.nii.gz brain.nii.gz --index-first 70 --index-second 90 --steps 5 --out between",
    )
)(interpolate)
app.command(epilog=_example("napari-brgm demo --out demo-output"))(demo)
app.command()(info)
app.add_typer(evaluate, name="evaluate")
app.command(epilog=_example("napari-brgm benchmark --device cpu"))(benchmark)
app.command(
    epilog=_example(
        "napari-brgm train --data brain_train.zip --work runs/brain --out brain.safetensors --minutes 120",
        "napari-brgm train --recipe finish --like brain-axial-128 --data brain_train.zip --work runs/finish "
        "--out brain.safetensors --minutes 120",
    )
)(train)

app.add_typer(weights, name="weights")
app.command(
    epilog=_example(
        "napari-brgm pull clinic --patient-id 4711 --date 20260131",
        "napari-brgm pull clinic --patient-id 4711 --series 1.2.840.1 --out series",
    )
)(pull)
app.command(epilog=_example("napari-brgm push clinic restored/series-3_desc-brgmInpaintDicom_image"))(push)
app.add_typer(archives, name="archives")


def main() -> None:
    """Run the command line of this process."""
    stop_on_signals()
    survive_any_text()
    app(prog_name="napari-brgm")


def _say(sentence: str) -> None:
    say(f"napari-brgm: {' '.join(sentence.split())}", err=True)
