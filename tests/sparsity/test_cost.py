"""Operations of a forward pass against sums done by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from regrow.errors import InputError
from regrow.sparsity import cost


class LooksAtValues(nn.Module):
    """Runs a model after a look at its input, which the meta device cannot do, so that it is counted on the CPU."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        if float(x.sum()) > 1:
            raise ValueError("not zeros")
        return self.inner(x)


class SelfAttention(nn.Module):
    def __init__(self, *, need_weights: bool, **options: object) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True, **options)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        key = x.repeat(1, 1, self.attn.kdim // 8)
        return self.attn(x, x if self.attn.kdim == 8 else key, x, need_weights=self.need_weights)[0]


def by_name(counted: dict) -> dict[str, int]:
    return {row["name"]: row["dense"] for row in counted["layers"]}


def test_operations_of_a_small_network() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),  # 8 x 8 x 8 outputs of 27 products
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4),  # 8 x 4 x 4 outputs of 18
        nn.ConvTranspose2d(8, 4, 2, stride=2),  # 8 x 4 x 4 inputs to 16 each
        nn.Flatten(),
        nn.Linear(256, 10),
    )
    before = {k: v.clone() for k, v in model.state_dict().items()}
    got = cost.flops(model, (3, 8, 8), {"0.weight": 0.5, "5.weight": 0.25})
    by_hand = [2 * 512 * 27, 2 * 128 * 18, 2 * 128 * 16, 2 * 2560]
    assert [row["dense"] for row in got["layers"]] == by_hand
    assert got["dense"] == sum(by_hand)
    assert got["other"] == 0
    assert got["sparse"] == by_hand[0] / 2 + by_hand[1] + by_hand[2] + by_hand[3] / 4
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds"),
    [
        (nn.Conv1d(4, 6, 3, padding=1, groups=2), (4, 10), 6 * 10 * 2 * 3),
        (nn.Conv3d(2, 3, 2), (2, 4, 4, 4), 3 * 27 * 2 * 8),
        (nn.ConvTranspose1d(4, 6, 2, stride=2), (4, 5), 4 * 5 * 6 * 2),
        (nn.ConvTranspose2d(4, 6, 2, groups=2), (4, 5, 5), 4 * 25 * 3 * 4),
        (nn.ConvTranspose3d(2, 3, 2, stride=2), (2, 3, 3, 3), 2 * 27 * 3 * 8),
        (nn.Linear(6, 5, bias=False), (7, 6), 7 * 30),
        (nn.Linear(6, 5), (3, 7, 6), 21 * 30),
    ],
)
@pytest.mark.parametrize("on_cpu", [False, True])
def test_every_kind_of_layer(layer: nn.Module, shape: tuple[int, ...], multiply_adds: int, on_cpu: bool) -> None:
    got = cost.flops(LooksAtValues(layer) if on_cpu else layer, shape)
    assert [row["name"] for row in got["layers"]] == ["inner.weight" if on_cpu else "weight"]
    assert got["dense"] == got["layers"][0]["dense"] == 2 * multiply_adds


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("on_cpu", [False, True])
def test_attention_by_hand_however_torch_runs_it(training: bool, need_weights: bool, on_cpu: bool) -> None:
    inner = SelfAttention(need_weights=need_weights)
    model = (LooksAtValues(inner) if on_cpu else inner).train(training)
    name = "inner.attn." if on_cpu else "attn."
    tokens, width = 5, 8
    got = cost.flops(model, (tokens, width), {f"{name}in_proj_weight": 0.25})
    assert by_name(got) == {
        f"{name}in_proj_weight": 2 * tokens * width * 3 * width,
        f"{name}out_proj.weight": 2 * tokens * width * width,
    }
    assert got["other"] == 2 * 2 * tokens * tokens * width  # scores, and what they weigh
    assert got["dense"] == 1920 + 640 + 800
    assert got["sparse"] == 1920 / 4 + 640 + 800
    assert model.training is training
    assert torch.backends.mha.get_fastpath_enabled()


def test_attention_with_separate_projections() -> None:
    got = cost.flops(SelfAttention(need_weights=False, kdim=16, vdim=8), (5, 8))
    parts = {"q_proj_weight": 64, "k_proj_weight": 128, "v_proj_weight": 64, "out_proj.weight": 64}
    assert by_name(got) == {f"attn.{name}": 2 * 5 * n for name, n in parts.items()}
    assert got["other"] == 800


@pytest.mark.parametrize("on_cpu", [False, True])
def test_transformer_encoder_in_evaluation_mode(on_cpu: bool) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    got = cost.flops(LooksAtValues(model) if on_cpu else model, (5, 8))
    assert got["dense"] == 2 * (2 * 5 * (4 * 64 + 2 * 8 * 32) + 800)
    assert len(got["layers"]) == 8


def test_shared_layers_and_weights_count_at_each_use_under_their_first_layer() -> None:
    layer = nn.Linear(6, 6)
    assert cost.flops(nn.Sequential(layer, layer), (6,))["dense"] == 2 * 2 * 36
    tied = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9, bias=False))
    tied[0].weight = tied[1].weight
    assert by_name(cost.flops(tied, (5,), dtype=torch.long)) == {"1.weight": 2 * 5 * 36}


def test_a_weight_that_its_layer_computes_first_is_booked_on_the_layer() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)

    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Unflatten(1, (4, 1, 1)))
    assert by_name(cost.flops(model, (4,))) == {"0.weight": 32}
    assert by_name(cost.flops(nn.Sequential(Standardised(2, 3, 1)), (2, 5, 5))) == {"0.weight": 2 * 25 * 6}


def test_a_learnt_input_gives_way_to_the_layer_that_it_goes_through() -> None:
    class Pooling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.latent = nn.Parameter(torch.ones(2, 4))
            self.project = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.latent.T @ self.project(self.latent)

    got = cost.flops(Pooling(), (4,))
    assert by_name(got) == {"project.weight": 2 * 2 * 4 * 3, "latent": 2 * 2 * 4}
    assert got["other"] == 2 * 2 * 3


def test_wrappers_are_looked_through() -> None:
    wrapped = nn.DataParallel(nn.Sequential(nn.Linear(4, 3)))
    assert by_name(cost.flops(wrapped, (4,))) == {"0.weight": 24}
    assert by_name(cost.flops(torch.compile(wrapped.module, backend="eager"), (4,))) == {"0.weight": 24}


def test_nothing_outside_is_changed() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand_like(x)

    model = LooksAtValues(nn.Sequential(nn.Linear(4, 4), Noisy(), nn.BatchNorm1d(4)))
    before, rng = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    cost.flops(model, (4,))
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("model", [nn.Linear(6, 6), LooksAtValues(nn.Linear(6, 6)), nn.Linear(6, 6, device="meta")])
def test_unfit_input_is_refused(model: nn.Module) -> None:
    reason = "(cannot be multiplied|same reduction dim)"
    with pytest.raises(InputError, match=rf"not run on one sample of shape \(5,\): .*{reason}.*Next: give the shape"):
        cost.flops(model, (5,))
    assert torch.backends.mha.get_fastpath_enabled()
