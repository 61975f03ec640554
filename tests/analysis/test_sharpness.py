"""Sharpness of losses whose shape is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regrow import analysis
from regrow.errors import InputError

MEASURES = {
    "hessian": lambda *a, **k: analysis.hessian_eigenvalue(*a, iterations=3, **k),
    "random": lambda *a, **k: analysis.random_rise(*a, directions=2, **k),
    "worst": analysis.worst_case_rise,
}


def squared_error(outputs, labels):
    return (outputs - labels).square().sum(dim=1)


class Regression(nn.Module):
    """A linear map of flat images, without bias."""

    def __init__(self, n_in, n_out, seed=0):
        super().__init__()
        weight = torch.randn(n_out, n_in, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x.flatten(1) @ self.weight.T


@pytest.fixture
def regression():
    """Model, images (40, 1, 2, 3), labels (40, 2) and the Hessian of the mean squared error for one output."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((40, 1, 2, 3), generator=generator, dtype=torch.float64) * torch.tensor([1.0, 2, 3])
    labels = torch.randn((40, 2), generator=generator, dtype=torch.float64)
    return Regression(6, 2), x, labels, (2 * x.flatten(1).T @ x.flatten(1) / 40).numpy()


def test_the_eigenvalue_of_a_quadratic_loss(regression):
    model, x, labels, hessian = regression
    found = analysis.hessian_eigenvalue(model, x, labels, loss=squared_error, iterations=500, tolerance=1e-6)
    assert found["eigenvalue"] == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-9)
    assert found["converged"]
    assert found["residual"] <= 1e-6
    assert found["n"] == 40
    assert json.loads(json.dumps(found)) == found


def test_masks_restrict_the_hessian_to_active_weights(regression):
    model, x, labels, hessian = regression
    mask = torch.tensor([[1, 1, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0]], dtype=torch.bool)
    found = analysis.hessian_eigenvalue(
        model, x, labels, masks={"weight": mask}, loss=squared_error, iterations=500, tolerance=1e-6
    )
    active = np.ix_(mask[0].numpy(), mask[0].numpy())
    assert found["eigenvalue"] == pytest.approx(np.linalg.eigvalsh(hessian[active])[-1], rel=1e-9)
    nothing = analysis.hessian_eigenvalue(model, x, labels, masks={"weight": 0 * mask}, loss=squared_error)
    assert (nothing["eigenvalue"], nothing["iterations"], nothing["converged"]) == (0, 0, True)


def test_the_eigenvalue_of_largest_size_may_be_negative(regression):
    model, x, labels, hessian = regression
    found = analysis.hessian_eigenvalue(
        model, x, labels, loss=lambda y, t: -squared_error(y, t), iterations=500, tolerance=1e-6
    )
    assert found["eigenvalue"] == pytest.approx(-np.linalg.eigvalsh(hessian)[-1], rel=1e-9)


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature(regression):
    model, x, labels, _ = regression
    found = analysis.hessian_eigenvalue(model, x, labels, loss=lambda y, t: y.sum(dim=1))
    assert (found["eigenvalue"], found["residual"], found["converged"]) == (0, None, True)


def whole_hessian(model, x, labels):
    """All second derivatives of the mean cross-entropy over all parameters in turn."""
    names = [name for name, _ in model.named_parameters()]
    sizes = [p.numel() for p in model.parameters()]
    shapes = [p.shape for p in model.parameters()]
    buffers = dict(model.named_buffers())

    def mean_loss(flat):
        parts = {n: part.reshape(s) for n, part, s in zip(names, flat.split(sizes), shapes, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, {**parts, **buffers}, (x,)), labels)

    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    return torch.autograd.functional.hessian(mean_loss, flat), torch.autograd.functional.jacobian(mean_loss, flat)


def test_a_network_s_eigenvalue_and_gradient_are_those_of_the_whole_hessian(network):
    torch.manual_seed(1)
    x, labels = torch.randn(9, 3, 8, 8, dtype=torch.float64), torch.arange(9) % 5
    network = network.double()
    found = analysis.hessian_eigenvalue(network, x, labels, iterations=400, tolerance=1e-4, batch_size=4)
    worst = analysis.worst_case_rise(network, x, labels, rho=1e-4, adaptive=False, batch_size=4)
    hessian, gradient = whole_hessian(network.eval(), x, labels)
    values = torch.linalg.eigvalsh(hessian)
    assert found["eigenvalue"] == pytest.approx(float(values[values.abs().argmax()]), rel=1e-5)
    assert worst["rise"] == pytest.approx(1e-4 * float(gradient.norm()), rel=1e-3)
    assert worst["loss"] == pytest.approx(F.cross_entropy(network(x), labels).item())


class Fused(nn.Module):
    """Attention by torch's fused function, whose fast forms have no second derivative."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(3, 12)

    def forward(self, x):
        q, k, v = self.map(x.flatten(2).transpose(1, 2)).unflatten(2, (1, 12)).transpose(1, 2).chunk(3, dim=3)
        return F.scaled_dot_product_attention(q, k, v)[:, 0].mean(dim=1)


class Plain(Fused):
    """The same by its formula."""

    def forward(self, x):
        q, k, v = self.map(x.flatten(2).transpose(1, 2)).chunk(3, dim=2)
        return ((q @ k.transpose(1, 2) / 2).softmax(dim=2) @ v).mean(dim=1)


def test_attention_has_second_derivatives_here():
    torch.manual_seed(0)
    fused, plain = Fused().double(), Plain().double()
    plain.load_state_dict(fused.state_dict())
    x, labels = torch.randn(4, 3, 4, 4, dtype=torch.float64), torch.arange(4) % 4
    with pytest.raises(RuntimeError, match="not implemented"):
        whole_hessian(fused, x, labels)
    found = analysis.hessian_eigenvalue(fused, x, labels, iterations=500, tolerance=1e-4)
    values = torch.linalg.eigvalsh(whole_hessian(plain, x, labels)[0])
    assert found["eigenvalue"] == pytest.approx(float(values[values.abs().argmax()]), rel=1e-4)


def test_the_mean_rise_of_a_quadratic_loss(regression):
    """rise = s^2 d'Hd / 2, whose mean over directions as long as the filter is s^2 |w|^2 tr(H) / (2 k)."""
    model, x, labels, hessian = regression
    found = analysis.random_rise(model, x, labels, scales=(0.1, 0.2, 0), directions=600, loss=squared_error)
    rows = found["rows"]
    assert rows[1]["rise"] == pytest.approx(4 * rows[0]["rise"])
    assert rows[2]["rise"] == 0
    expected = 0.1**2 * float(model.weight.detach().square().sum()) * np.trace(hessian) / (2 * 6)
    assert rows[0]["rise"] == pytest.approx(expected, abs=4 * rows[0]["sd"] / 600**0.5)
    assert found["loss"] == pytest.approx(squared_error(model(x), labels).mean().item())
    assert (found["n"], found["directions"]) == (40, 600)
    assert json.loads(json.dumps(found)) == found


def test_one_step_up_a_linear_loss():
    """Its gradient g is known and constant: rho |g|, or rho || |w| g || in units of the weights."""
    model = Regression(6, 2)
    x = torch.randn((10, 1, 2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(outputs, labels):
        return outputs[:, 0]

    gradient = x.flatten(1).mean(dim=0)
    plain = analysis.worst_case_rise(model, x, torch.zeros(10), rho=0.05, adaptive=False, loss=loss)
    assert plain["rise"] == pytest.approx(0.05 * float(gradient.norm()))
    adaptive = analysis.worst_case_rise(model, x, torch.zeros(10), rho=0.5, loss=loss)
    assert adaptive["rise"] == pytest.approx(0.5 * float((gradient * model.weight.detach()[0].abs()).norm()))
    assert (adaptive["n"], adaptive["rho"], adaptive["adaptive"], plain["adaptive"]) == (10, 0.5, True, False)
    mask = torch.tensor([[1, 1, 0, 0, 0, 1], [1] * 6], dtype=torch.bool)
    masked = analysis.worst_case_rise(
        model, x, torch.zeros(10), rho=0.05, adaptive=False, loss=loss, masks={"weight": mask}
    )
    assert masked["rise"] == pytest.approx(0.05 * float((gradient * mask[0]).norm()))
    flat = analysis.worst_case_rise(model, x, torch.zeros(10), loss=lambda y, t: 0 * y[:, 0])
    assert flat["rise"] == 0


@pytest.mark.parametrize("measure", ["random", "worst"])
def test_rescaling_layers_that_computes_the_same_measures_the_same(measure):
    """ReLU networks: one layer times 8 (a power of two, so exactly), the next over 8."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 16, bias=False), nn.ReLU(), nn.Linear(16, 5, bias=False))
    x, labels = torch.randn(12, 3, 4, 4), torch.arange(12) % 5
    before = MEASURES[measure](model, x, labels)
    with torch.no_grad():
        model[1].weight *= 8
        model[3].weight /= 8
    after = MEASURES[measure](model, x, labels)
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-6)
    pairs = zip(before["rows"], after["rows"], strict=True) if measure == "random" else [(before, after)]
    for a, b in pairs:
        assert b["rise"] == pytest.approx(a["rise"], rel=1e-4)
        assert a["rise"] > 0


@pytest.mark.parametrize("measure", MEASURES)
def test_inactive_weights_stay_at_zero(measure):
    """Inputs that only inactive weights read change nothing, whatever their values."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 3))
    mask = torch.ones(6, 12)
    mask[:, 5:] = 0
    with torch.no_grad():
        model[1].weight *= mask
    x, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 3
    other = x.clone()
    other.flatten(1)[:, 5:] = 100 * torch.randn(8, 7)
    masks = {"1.weight": mask.bool()}
    assert MEASURES[measure](model, x, labels, masks=masks) == MEASURES[measure](model, other, labels, masks=masks)
    if measure != "worst":  # the adaptive step leaves weights of zero where they are by itself
        assert MEASURES[measure](model, x, labels) != MEASURES[measure](model, other, labels)


@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_measured_follows_from_the_seed_and_not_from_batches_or_modes(measure, network, untouched):
    run = MEASURES[measure]
    torch.manual_seed(2)
    network = network.double()
    x, labels = torch.randn(7, 3, 8, 8, dtype=torch.float64), np.arange(7) % 5
    seeded = {} if measure == "worst" else {"seed": 3}
    with untouched(network):
        first = run(network, x, labels, **seeded)
    state = torch.get_rng_state()
    with torch.no_grad():
        again = run(network, list(x.split(7)), labels, **seeded)
    assert torch.equal(torch.get_rng_state(), state)
    assert again == first

    def figures(found):
        plain = [value for value in found.values() if isinstance(value, float)]
        return plain + [row[key] for row in found.get("rows", []) for key in ("rise", "sd")]

    by_two = run(network, x, labels, batch_size=2, **seeded)
    assert figures(by_two) == pytest.approx(figures(first), rel=1e-6)
    if seeded:
        assert figures(run(network, x, labels, seed=4)) != pytest.approx(figures(first), rel=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_network_is_left_as_it_was_on_an_error(measure, network, untouched):
    def late(outputs, labels):
        late.calls += 1
        if late.calls == 3:
            raise RuntimeError("late")
        return analysis._networks.cross_entropy(outputs, labels)

    late.calls = 0
    with untouched(network), pytest.raises(RuntimeError, match="late"):
        MEASURES[measure](network, torch.randn(8, 3, 8, 8), torch.arange(8) % 5, loss=late, batch_size=4)


def test_a_shared_weight_is_moved_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(4, 4, bias=False)
            self.two = nn.Linear(4, 4, bias=False)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x.flatten(1)))

    torch.manual_seed(0)
    model, x, labels = Tied(), torch.randn(6, 1, 2, 2), torch.arange(6) % 4
    found = analysis.hessian_eigenvalue(model, x, labels, iterations=300, tolerance=1e-3)
    hessian, _ = whole_hessian(model, x, labels)
    values = torch.linalg.eigvalsh(hessian)
    assert found["eigenvalue"] == pytest.approx(float(values[values.abs().argmax()]), rel=1e-3)


def test_impossible_input_is_refused(network):
    x, labels = torch.randn(4, 3, 8, 8), torch.arange(4)
    with pytest.raises(InputError, match="no such weight"):
        analysis.random_rise(network, x, labels, masks={"0.wieght": torch.ones(4, 3, 3, 3)})
    with pytest.raises(InputError, match=r"shape \(4,\), the network \(4, 3, 3, 3\)"):
        analysis.random_rise(network, x, labels, masks={"0.weight": torch.ones(4)})
    with pytest.raises(InputError, match="directions"):
        analysis.random_rise(network, x, labels, directions=0)
    with pytest.raises(InputError, match="iterations"):
        analysis.hessian_eigenvalue(network, x, labels, iterations=0)
    for rho in (-1, math.nan):
        with pytest.raises(InputError, match="rho"):
            analysis.worst_case_rise(network, x, labels, rho=rho)
    with pytest.raises(InputError, match="3 labels and at least 4 images"):
        analysis.worst_case_rise(network, x, labels[:3])
