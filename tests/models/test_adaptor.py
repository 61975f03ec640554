"""Networks of timm and torchvision by name."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import pytest
import torch
from torch import nn

from regrow import models
from regrow.errors import InputError, UnknownNameError


def answers(name: str, n_classes: int, side: int) -> tuple[int, ...]:
    model = models.build(name, n_classes, image_size=side)
    assert model.training
    with torch.no_grad():
        return tuple(model.eval()(torch.zeros(2, 3, side, side)).shape)


@pytest.mark.usefixtures("libraries")
class TestLibraries:
    @pytest.mark.parametrize(
        ("name", "side"),
        [
            ("timm:test_resnet", 32),
            ("timm:test_vit", 32),
            ("timm:test_resnet.r160_in1k", 64),
            ("torchvision:squeezenet1_1", 64),
            ("torchvision:shufflenet_v2_x0_5", 32),
        ],
    )
    def test_a_network_has_the_asked_head_at_the_asked_size(self, name, side):
        assert answers(name, 7, side) == (2, 7)

    def test_inception_returns_logits_alone(self):
        model = models.build("torchvision:inception_v3", 4, image_size=75)
        assert model(torch.zeros(2, 3, 75, 75)).shape == (2, 4)

    def test_a_stem_of_stride_one_keeps_the_map_of_small_images(self):
        usual, fine = (
            models.build("timm:efficientnet_b0", 7, image_size=64, options=options).eval()
            for options in ({}, {"stem_stride": 1})
        )
        assert sum(p.numel() for p in usual.parameters()) == sum(p.numel() for p in fine.parameters())
        x = torch.zeros(1, 3, 64, 64)
        with torch.no_grad():
            assert usual.forward_features(x).shape[-2:] == (2, 2)
            assert fine.forward_features(x).shape[-2:] == (4, 4)
            assert fine(x).shape == (1, 7)

    def test_stochastic_depth_and_dropout_are_set(self):
        options = {"drop_path": 0.3, "dropout": 0.2}
        model = models.build("timm:test_vit", 5, image_size=160, options=options)
        rates = [m.drop_prob for m in model.modules() if type(m).__name__ == "DropPath"]
        assert max(rates) == pytest.approx(0.3)
        assert model.head_drop.p == 0.2

    @pytest.mark.parametrize(
        ("name", "options", "said"),
        [
            ("timm:test_vit", {"stem_stride": 1}, "cuts patches"),
            ("timm:test_resnet", {"stem_stride": 0}, "from 1 to 4"),
            ("timm:test_resnet", {"drop_path": 1}, r"drop_path must be in \[0, 1\)"),
            ("timm:test_resnet", {"dropout": "x"}, r"dropout must be in \[0, 1\)"),
        ],
    )
    def test_options_that_cannot_be_are_refused(self, name, options, said):
        with pytest.raises(InputError, match=said):
            models.build(name, 5, image_size=160, options=options)

    def test_weights_follow_from_torch_s_seed_and_trying_the_network_leaves_no_trace(self):
        def made() -> dict[str, torch.Tensor]:
            torch.manual_seed(3)
            return models.build("timm:test_resnet", 5).state_dict()

        first, second = made(), made()
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert all(int(value) == 0 for key, value in first.items() if key.endswith("num_batches_tracked"))

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("timm:resnet5O", "timm model 'resnet5O'.*Did you mean 'resnet50'"),
            ("torchvision:resnet5O", "torchvision model 'resnet5O'.*Did you mean 'resnet50'"),
            ("torchvision:fasterrcnn_resnet50_fpn", "torchvision model"),
            ("timm:resnet50.a1_in1", "Did you mean 'resnet50.a1_in1k'"),
            ("timm:hf-hub:someone/something", "timm model"),
        ],
    )
    def test_an_unknown_name_is_answered_with_the_nearest(self, name, near):
        with pytest.raises(UnknownNameError, match=near):
            models.build(name, 10)

    @pytest.mark.parametrize(("name", "side"), [("torchvision:alexnet", 32), ("timm:test_vit", 8)])
    def test_a_size_that_the_network_cannot_take_is_said(self, name, side):
        with pytest.raises(InputError, match=f"{name} cannot be built for 10 classes and {side}-pixel images"):
            models.build(name, 10, image_size=side)

    def test_options_are_checked(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'pretrained'"):
            models.build("timm:test_resnet", 10, options={"pretraind": True})
        with pytest.raises(InputError, match="true or false"):
            models.build("timm:test_resnet", 10, options={"pretrained": "yes"})
        with pytest.raises(InputError, match="no width to set"):
            models.build("timm:test_resnet", 10, width=16)

    def test_published_weights_for_other_classes_are_refused_where_the_head_is_fixed(self):
        with pytest.raises(InputError, match="weights for 1000 classes, asked for 10"):
            models.build("torchvision:resnet18", 10, image_size=224, options={"pretrained": True})

    @pytest.mark.parametrize(
        ("name", "module", "function"),
        [("timm:resnet18", "timm", "create_model"), ("torchvision:resnet18", "torchvision.models", "get_model")],
    )
    def test_weights_that_cannot_be_had_are_said_with_the_way_out(self, name, module, function, monkeypatch):
        seen = {}

        def no_network(*_: object, **options: object) -> nn.Module:
            seen.update(options)
            raise OSError("Name or service not known")

        monkeypatch.setattr(importlib.import_module(module), function, no_network)
        with pytest.raises(InputError, match=r"weights could not be had.*Name or service.*leave out pretrained"):
            models.build(name, 1000, image_size=224, options={"pretrained": True})
        assert seen.get("pretrained") is True or seen.get("weights") == "DEFAULT"

    @pytest.mark.parametrize(("name", "resize"), [("timm:resnet18", 224 / 0.95), ("torchvision:resnet18", 256)])
    def test_the_input_of_published_weights_is_known(self, name, resize):
        spec = models.input_spec(name)
        assert spec is not None
        assert spec.mean == (0.485, 0.456, 0.406)
        assert spec.std == (0.229, 0.224, 0.225)
        assert (spec.image_size, spec.resize, spec.n_classes) == (224, int(resize), 1000)


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("gone", name="timm"), "not installed.*pip install 'regrow\\[models\\]'"),
        (RuntimeError("operator torchvision::nms does not exist"), "cannot be loaded.*regrow doctor"),
    ],
)
def test_a_library_that_is_absent_or_broken_is_one_line(name, error, words, monkeypatch):
    real = importlib.import_module

    def broken(module: str, package: str | None = None) -> object:
        if module.partition(".")[0] in ("timm", "torchvision"):
            raise error
        return real(module, package)

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(InputError, match=words) as caught:
        models.build(name, 10)
    assert "\n" not in str(caught.value)


def test_own_networks_import_neither_library():
    code = "import sys, regrow.models as m; m.build('resnet8', 10); m.names(); m.describe(); "
    code += "print([n for n in ('timm', 'torchvision', 'scipy', 'PIL') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
