"""The hourglass draws every size that its widths say, uses all its weights, and is rebuilt from them alone."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.hourglass import Hourglass

WIDTHS = {"trunk": (6, 8, 10), "fine": (5, 3), "skip": 2}


def hourglass(**changes) -> Hourglass:
    torch.manual_seed(0)
    return Hourglass(**{"ins": 7, "outs": 1} | WIDTHS | changes)


def latent(ins: int = 7, batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, ins, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({}, 128), ({"fine": ()}, 32), ({"fine": (4,)}, 64), ({"trunk": (4, 5)}, 128),
        ({"trunk": (4, 4, 4, 4, 4, 4), "fine": ()}, 32), ({"outs": 3, "fine": (4,)}, 64),
    ],
)  # fmt: skip
def test_sizes_follow_the_widths(changes, side):
    net = hourglass(**changes)
    images = net(latent())
    assert images.shape == (3, changes.get("outs", 1), side, side) and net.channels == changes.get("outs", 1)
    assert images.abs().max() <= 1 and images.std() > 0


def test_every_weight_has_a_say():
    """Catches a skip that is cut, and a block that the forward pass forgets."""
    net = hourglass().train()
    (net(latent()) - 0.3).square().sum().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_the_range_is_that_of_a_sigmoid():
    """Tanh(x / 2) = 2 sigmoid(x) - 1: the paper's output on the [-1, 1] range."""
    net = hourglass().eval()
    seen = []
    net.last.register_forward_hook(lambda _module, _given, out: seen.append(out))
    images = net(latent())
    torch.testing.assert_close(images, 2 * torch.sigmoid(seen[0]) - 1)


@pytest.mark.parametrize("changes", [{}, {"fine": ()}, {"trunk": (4, 5)}, {"outs": 3, "skip": 1}])
def test_rebuilt_from_its_weights(changes):
    net = hourglass(**changes).train()
    net(latent())  # so that running means are not those of a new network
    again = Hourglass.from_state_dict({k: v for k, v in net.state_dict().items() if v.is_floating_point()})
    assert (again.trunk, again.fine) == (net.trunk, net.fine)
    torch.testing.assert_close(again(latent()), net.eval()(latent()))
    assert not any(p.requires_grad for p in again.parameters())
    net.last.weight.data += 1
    assert not torch.equal(again.last.weight, net.last.weight)  # a copy


def broken(how: str) -> dict[str, torch.Tensor]:
    weights = {k: v for k, v in hourglass().state_dict().items() if v.is_floating_point()}
    match how:
        case "nothing":
            return {}
        case "missing":
            del weights["up.1.conv.weight"]
        case "gap":  # down.0 is gone, down.1 is there
            del weights["down.0.conv.weight"]
        case "shape":
            weights["skip.1.weight"] = weights["skip.1.weight"][:, :-1]
        case "scalar":
            weights["squeeze.conv.weight"] = torch.tensor(3.0)
        case "unknown":
            weights["extra.weight"] = torch.zeros(3)
        case "zero":
            weights["squeeze.conv.weight"] = torch.zeros(0, 7, 1, 1)
        case "huge":  # 2^40 channels in no bytes: nothing of the kind may be allocated
            weights["down.0.conv.weight"] = torch.empty(1 << 40, 0, 3, 3)
        case "deep":
            weights |= {f"down.{i}.conv.weight": torch.zeros(4, 4, 3, 3) for i in range(2, 40)}
        case "integers":
            weights["last.weight"] = weights["last.weight"].to(torch.int8)[:, :-1]
        case "variance":
            weights["squeeze.norm.running_var"] = -weights["squeeze.norm.running_var"]
    return weights


@pytest.mark.parametrize(
    "how",
    [
        "nothing", "missing", "gap", "shape", "scalar", "unknown", "zero", "huge", "deep", "integers", "variance",
    ],
)  # fmt: skip
def test_other_weights_are_refused(how):
    with pytest.raises(WeightsError, match="hourglass") as caught:
        Hourglass.from_state_dict(broken(how))
    assert str(caught.value).isprintable()
