"""Compressed rows against scipy's, products against dense ones, and files that are damaged."""

from __future__ import annotations

import math
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from torch import nn

from regrow.errors import DataError, InputError
from regrow.sparsity.export.csr import CSR, SparseLinear, from_csr, load_csr, save_csr, sparse_linears, to_csr


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 7), min_size=2, max_size=5).map(tuple),
    density=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    seed=st.integers(0, 99),
)
def test_rows_are_those_of_scipy_and_come_back(shape: tuple[int, ...], density: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    mask = torch.rand(shape, generator=generator) < density
    weight = weight.masked_fill(~mask, 0)
    csr = to_csr(weight, mask)
    want = scipy.sparse.csr_matrix(weight.reshape(shape[0], -1).numpy())
    assert csr.indptr.dtype == csr.indices.dtype == torch.int32
    assert csr.indptr.tolist() == want.indptr.tolist()
    assert csr.indices.tolist() == want.indices.tolist()
    assert csr.values.tolist() == want.data.tolist()
    back, back_mask = from_csr(csr)
    assert torch.equal(back, weight)
    assert torch.equal(back_mask, mask)


def test_an_active_weight_of_zero_is_kept_and_nan_too() -> None:
    weight = torch.tensor([[0.0, math.nan], [0.0, 0.0]])
    mask = torch.tensor([[True, True], [False, True]])
    assert torch.equal(from_csr(to_csr(weight, mask))[1], mask)
    assert to_csr(weight).indices.tolist() == [1]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7,), (2, 7), (2, 3, 7), (0, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sparse_linear_layer_gives_the_dense_ones_outputs(
    bias: bool, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(7, 5, bias=bias, dtype=dtype)
    mask = torch.rand(5, 7) < 0.3
    mask[2] = False
    linear.weight.data.masked_fill_(~mask, 0)
    x = torch.randn(shape, dtype=dtype)
    assert torch.allclose(SparseLinear(linear, mask)(x), linear(x), atol=1e-5)


def test_layers_are_replaced_by_density_and_the_state_can_be_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 4))
    masks = {"0.weight": torch.rand(30, 20) < 0.05, "2.weight": torch.rand(4, 30) < 0.6}
    for name, mask in masks.items():
        net.get_parameter(name).data.masked_fill_(~mask, 0)
    sparse, names = sparse_linears(net, masks)
    assert names == ["0"]
    assert type(net[0]) is nn.Linear
    x = torch.randn(6, 20)
    assert torch.allclose(sparse(x), net(x), atol=1e-5)
    torch.save(sparse.state_dict(), tmp_path / "a.pt")
    other, _ = sparse_linears(net, masks)
    other.load_state_dict(torch.load(tmp_path / "a.pt", weights_only=True))
    assert torch.equal(other(x), sparse(x))
    assert isinstance(sparse_linears(net[0], {"weight": masks["0.weight"]})[0], SparseLinear)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_files_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    weight = torch.randn(6, 3, 2, 2).to(dtype)
    mask = torch.rand(6, 3, 2, 2) < 0.5
    weight = weight.masked_fill(~mask, 0)
    state = {"conv.weight": weight, "conv.bias": torch.randn(6).to(dtype), "n": torch.tensor(3)}
    size = save_csr(tmp_path / "net.npz", state, {"conv.weight": mask})
    assert size == (tmp_path / "net.npz").stat().st_size
    got, masks = load_csr(tmp_path / "net.npz")
    assert got.keys() == state.keys()
    assert all(torch.equal(got[name], state[name]) and got[name].dtype == state[name].dtype for name in state)
    assert torch.equal(masks["conv.weight"], mask)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    with pytest.raises(DataError, match="not there"):
        load_csr(path)
    save_csr(path, {"w": torch.eye(4)}, {"w": torch.eye(4) > 0})
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 5):
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            load_csr(path)
    np.savez(path, **{"w.indptr": np.zeros(5, np.int32), "w.indices": np.zeros(4, np.int32),
                      "w.values": np.zeros(4, np.float32), "w.shape": np.array([4, 4])})  # fmt: skip
    with pytest.raises(DataError, match="do not fit"):
        load_csr(path)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(DataError):
        load_csr(path)


def test_parts_that_do_not_fit_are_refused() -> None:
    good = to_csr(torch.eye(3))
    for bad in (
        good._replace(indptr=good.indptr.flip(0)),
        good._replace(indices=torch.tensor([0, 1, 3], dtype=torch.int32)),
        good._replace(indices=good.indices.long()),
        good._replace(values=good.values[:2]),
        CSR(
            torch.tensor([0, 2, 2, 2], dtype=torch.int32),
            torch.tensor([1, 0], dtype=torch.int32),
            torch.ones(2),
            (3, 3),
        ),
    ):
        with pytest.raises(InputError):
            from_csr(bad)
    with pytest.raises(InputError):
        to_csr(torch.ones(3))
    with pytest.raises(InputError):
        to_csr(torch.ones(3, 3), torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(InputError, match="float32"):
        SparseLinear(nn.Linear(2, 2, dtype=torch.bfloat16))
