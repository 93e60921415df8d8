"""Supervised rivals as methods of the grid: what they solve, what untrained ones give, and files that are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_brgm.errors import WeightsError
from napari_brgm.evaluation.supervised.method import SupervisedNet
from napari_brgm.evaluation.supervised.net import RestoringNet
from napari_brgm.evaluation.supervised.weights import SupervisedCard, read_net, write_net
from napari_brgm.evaluation.tasks import Task, grid_tasks
from napari_brgm.tensor_file import read_tensors, write_tensors

SIZE, BLOCKS = 32, (1, 1)


@pytest.fixture
def written(tmp_path):
    """``written(name, **card)``: an untrained network in a file, with a mean image that is a ramp."""

    def write(name="inpaint-pixel", **given):
        net = RestoringNet(SIZE, 4, 8, BLOCKS)
        net.mean.copy_(torch.linspace(0, 1, SIZE).expand(1, SIZE, SIZE))
        factors = (2, 4, 8) if name.startswith("sr") else ()
        card = SupervisedCard(name, "brain-128", SIZE, factors, 4, 8, BLOCKS, 800, 5400.0, 1800.0, 0, 48, 3)
        path = tmp_path / f"{name}.safetensors"
        write_net(path, net, card)
        if given:
            tensors, metadata = read_tensors(path)
            card = json.dumps(json.loads(metadata["card"]) | given)
            write_tensors(path, tensors, metadata | {"card": card})
        return path

    return write


def test_each_solves_its_own_kind_of_task_at_its_own_size(written):
    holes, low = SupervisedNet(written()), SupervisedNet(written("sr-adversarial"))
    solved = {task.name: (holes.solves(task), low.solves(task)) for task in grid_tasks(SIZE)}
    assert solved["mask-0"] == solved["strokes"] == solved["missing-95"] == (True, False)
    assert solved["x2"] == solved["x8"] == (False, True)
    assert solved["jpeg-10"] == (False, False)
    assert not low.solves(Task("x16", "x16", factor=16, size=SIZE))  # a factor that it has not seen
    assert not any(holes.solves(task) or low.solves(task) for task in grid_tasks(64))


def test_it_begins_with_the_mean_image_in_the_hole_and_with_the_bicubic_enlargement(written):
    truth = np.random.default_rng(0).uniform(0, 255, (1, SIZE, SIZE)).astype(np.float32)
    for task in grid_tasks(SIZE):
        method = SupervisedNet(written("sr-pixel" if task.kind == "low-res" else "inpaint-adversarial"))
        if not method.solves(task):
            continue
        observed = task.observe(truth)
        found = method.restore(observed[0], task, seed=0).estimate
        if task.missing is None:
            low = torch.from_numpy(observed)[:, None]
            expected = F.interpolate(low, size=(SIZE, SIZE), mode="bicubic", align_corners=False)[0, 0].numpy()
        else:
            expected = np.where(task.missing, np.linspace(0, 255, SIZE), truth[0])
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_row_tells_role_and_hours_and_depends_on_the_weights(written):
    method = SupervisedNet(written("sr-adversarial"))
    assert (method.name, method.family) == ("sr-adversarial", "supervised")
    assert "ESRGAN" in method.title and "2.0 h" in method.title
    before = method.fingerprint()
    written("sr-adversarial", images=801)
    assert SupervisedNet(method.path).fingerprint() != before


def test_files_of_another_kind_are_refused_in_a_sentence(written, tmp_path):
    path = written()
    with pytest.raises(WeightsError, match=r"there is no weights file .*train-rivals"):
        SupervisedNet(tmp_path / "nobody.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    write_tensors(foreign, {"a": torch.zeros(3)}, {"format": "another"})
    with pytest.raises(WeightsError, match=r"foreign\.safetensors is not of a supervised rival"):
        SupervisedNet(foreign)
    foreign.write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        SupervisedNet(foreign)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(WeightsError, match="does not hold the network"):
        SupervisedNet(path).prepare()


@pytest.mark.parametrize(
    "wrong",
    [
        {"filters": 10**6}, {"filters": 12}, {"size": 36}, {"size": True}, {"blocks": [1] * 9}, {"blocks": 3},
        {"seconds": "many"}, {"seconds": float("nan")}, {"name": "nobody"}, {"factors": [0]}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_no_entry_of_a_card_is_believed(written, wrong):
    with pytest.raises(WeightsError, match=r"the card in .* is damaged"):
        SupervisedNet(written(**wrong))


def test_a_network_that_is_not_the_cards_is_refused(written):
    path = written(filters=16)
    with pytest.raises(WeightsError, match="does not hold the network"):
        read_net(path)
    path = written()
    tensors, metadata = read_tensors(path)
    tensors["mean"][0, 0, 0] = float("nan")
    write_tensors(path, tensors, metadata)
    with pytest.raises(WeightsError, match="not finite"):
        read_net(path)
