"""How long a run takes: in proportion to its work, learnt from what happened, and never in the way of a run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_brgm.corruptions import Identity
from napari_brgm.engine import estimate
from napari_brgm.engine.estimate import Work, estimated_seconds, in_words, learn
from napari_brgm.engine.job import Job, ObservedSlice, Stack
from napari_brgm.engine.run_stack import StackPlan
from napari_brgm.engine.thin_slices import ThinSlices
from napari_brgm.plugin.prior_panel import offered_priors
from napari_brgm.priors.deep_image import DeepImagePrior
from napari_brgm.settings import preset, settings_for
from napari_brgm.zoo.entry import Kind, PriorEntry
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.folder import ENTRY, installed, unreadable, user_folder
from napari_brgm.zoo.install import import_file
from napari_brgm.zoo.registry import load_entry

BRAIN = PriorEntry("brain-axial-128", Kind.shipped, resolution=128, preset="default")
WORK = Work(BRAIN.name, 128, settings_for("default"), "map", samples=32, slices=1, pixels=256**2)


def of_prior(entry: PriorEntry = BRAIN, quality: str = "standard", **changes) -> Work:
    """As the widgets and the shell ask."""
    entry = replace(entry, **changes)
    return replace(WORK, prior=entry.name, side=entry.resolution, settings=settings_for(entry.preset, quality))


def test_steps_of_all_slices_and_methods() -> None:
    one = settings_for("default", "standard").steps
    assert WORK.steps == one + 4
    assert replace(WORK, slices=3).steps == 3 * (one + 4)
    variational = settings_for("default", "standard").vi_steps
    assert variational and replace(WORK, method="vi", samples=33).steps == one + variational + 5
    assert replace(WORK, method="laplace").steps > one + 4


@pytest.mark.parametrize(
    ("name", "preset"),
    [("my-faces", "unaided"), ("my-manifold", "manifold"), ("lcm-in-name-only", "default"), ("texture", "untrained")],
)
def test_steps_are_those_of_the_preset_not_of_the_name(name: str, preset: str) -> None:
    """Catches an imported StyleGAN2 timed at 12 steps where it takes 100, and a latent convolutional model at 12."""
    work = of_prior(name=name, preset=preset)
    standard, careful = (settings_for(preset, quality).steps + 4 for quality in ("standard", "careful"))
    searched = {"unaided": (40, 160), "manifold": (102, 102)}.get(preset, (0, 0))  # the spread beside MAP
    assert work.steps == standard + searched[0]
    assert of_prior(quality="careful", name=name, preset=preset).steps == careful + searched[1]
    assert replace(work, samples=0).steps == standard - 4


def test_an_imported_stylegan2_is_timed_by_its_own_settings(tmp_path, random_stylegan2) -> None:
    """From the file through the registry to the estimate; nobody has said what family it is."""
    write_prior(random_stylegan2, tmp_path / "net.safetensors")
    import_file(tmp_path / "net.safetensors", "brain-look-alike")
    entry = offered_priors()["brain-look-alike"]
    unaided = settings_for("unaided", "standard").steps
    assert of_prior(entry).steps == unaided + 40 + 4 >= 100


@pytest.mark.parametrize(("family", "preset"), [("stylegan2", ""), ("", "paper"), ("stylegan2", "paper"), ("", "")])
def test_what_an_entry_leaves_open_is_read_off_its_file(tmp_path, random_stylegan2, family: str, preset: str) -> None:
    """Catches an entry of a known family without settings, timed as the default, and settings of its own passed over:
    what is timed is what loading gives."""
    write_prior(random_stylegan2, tmp_path / "net.safetensors")
    import_file(tmp_path / "net.safetensors", "brain-look-alike")
    path = user_folder() / "brain-look-alike" / ENTRY
    record = json.loads(path.read_text()) | {"family": family, "preset": preset, "rank": 3}
    path.write_text(json.dumps(record))
    entry = offered_priors()["brain-look-alike"]
    assert entry.preset == load_entry(entry).info.preset == (preset or "unaided") and entry.family == "stylegan2"
    wanted = settings_for(preset or "unaided", "standard").steps
    assert of_prior(entry).steps == wanted + 4 + (0 if preset else 40)
    assert entry.rank == (3 if family else 0)


STACK = Stack(tuple(map(float, range(6, 26))), tuple((float(i), np.zeros((2, 2))) for i in (*range(6), *range(26, 32))))


@pytest.mark.parametrize("gap", [None, 12])
@pytest.mark.parametrize("mm", [1.0, 3.0, 50.0])
def test_windows_of_a_stack_are_those_of_the_run(stack_prior, gap, mm) -> None:
    """Catches an estimate of other windows than there will be, and slices far apart that are taken for a stack."""
    places = tuple(mm * at for at in STACK.places if at != gap)
    stack = Stack(places, tuple((mm * at, image) for at, image in STACK.neighbours))
    slices = (ObservedSlice(np.zeros((24, 24)), lambda: Identity()),) * len(places)
    job = Job(slices, stack_prior, settings_for("default"), samples=8, device="cpu", stack=stack)
    plan, work = StackPlan(job), Work.of(job, [(24, 24)] * len(places))
    results = plan.layout.results
    sizes = [(len(part.new), int((results[list(part.new)] >= 0).sum())) for part in plan.windows]
    assert list(work.windows) == sizes and (mm == 50.0) == (not sizes)
    assert work.slices == len(places) - len(plan.together)
    costs = plan.costs(job.settings, 8)
    alone = replace(work, slices=0).steps
    assert alone == pytest.approx(sum(costs.values()), abs=1)
    assert replace(job, method="vi").stack is stack and not Work.of(replace(job, method="vi"), [(24, 24)]).windows


def test_thin_slices_are_timed_as_their_windows(stack_prior) -> None:
    thin = ThinSlices.of(8, 3.0, 3, None)
    slices = (ObservedSlice(np.zeros((24, 24)), lambda: Identity()),) * 8
    job = Job(slices, stack_prior, settings_for("default"), samples=8, device="cpu", stack=thin.stack())
    work, plan = Work.of(job, [(24, 24)] * 8), StackPlan(job)
    assert work.slices == 0 and [new for new, _ in work.windows] == [len(part.new) for part in plan.windows]


def test_a_stack_learns_for_itself_and_starts_from_slices_alone() -> None:
    stack = WORK.in_windows(STACK)
    learn(WORK, 2 * estimated_seconds(WORK))
    assert estimated_seconds(stack) == pytest.approx(2 * stack.steps * 0.14, rel=1e-3)
    single = estimated_seconds(WORK)
    learn(stack, 500.0)
    assert estimated_seconds(stack) == pytest.approx(500) and estimated_seconds(WORK) == single


def test_a_job_is_timed_as_it_will_run(random_stylegan2, linear_prior) -> None:
    slices = (ObservedSlice(np.zeros((40, 30)), lambda: Identity()),) * 3
    job = Job(slices, random_stylegan2, None, samples=16, device="cpu")
    work = Work.of(job, [(40, 30)] * 3)
    assert (work.side, work.slices, work.samples, work.pixels, work.on_gpu) == (32, 3, 16, 1200, False)
    assert work.steps == 3 * (settings_for("unaided").steps + 40 + 2)
    released = replace(job, settings=preset("reference"))
    assert released.draws == 0 and Work.of(released, [(40, 30)]).steps == 3 * 501
    assert replace(released, method="vi").draws == 16
    own = replace(job, prior=DeepImagePrior())
    assert Work.of(own, [(100, 90)]).side == 0


def test_first_guess() -> None:
    seconds = estimated_seconds(WORK)
    assert estimated_seconds(replace(WORK, slices=5)) == pytest.approx(5 * seconds)
    assert estimated_seconds(replace(WORK, pixels=10)) == seconds  # a prior's frame is what counts
    assert estimated_seconds(of_prior(resolution=256)) > 2 * seconds
    assert estimated_seconds(replace(WORK, on_gpu=True)) < seconds / 5
    untrained = of_prior(name="texture", resolution=0, preset="untrained")
    assert estimated_seconds(replace(untrained, pixels=512**2)) == pytest.approx(4 * estimated_seconds(untrained))


def test_it_learns_from_a_run() -> None:
    """What is learnt of one size holds for another, and for no other prior, method or device."""
    before = estimated_seconds(WORK)
    learn(replace(WORK, slices=2), 400.0)
    assert estimated_seconds(WORK) == pytest.approx(200)
    for other in (
        of_prior(name="brain-axial-256"),
        replace(WORK, method="vi"),
        replace(WORK, on_gpu=True),
    ):
        assert estimated_seconds(other) != pytest.approx(200 * other.steps / WORK.steps)
    learn(WORK, 100.0)
    assert 100 < estimated_seconds(WORK) < 150
    assert estimated_seconds(WORK) != before
    kept = json.loads((user_folder() / "timings.json").read_text())
    assert list(kept) == ["brain-axial-128 map cpu"]
    assert installed() == {} and unreadable() == {}  # the file is not taken for a prior


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", '{"brain-axial-128 map cpu": "soon"}', "null"])
def test_a_spoilt_file_is_as_none(content: str) -> None:
    before = estimated_seconds(WORK)
    user_folder().mkdir(parents=True)
    (user_folder() / "timings.json").write_text(content)
    assert estimated_seconds(WORK) == before
    learn(WORK, 60.0)
    assert estimated_seconds(WORK) == pytest.approx(60)


@pytest.mark.parametrize("second", ["-1", "0", "NaN", "Infinity"])
def test_speeds_that_cannot_be(second: str) -> None:
    before = estimated_seconds(WORK)
    user_folder().mkdir(parents=True)
    (user_folder() / "timings.json").write_text(f'{{"{WORK.key}": {second}}}')
    assert estimated_seconds(WORK) == before


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(estimate, "_path", lambda: tmp_path / "file" / "timings.json")
    learn(WORK, 60.0)
    assert estimated_seconds(WORK) > 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.01, "1 s"), (9.4, "9 s"), (12, "10 s"), (89, "90 s"), (100, "2 min"), (5399, "90 min"), (5400, "1.5 h")],
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == f"about {words}"
