"""State dicts of others: what is read, what is refused, and how a misfit is told."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from regrow.errors import DataError, InputError
from regrow.training.state_dict import fit, outputs_of, read_state_dict


def network(n_classes: int = 3, width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width, n_classes))


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"state_dict": t, "epoch": 3, "best": 0.5},
        lambda t: {"model": t, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        lambda t: {"state_dict": prefixed("module.", t)},
        lambda t: {"model": prefixed("_orig_mod.module.", t)},
        lambda t: {"epoch": 1, "model": {"state_dict": t}},
        lambda t: {name: nn.Parameter(value) if value.is_floating_point() else value for name, value in t.items()},
        lambda t: {k: v for k, v in t.items() if "num_batches" not in k},  # before torch 0.4.1
    ],
)
def test_usual_wrappers_and_prefixes_give_the_same_network(tmp_path: Path, wrap) -> None:
    saved, loaded = network(), network()
    torch.save(wrap(dict(saved.state_dict())), tmp_path / "w.pth")
    fit(loaded, read_state_dict(tmp_path / "w.pth"), "w.pth", "net")
    for name, value in saved.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_safetensors_and_half_precision_are_read(tmp_path: Path) -> None:
    saved, loaded = network(), network()
    halves = {n: v.half() if v.is_floating_point() else v for n, v in saved.state_dict().items()}
    save_file(halves, tmp_path / "w.safetensors")
    fit(loaded, read_state_dict(tmp_path / "w.safetensors"), "w", "net")
    assert torch.equal(loaded[0].weight, saved[0].weight.half().float())
    assert loaded[0].weight.dtype == torch.float32


def test_a_prefix_that_the_network_has_itself_is_kept() -> None:
    saved, loaded = nn.Sequential(), nn.Sequential()
    for both in (saved, loaded):
        both.add_module("module", network())
    fit(loaded, dict(saved.state_dict()), "w", "net")
    assert torch.equal(loaded.module[0].weight, saved.module[0].weight)


class Marker:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("through_torch", [True, False])
def test_code_is_never_run(tmp_path: Path, through_torch: bool) -> None:
    ran = tmp_path / "ran"
    content = {"state_dict": dict(network().state_dict()), "extra": Marker(ran)}
    if through_torch:
        torch.save(content, tmp_path / "w.pt")
    else:
        (tmp_path / "w.pt").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="only tensors are read"):
        read_state_dict(tmp_path / "w.pt")
    assert not ran.exists()


def written(path: Path, value: object) -> None:
    torch.save(value, path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: written(p, network()), "torch.nn.modules.container.Sequential"),
        (lambda p: written(p, {"args": argparse.Namespace(lr=1), "model": network().state_dict()}), "argparse.Namesp"),
        (lambda p: written(p, {"epoch": 3}), "no state dict .a mapping of epoch"),
        (lambda p: written(p, [1, 2]), "no state dict .list"),
        (lambda p: p.write_bytes(b""), "empty, cut short"),
        (lambda p: p.write_bytes(b"hello world"), "empty, cut short"),
        (lambda p: None, "is not there"),
        (lambda p: p.mkdir(), "is a folder"),
    ],
)
def test_what_is_no_state_dict_is_refused_in_one_line(tmp_path: Path, make, said: str) -> None:
    make(tmp_path / "w.pt")
    with pytest.raises(DataError, match=said) as error:
        read_state_dict(tmp_path / "w.pt")
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    assert "w.pt" in str(error.value)
    assert "Next: " in str(error.value)


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "w.pt")
    content = (tmp_path / "w.pt").read_bytes()
    for n in (10, len(content) // 2, len(content) - 1):
        (tmp_path / "w.pt").write_bytes(content[:n])
        with pytest.raises(DataError, match=r"cut short|only tensors"):
            read_state_dict(tmp_path / "w.pt")


def test_a_misfit_counts_each_kind_and_names_the_first_with_its_shape() -> None:
    tensors = dict(network(width=5).state_dict())
    tensors["head.weight"] = tensors.pop("3.weight")
    tensors["head.bias"] = tensors.pop("3.bias")
    model = network()
    before = {n: v.clone() for n, v in model.state_dict().items()}
    with pytest.raises(InputError) as error:
        fit(model, tensors, "w.pt", "my_net:build")
    assert str(error.value).startswith(
        "w.pt does not fit my_net:build: 2 tensors are missing (first: 3.weight, 3 x 4), "
        "2 tensors are unexpected (first: head.weight, 3 x 5), "
        "6 tensors are of another shape (first: 0.weight, 5 x 3 x 3 x 3 in the file, 4 x 3 x 3 x 3 in the network)."
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("theirs", "built", "expected"),
    [(network(7), network(3), 7), (network(3), network(3), 3), (network(7, 5), network(3), None),
     (nn.Linear(4, 2), nn.Linear(4, 9), 2), (nn.Linear(5, 2), nn.Linear(4, 9), None)],
)  # fmt: skip
def test_outputs_are_told_by_what_alone_does_not_fit(theirs, built, expected) -> None:
    n_classes = list(built.state_dict().values())[-1].shape[0]
    assert outputs_of(prefixed("module.", dict(theirs.state_dict())), built, n_classes) == expected
