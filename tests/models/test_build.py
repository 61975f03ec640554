"""The networks of regrow's own: sizes, shapes, initial weights, and what is refused."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn

from regrow import models
from regrow.errors import InputError, UnknownNameError
from regrow.models.inflation import inflate
from regrow.models.wide_resnet import WideBlock

OWN = [example for family in models.families() if family.modality == "image" for example in family.examples]
CLIPS = {example: family.frames for family in models.families() if family.frames for example in family.examples}
SMALL = {"width": 8}


def n_parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def inputs(name: str, n: int = 2, side: int = 32) -> torch.Tensor:
    """Images, or clips of eight frames."""
    return torch.randn(n, 3, 8, side, side) if name in CLIPS else torch.randn(n, 3, side, side)


def weights(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Conv3d | nn.Linear)]


@pytest.mark.parametrize(
    ("name", "n_classes", "count"),
    [
        ("resnet18", 10, 11_173_962),  # 11,164,352 weights, 9,600 of normalisation, 10 biases
        ("resnet34", 10, 21_282_122),
        ("vgg16", 10, 14_728_266),
        ("vgg11", 10, 9_231_114),
        ("resnet20", 10, 272_474),
        ("resnet8", 10, 78_042),
        ("resnet50", 10, 23_520_842),
        ("vgg13", 10, 9_416_010),
        ("vgg19", 10, 20_040_522),
        ("wrn-28-10", 10, 36_479_194),
        ("wrn-40-2", 10, 2_243_546),
        ("mlp", 10, 3072 * 1000 + 1000 + 1000 * 1000 + 1000 + 10_000 + 10),
        # torchvision's r3d_18 has a stem of 3 frames in place of 7
        ("resnet3d18", 400, 33_371_472 + 64 * 3 * 4 * 49),
    ],
)
def test_the_number_of_parameters_is_the_published_one(name, n_classes, count):
    with torch.device("meta"):
        assert n_parameters(models.build(name, n_classes)) == count


@pytest.mark.parametrize(("name", "layers"), [("resnet8", 10), ("resnet20", 22), ("resnet18", 21), ("vgg16", 14)])
def test_layers_with_weights_and_their_order(name, layers):
    found = weights(models.build(name, 10, width=8))
    assert len(found) == layers
    assert isinstance(found[0], nn.Conv2d)
    assert found[0].in_channels == 3
    assert isinstance(found[-1], nn.Linear)


def test_resnet18_registers_a_block_s_convolutions_before_its_shortcut():
    with torch.device("meta"):
        sizes = [m.weight.numel() for m in weights(models.build("resnet18", 10))]
    assert sizes[5:8] == [64 * 128 * 9, 128 * 128 * 9, 64 * 128]


def test_resnet20_is_option_a_plus_its_two_shortcut_convolutions():
    option_a, shortcuts = 269_722, 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert n_parameters(models.build("resnet20", 10)) == option_a + shortcuts


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("n_classes", [1, 7])
def test_logits_have_one_row_per_image_and_all_parameters_get_gradients(name, n_classes):
    model = models.build(name, n_classes, width=4)
    assert model.training
    out = model(inputs(name))
    assert out.shape == (2, n_classes)
    out.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "side"),
    [("resnet8", 28), ("resnet8", 5), ("resnet18", 64), ("vgg11", 64), ("resnet50", 96), ("wrn-10-1", 64)],
)
def test_other_image_sizes(name, side):
    assert models.build(name, 3, image_size=side, width=4)(torch.randn(2, 3, side, side)).shape == (2, 3)


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "resnet50", "vgg11", "resnet3d18"])
def test_twice_the_width_is_four_times_the_inner_weights(name):
    def inner(width: int) -> int:
        return sum(m.weight.numel() for m in weights(models.build(name, 10, width=width))[1:-1])

    assert inner(12) == 4 * inner(6)


@pytest.mark.parametrize(("name", "usual"), [("resnet20", 16), ("resnet18", 64), ("vgg16", 64)])
def test_the_default_width_is_the_first_layer_s_channels(name, usual):
    with torch.device("meta"):
        assert weights(models.build(name, 10))[0].out_channels == usual


@pytest.mark.parametrize("name", OWN)
def test_channels_last_computes_the_same(name):
    torch.manual_seed(0)
    model = models.build(name, 10, **SMALL).eval()
    x = inputs(name)
    layout = torch.channels_last_3d if name in CLIPS else torch.channels_last
    with torch.no_grad():
        before = model(x)
        after = model.to(memory_format=layout)(x.to(memory_format=layout))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OWN)
def test_initial_weights_follow_from_torch_s_seed_alone(name):
    def made(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return models.build(name, 10, **SMALL).state_dict()

    first, again, other = made(5), made(5), made(6)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first[next(iter(first))], other[next(iter(other))])


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_initial_weights_are_kaiming_normal_by_fan_out_and_norms_are_neutral(name):
    torch.manual_seed(0)
    for module in models.build(name, 10, width=32).modules():
        if isinstance(module, nn.Conv2d):
            wanted = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            n = module.weight.numel()
            assert abs(float(module.weight.detach().std()) / wanted - 1) < 5 / (2 * n) ** 0.5
            assert module.bias is None or bool((module.bias == 0).all())
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all())
            assert bool((module.bias == 0).all())


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_at_224_pixels_the_network_is_torchvision_s(name):
    ours = models.build(name, 1000, image_size=224)
    theirs = models.build(f"torchvision:{name}", 1000, image_size=224)
    ours.load_state_dict(theirs.state_dict())
    ours.eval(), theirs.eval()
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.usefixtures("libraries")
def test_the_3d_network_is_torchvision_s_but_for_the_stem():
    library = importlib.import_module("torchvision.models.video")
    ours, theirs = models.build("resnet3d18", 400).eval(), library.r3d_18().eval()
    x = torch.randn(1, 64, 4, 14, 14)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        for mine, block in zip(ours.get_submodule(name), theirs.get_submodule(name), strict=True):
            mine.conv1.load_state_dict(block.conv1[0].state_dict())
            mine.bn1.load_state_dict(block.conv1[1].state_dict())
            mine.conv2.load_state_dict(block.conv2[0].state_dict())
            mine.bn2.load_state_dict(block.conv2[1].state_dict())
            if mine.downsample is not None:
                mine.downsample.load_state_dict(block.downsample.state_dict())
            with torch.no_grad():
                expected = block(x)
                torch.testing.assert_close(mine(x), expected)
            x = expected


def test_a_wide_block_is_its_formula():
    torch.manual_seed(0)
    block = WideBlock(4, 6, 2, 0.0).eval()
    for norm in (block.bn1, block.bn2):
        nn.init.uniform_(norm.weight), nn.init.uniform_(norm.bias)
    x = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        first = torch.relu(block.bn1(x))
        branch = nn.functional.conv2d(first, block.conv1.weight, stride=2, padding=1)
        branch = nn.functional.conv2d(torch.relu(block.bn2(branch)), block.conv2.weight, padding=1)
        torch.testing.assert_close(block(x), branch + nn.functional.conv2d(first, block.shortcut.weight, stride=2))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("wrn-27-10", {}, "6n \\+ 4"),
        ("wrn-28-0", {}, "factor 1 to 64"),
        ("wrn-16-4", {"dropout": 1.0}, "in \\[0, 1\\)"),
        ("i3d", {"dropout": "much"}, "in \\[0, 1\\)"),
        ("mlp", {"hidden": 0}, "from 1 to 64"),
    ],
)
def test_options_that_cannot_be_are_refused(name, options, said):
    with pytest.raises(InputError, match=said):
        models.build(name, 10, options=options)


def test_inflated_weights_answer_to_a_still_clip_as_to_its_picture():
    torch.manual_seed(0)
    flat, deep = models.build("resnet50", 5, image_size=96, width=8), models.build("resnet3d50", 7, width=8)
    done = inflate(deep, flat.state_dict())
    assert "conv1.weight" in done.inflated
    assert "layer1.0.bn1.running_mean" in done.copied
    assert sorted(done.left) == ["fc.bias", "fc.weight"]
    picture = torch.randn(1, 3, 40, 40)
    still = picture[:, :, None].expand(-1, -1, 32, -1, -1)
    flat.eval(), deep.eval()
    with torch.no_grad():
        x = torch.relu(flat.bn1(flat.conv1(picture)))
        y = torch.relu(deep.bn1(deep.conv1(still)))
        torch.testing.assert_close(y[:, :, 16], x)  # away from the padding at both ends
        torch.testing.assert_close(flat.layer1(x), deep.layer1(y)[:, :, 16])
    with pytest.raises(InputError, match="no weight of the image network fits"):
        inflate(deep, {"conv1.weight": torch.zeros(2, 2)})


def test_a_stage_halves_the_map_and_blocks_keep_shape():
    model = models.build("resnet20", 10, width=4).eval()
    x = model.get_submodule("layer1")(torch.randn(1, 4, 32, 32))
    assert x.shape == (1, 4, 32, 32)
    x = model.get_submodule("layer2")(x)
    assert x.shape == (1, 8, 16, 16)
    assert model.get_submodule("layer3")(x).shape == (1, 16, 8, 8)


def test_every_listed_family_has_text_and_its_examples_can_be_built():
    rows = models.describe()
    assert [row["name"] for row in rows] == models.names()
    assert {"resnet18, resnet34, resnet50", "i3d", "mlp", "timm:NAME", "torchvision:NAME"} <= set(models.names())
    assert all(row["text"] and row["source"] for row in rows)
    for name in OWN:
        matching = [family for family in models.families() if family.pattern.fullmatch(name)]
        assert len(matching) == 1, f"{name} is claimed by {len(matching)} families"


@pytest.mark.parametrize(
    ("name", "near"), [("resnet-20", "resnet20"), ("ResNet20", "resnet20"), ("vgg12", "vgg11"), ("", "")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=f"unknown model '{name}'.*{near}.*regrow list models"):
        models.build(name, 10)


@pytest.mark.parametrize("depth", [101, 152])
def test_bottleneck_depths_are_sent_to_torchvision(depth):
    with pytest.raises(InputError, match=f"bottleneck.*torchvision:resnet{depth}"):
        models.build(f"resnet{depth}", 10)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet21", "resnet20 or resnet26"),
        ("resnet2", "resnet8"),
        ("resnet0", "resnet8"),
        ("resnet46", "resnet44"),
        ("resnet999999999", "resnet1202"),
    ],
)
def test_a_depth_that_is_not_6n_plus_2_names_the_next_ones(name, near):
    with pytest.raises(InputError, match=near) as caught:
        models.build(name, 10)
    assert "\n" not in str(caught.value)
    assert "resnet101" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_classes": 0},
        {"n_classes": 2.5},
        {"n_classes": True},
        {"width": 0},
        {"width": -4},
        {"width": 1.5},
        {"image_size": 0},
        {"image_size": "32"},
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        models.build("resnet8", **{"n_classes": 10, **wrong})


def test_vgg_needs_32_pixels():
    with pytest.raises(InputError, match="at least 32 pixels, got 28"):
        models.build("vgg11", 10, image_size=28, width=4)


def test_own_networks_take_no_options():
    with pytest.raises(InputError, match="takes no options, got pretrained"):
        models.build("resnet8", 10, options={"pretrained": True})


def test_own_networks_have_no_published_weights():
    assert models.input_spec("resnet20") is None
    with pytest.raises(UnknownNameError):
        models.input_spec("resnet_twenty")
