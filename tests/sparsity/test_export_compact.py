"""Compact files: the same bits come back, and what was altered is refused."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from safetensors.torch import save
from torch import Tensor

from regrow import models
from regrow.errors import DataError, InputError
from regrow.sparsity.export import compact
from regrow.sparsity.export.compact import information_limit, load_compact, save_compact


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_same(path: Path, state: dict[str, Tensor], masks: dict[str, Tensor], meta: dict[str, object]) -> None:
    size = save_compact(path, state, masks, meta)
    assert size.total == path.stat().st_size == sum(size[1:])
    got, got_masks, got_meta = load_compact(path)
    assert list(got) == list(state)
    for name, tensor in state.items():
        assert (got[name].dtype, got[name].shape) == (tensor.dtype, tensor.shape)
        assert bits(got[name]) == bits(tensor)
    assert got_masks.keys() == masks.keys()
    assert all(torch.equal(got_masks[name], masks[name]) for name in masks)
    assert got_meta == meta


def any_bits(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """A tensor of random bits: NaNs with payloads, infinities, subnormals and negative zeros among them."""
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator, dtype=torch.bool)
    raw = torch.randint(0, 256, (math.prod(shape) * dtype.itemsize,), generator=generator, dtype=torch.uint8)
    return raw.view(dtype).reshape(shape)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from(sorted(compact.DTYPES)),
    shape=st.lists(st.integers(0, 9), max_size=4).map(tuple),
    density=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    zeroed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_bit_of_every_type_comes_back(
    tmp_path: Path, dtype: str, shape: tuple[int, ...], density: float, zeroed: bool, seed: int
) -> None:
    tensor = any_bits(shape, compact.DTYPES[dtype], seed)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density
    if zeroed and tensor.numel():
        raw = tensor.reshape(-1).view(torch.uint8).reshape(tensor.numel(), -1)
        raw[~mask.reshape(-1)] = 0
    state = {"a.weight": tensor, "rest": any_bits((3,), torch.float32, seed), "steps": torch.tensor(7)}
    assert_same(tmp_path / "net.rgz", state, {"a.weight": mask}, {"method": "rigl", "t": 5})


def test_the_bytes_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    """12 weights, 5 active: 2 bytes of mask, lowest bit first, and 20 bytes of values in C order."""
    weight = torch.tensor([[1.0, 0, 2, 0], [0, 0, 0, 3], [0, 4, 0, 5]])
    size = save_compact(tmp_path / "w.rgz", {"w": weight}, {"w": weight != 0})
    assert (size.values, size.masks, size.dense) == (20, 2, 0)
    payload = (tmp_path / "w.rgz").read_bytes()[-32 - 22 : -32]
    assert payload[:2] == bytes([0b10000101, 0b00001010])
    assert payload[2:] == bits(torch.tensor([1.0, 2, 3, 4, 5]))


def test_channels_last_weights_are_written_in_c_order(tmp_path: Path) -> None:
    weight = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    mask = (torch.rand(4, 3, 3, 3) < 0.5).to(memory_format=torch.channels_last)
    weight = weight.masked_fill(~mask, 0.0)
    assert_same(tmp_path / "w.rgz", {"w": weight}, {"w": mask}, {})


def test_what_stands_outside_a_mask_is_kept_too(tmp_path: Path) -> None:
    assert_same(tmp_path / "w.rgz", {"w": torch.tensor([1.0, -0.0, 2.0])}, {"w": torch.tensor([True, False, True])}, {})


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_resnet18_is_near_the_smallest_size_there_is(tmp_path: Path, sparsity: float) -> None:
    model = models.build("resnet18", 10)
    masks = {n: torch.rand(p.shape) >= sparsity for n, p in model.named_parameters() if p.ndim > 1}
    state = {n: t.masked_fill(~masks[n], 0) if n in masks else t for n, t in model.state_dict().items()}
    size = save_compact(tmp_path / "net.rgz", state, masks)
    dense = len(save({name: tensor.contiguous() for name, tensor in state.items()}))
    n = sum(m.numel() for m in masks.values())
    active = sum(int(m.sum()) for m in masks.values())
    assert size.values == 4 * active
    assert size.masks <= n / 8 + len(masks)
    assert size.total / dense <= (1 - sparsity) + 1 / 32 + 0.002  # .5335 at sparsity .5
    limit = sum(information_limit(m.numel(), int(m.sum())) for m in masks.values()) / 8
    assert limit <= size.masks
    if sparsity == 0.5:
        assert size.masks <= 1.0001 * limit + 8 * len(masks)


def test_information_limit_is_the_logarithm_of_a_binomial() -> None:
    assert information_limit(10, 3) == pytest.approx(math.log2(120))
    assert information_limit(7, 0) == information_limit(7, 7) == 0
    assert information_limit(5000, 1234) == pytest.approx(math.log2(math.comb(5000, 1234)), rel=1e-9)
    with pytest.raises(InputError, match="k must be"):
        information_limit(3, 4)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    weight = torch.arange(24.0).reshape(4, 6)
    save_compact(tmp_path / "net.rgz", {"w": weight, "b": torch.ones(3)}, {"w": weight > 9}, {"a": 1})
    return tmp_path / "net.rgz"


def test_a_file_cut_anywhere_is_refused(written: Path) -> None:
    content = written.read_bytes()
    for length in range(len(content)):
        written.write_bytes(content[:length])
        with pytest.raises(DataError) as caught:
            load_compact(written)
        assert "\n" not in str(caught.value)


def test_a_file_with_any_byte_altered_is_refused(written: Path) -> None:
    content = written.read_bytes()
    for place in range(len(content)):
        written.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError):
            load_compact(written)


def rewritten(path: Path, change: Callable[[dict[str, Any]], None], tail: bytes = b"") -> None:
    """Change the header and add to the payload, with a right digest."""
    content = path.read_bytes()
    length = int.from_bytes(content[8:16], "little")
    header = json.loads(content[16 : 16 + length])
    change(header)
    packed = json.dumps(header).encode()
    body = content[:8] + len(packed).to_bytes(8, "little") + packed + content[16 + length : -32] + tail
    path.write_bytes(body + hashlib.sha256(body).digest())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shape", [4, 7]), ("shape", [-4, -6]), ("shape", [2**40, 2**40]), ("shape", "46"), ("shape", [0, 2**70]),
        ("dtype", "object"), ("coding", "pickle"), ("n_active", 3), ("name", 5), ("name", "b"), ("shape", [4.0, 6]),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused_even_with_a_right_digest(written: Path, field: str, value: object) -> None:
    rewritten(written, lambda header: header["tensors"][0].update({field: value}))
    with pytest.raises(DataError, match="header"):
        load_compact(written)


@pytest.mark.parametrize("change", [{"version": 2}, {"format": "x"}, {"total_active": 1}, {"tensors": {}}, {"meta": 5}])
def test_another_format_or_version_is_refused(written: Path, change: dict[str, object]) -> None:
    rewritten(written, lambda header: header.update(change))
    with pytest.raises(DataError, match="header"):
        load_compact(written)


def test_bytes_that_no_tensor_owns_and_tensors_of_one_name_are_refused(written: Path) -> None:
    plain = written.read_bytes()
    rewritten(written, lambda _: None)
    load_compact(written)
    rewritten(written, lambda _: None, tail=b"more")
    with pytest.raises(DataError, match="do not fill"):
        load_compact(written)
    written.write_bytes(plain)
    rewritten(written, lambda header: header["tensors"].append(header["tensors"][1]), tail=bytes(12))
    with pytest.raises(DataError, match="do not fill"):
        load_compact(written)


def test_wrong_input_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    path, weight = tmp_path / "net.rgz", torch.ones(2, 2)
    for state, masks, meta in (
        ({"w": weight}, {"v": weight > 0}, {}),
        ({"w": weight}, {"w": weight}, {}),
        ({"w": weight}, {"w": torch.ones(4, dtype=torch.bool)}, {}),
        ({"w": weight.to_sparse()}, {}, {}),
        ({"w": {"extra": 1}}, {}, {}),
        ({"w": weight}, {}, {"a": math.nan}),
        ({"w": weight}, {}, {"a": path}),
    ):
        with pytest.raises(InputError):
            save_compact(path, state, masks, meta)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="not there"):
        load_compact(path)
