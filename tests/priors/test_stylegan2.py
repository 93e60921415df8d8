"""StyleGAN2 agrees with an independent implementation, and refuses what it is not."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_layers import activate

NETS = ["32_gray", "64_rgb", "64_gray_resnet"]


@pytest.fixture(params=NETS)
def net_and_case(request, parity):
    weights, case = parity(request.param)
    return StyleGAN2.from_state_dict(weights), case


def test_mapping_and_truncation_match(net_and_case):
    """Catches a missing normalisation of z, a wrong learning-rate multiplier, or truncation of the wrong layers."""
    net, case = net_and_case
    torch.testing.assert_close(net.mapping(case["z"]), case["ws"], atol=1e-4, rtol=0)
    torch.testing.assert_close(net.mapping(100 * case["z"]), case["ws"], atol=1e-4, rtol=0)
    truncated = net.mapping(case["z"], truncation_psi=0.7, truncation_cutoff=4)
    torch.testing.assert_close(truncated, case["ws_truncated"], atol=1e-4, rtol=0)
    whole = net.mapping(case["z"], truncation_psi=0.0)
    torch.testing.assert_close(whole, net.mapping.w_avg.expand_as(whole))


def test_a_mapping_of_another_width_is_read(parity):
    """Inner layers of 48, z of 20, w of 32, drawn by hand; catches a reader that knows one width only."""
    weights, _ = parity("32_gray")
    generator = torch.Generator().manual_seed(0)
    sizes = [20, 48, 48, weights["synthesis.b4.conv1.affine.weight"].shape[1]]
    own = {k: v for k, v in weights.items() if not k.startswith("mapping.fc")}
    for i in range(3):
        own[f"mapping.fc{i}.weight"] = 100 * torch.randn(sizes[i + 1], sizes[i], generator=generator)
        own[f"mapping.fc{i}.bias"] = torch.randn(sizes[i + 1], generator=generator)
    net = StyleGAN2.from_state_dict(own)
    assert (net.mapping.z_dim, net.mapping.features, net.mapping.w_dim) == (20, 48, 32)
    z = torch.randn(3, 20, generator=generator)
    x = z / z.square().mean(dim=1, keepdim=True).sqrt()
    for i in range(3):
        weight, bias = own[f"mapping.fc{i}.weight"], own[f"mapping.fc{i}.bias"]
        x = torch.nn.functional.leaky_relu(x @ weight.T * 0.01 / sizes[i] ** 0.5 + bias * 0.01, 0.2) * 2**0.5
    torch.testing.assert_close(net.mapping(z)[:, 0], x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noise", ["const", "none"])
def test_images_match(net_and_case, noise):
    """Catches any wrong offset or flip of the filters, gain, noise or order of the w."""
    net, case = net_and_case
    with torch.no_grad():
        images = net.synthesis(case["wplus"], noise=noise)
    torch.testing.assert_close(images, case[f"image_noise_{noise}"], atol=1e-4, rtol=0)


def test_gradients_match(net_and_case):
    """Catches in-place operations or detached styles that leave the image right and its gradient wrong."""
    net, case = net_and_case
    wplus = case["wplus"].clone().requires_grad_(True)
    (found,) = torch.autograd.grad(net.synthesis(wplus, noise="const").square().mean(), wplus)
    wanted = case["grad_wplus_mean_square"]
    assert (found - wanted).norm() < 1e-3 * wanted.norm()
    assert (found - wanted).abs().max() < 1e-3 * wanted.abs().max()


def test_a_batch_is_its_images_one_by_one(net_and_case):
    """Catches samples that share a style or a demodulation, as in a batched convolution done wrong."""
    net, case = net_and_case
    with torch.no_grad():
        batch = net.synthesis(case["wplus"])
        single = torch.cat([net.synthesis(w[None]) for w in case["wplus"]])
    torch.testing.assert_close(batch, single, atol=1e-5, rtol=0)


def test_noise_modes(parity):
    """Catches a 'random' that is fixed, or noise maps that are never added."""
    weights, case = parity("32_gray")
    net, w = StyleGAN2.from_state_dict(weights), case["wplus"][:1]
    with torch.no_grad():
        none, const = net.synthesis(w, noise="none"), net.synthesis(w, noise="const")
        draws = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            draws.append(net.synthesis(w, noise="random"))
    assert torch.equal(draws[0], draws[1])
    for a, b in [(none, const), (none, draws[0]), (const, draws[0]), (draws[0], draws[2])]:
        assert (a - b).abs().max() > 1e-3


def test_conv_clamp_bounds_the_activations(parity):
    """Catches a clamp that is stored but never applied: nets trained with mixed precision need it."""
    weights, case = parity("32_gray")
    w = 20 * case["wplus"]
    with torch.no_grad():
        free = StyleGAN2.from_state_dict(weights).synthesis(w)
        clamped = StyleGAN2.from_state_dict(weights, conv_clamp=0.05).synthesis(w)
        loose = StyleGAN2.from_state_dict(weights, conv_clamp=1e6).synthesis(w)
    assert clamped.abs().max() <= 4 * 0.05 + 1e-6  # one torgb of four resolutions each
    assert free.abs().max() > 1
    assert torch.equal(free, loose)


@pytest.mark.parametrize("resolution", [32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_number_of_ws(resolution, architecture):
    """2 log2(resolution) - 2: 14 at 256, 18 at 1024."""
    log2 = resolution.bit_length() - 1
    with torch.device("meta"):
        net = StyleGAN2({2**k: 2 for k in range(2, log2 + 1)}, 4, 4, mapping_layers=1, architecture=architecture)
        ws = net.mapping(torch.zeros(1, 4))
        image = net.synthesis(ws, noise="none")
    assert net.num_ws == net.synthesis.num_ws == 2 * log2 - 2 == ws.shape[1]
    assert net.resolution == resolution and image.shape == (1, 1, resolution, resolution)


def test_ws_of_another_shape_are_refused(parity):
    net = StyleGAN2.from_state_dict(parity("32_gray")[0])
    with pytest.raises(ValueError, match="ws must be"):
        net.synthesis(torch.zeros(1, net.num_ws - 1, 32))


def damaged(weights: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    w = dict(weights)
    match how:
        case "StyleGAN3":
            return {"synthesis.input.freqs": torch.zeros(4, 2), "synthesis.L0_36_512.weight": torch.zeros(1)}
        case "class-conditional":
            w["mapping.embed.weight"] = torch.zeros(32, 10)
        case "missing":
            del w["synthesis.b16.conv0.bias"]
        case "missing mapping":
            del w["mapping.fc0.weight"]
        case "unknown":
            w["synthesis.b16.conv0.extra"] = torch.zeros(3)
        case "shape":
            w["synthesis.b16.conv0.affine.weight"] = w["synthesis.b16.conv0.affine.weight"][:, :-1]
        case "filter":
            w["synthesis.b16.resample_filter"] = torch.full((4, 4), 1 / 16)
        case "wider filter":
            w["synthesis.b16.resample_filter"] = torch.full((12, 12), 1 / 144)
        case "gap":
            w = {k: v for k, v in w.items() if ".b16." not in k}
        case "empty":
            w = {}
        case "other":
            w = {"layer1.0.conv1.weight": torch.zeros(8, 8, 3, 3)}
    return w


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("StyleGAN3", "StyleGAN3"), ("class-conditional", "class-conditional"), ("missing", r"b16\.conv0\.bias"),
        ("missing mapping", "mapping"), ("unknown", r"conv0\.extra"), ("shape", r"b16\.conv0\.affine"),
        ("filter", "filter"), ("wider filter", "filter"), ("gap", "resolutions"), ("empty", "not a StyleGAN2"),
        ("other", "not a StyleGAN2"),
    ],
)  # fmt: skip
def test_other_weights_are_refused_in_one_sentence(parity, how, says):
    with pytest.raises(WeightsError, match=says) as caught:
        StyleGAN2.from_state_dict(damaged(parity("32_gray")[0], how))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_resample_filters_need_not_be_stored(parity):
    """Some converters leave the constant filters out."""
    weights, case = parity("32_gray")
    net = StyleGAN2.from_state_dict({k: v for k, v in weights.items() if not k.endswith("resample_filter")})
    torch.testing.assert_close(net.synthesis(case["wplus"]), case["image_noise_const"], atol=1e-4, rtol=0)


def test_the_smooth_activation(parity):
    """0.2 x + 0.8 softplus(50 x) / 50 in place of the leaky ReLU with its gain; each network has its own."""
    x = torch.linspace(-2, 2, 41)
    smooth = activate(x, "lsoftplus")
    torch.testing.assert_close(smooth, 0.2 * x + 0.8 * torch.log1p(torch.exp(50.0 * x.double())).float() / 50)
    torch.testing.assert_close(activate(x, "lrelu", 0.5), torch.where(x > 0, x, 0.2 * x) * 0.5 * 2**0.5)
    weights, case = parity("32_gray")
    plain = StyleGAN2.from_state_dict(weights)
    net = StyleGAN2.from_state_dict(weights, activation="lsoftplus")
    torch.testing.assert_close(net.mapping(case["z"]), case["ws"], atol=1e-4, rtol=0)
    with torch.no_grad():
        assert (net.synthesis(case["wplus"]) - plain.synthesis(case["wplus"])).abs().max() > 0.01
    both = StyleGAN2.from_state_dict(weights, activation="lsoftplus", mapping_activation="lsoftplus")
    assert (both.mapping(case["z"]) - case["ws"]).abs().max() > 0.01


def test_nothing_is_allocated_on_the_word_of_a_shape(parity):
    """A tensor without elements can claim any width; built from such claims, the network would take terabytes."""
    weights = dict(parity("32_gray")[0])
    weights["synthesis.b32.conv1.weight"] = torch.zeros(10**7, 0, 3, 3)
    weights["synthesis.b16.conv1.weight"] = torch.zeros(10**7, 0, 3, 3)
    with pytest.raises(WeightsError, match="shape"):
        StyleGAN2.from_state_dict(weights)


def test_weights_are_copied(parity):
    """A network that is trained on must not change what it was made from."""
    weights = {k: v.clone() for k, v in parity("32_gray")[0].items()}
    net = StyleGAN2.from_state_dict(weights)
    with torch.no_grad():
        net.mapping.w_avg.add_(1)
        net.synthesis.b4.const.add_(1)
    torch.testing.assert_close(weights["synthesis.b4.const"], parity("32_gray")[0]["synthesis.b4.const"])
    torch.testing.assert_close(weights["mapping.w_avg"], parity("32_gray")[0]["mapping.w_avg"])
