"""Ranks that train one model together: masks the same to the bit, and those of one process with the whole batch.

One start of `torch.distributed.run` (gloo, on the CPU) does all of a number of ranks; see `_ranks_worker.py`.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from regrow.errors import InputError
from regrow.sparsity import Channel, Every, RigL, Static, attach, methods

WORKER = Path(__file__).with_name("_ranks_worker.py")
FAST = ("magnitude", "set", "rigl", "static")
#: Methods whose layers hold exactly floor(density N + 1/2) weights together: at all times, and at the end.
EXACT = {"static", "set", "set_itop", "rigl", "rigl_itop", "mest_em", "snip", "magnitude", "cht", "cht_s"}
EXACT_LAST = EXACT | {"mest_ems", "granet", "gmp", "cht_ss"}
Ranks = list[dict[str, dict[str, np.ndarray]]]


def load_worker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_ranks_worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


worker = load_worker()


def launch(folder: Path, n_ranks: int, names: list[str]) -> tuple[Ranks, list[dict]]:
    """Start the ranks, and read what they wrote."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={n_ranks}"]
    done = subprocess.run(
        [*command, str(WORKER), str(folder), *names],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ranks: Ranks = []
    for rank in range(n_ranks):
        ranks.append({})
        with np.load(folder / f"rank{rank}.npz") as stored:
            for key in stored:
                case, _, name = key.partition("|")
                ranks[-1].setdefault(case, {})[name] = stored[key]
    return ranks, [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(n_ranks)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ranks, list[dict]]:
    return launch(tmp_path_factory.mktemp("two"), 2, [*FAST])


def check_against_one_process(ranks: Ranks, case: dict[str, Any]) -> None:
    key, alone = case["key"], worker.train(case, 0, 1)
    for rank in ranks:
        assert rank[key].keys() == alone.keys()
        for name, value in rank[key].items():
            assert np.array_equal(value, ranks[0][key][name]), (key, name)  # the same on all ranks, to the bit
            if name.startswith("weight"):
                np.testing.assert_allclose(value, alone[name], rtol=1e-9, atol=1e-12, err_msg=f"{key} {name}")
            else:
                assert np.array_equal(value, alone[name]), (key, name)
        check_counts_and_zeros(rank[key], case["method"], worker.STEPS)


def check_counts_and_zeros(result: dict[str, np.ndarray], method: str, steps: int) -> None:
    layers = [name.removeprefix("weight ") for name in result if f"mask 01 {name.removeprefix('weight ')}" in result]
    size = sum(result[f"weight {name}"].size for name in layers)
    assert len(layers) == 3
    for step in range(1, steps + 1):
        if method in EXACT or (method in EXACT_LAST and step == steps):
            assert sum(result[f"mask {step:02d} {name}"].sum() for name in layers) == (size + 1) // 2, (method, step)
    for name in layers:
        mask = result[f"mask {steps:02d} {name}"]
        assert not result[f"weight {name}"][~mask].any(), (method, name)
    changed = any((result[f"mask 01 {name}"] != result[f"mask {steps:02d} {name}"]).any() for name in layers)
    assert changed == (method not in {"static", "snip", "magnitude", "dense"}), method
    assert (result["updates"] > 0) == changed


def by_key(names: list[str]) -> list[Any]:
    return [pytest.param(case, id=case["key"]) for case in worker.cases(names)]


@pytest.mark.parametrize("case", by_key([*FAST]))
def test_two_ranks_train_as_one_process_does(case: dict[str, Any], two: tuple[Ranks, list[dict]]) -> None:
    check_against_one_process(two[0], case)


@pytest.fixture(scope="module", params=[1, 2, 4])
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    return launch(tmp_path_factory.mktemp("several"), request.param, methods.names())[0]


@pytest.mark.slow
@pytest.mark.parametrize("case", by_key(methods.names()))
def test_every_method_on_several_ranks(case: dict[str, Any], several: Ranks) -> None:
    check_against_one_process(several, case)


def test_growth_looks_at_the_mean_gradient_not_at_its_mean_size(two: tuple[Ranks, list[dict]]) -> None:
    for rank in two[0]:
        assert rank["opposed"]["mask"].tolist() == [[True, False, False, True]]


def test_layers_without_a_gradient_on_some_ranks_or_on_all(two: tuple[Ranks, list[dict]]) -> None:
    first, second = (rank["unused"] for rank in two[0])
    for name, value in first.items():
        assert np.array_equal(value, second[name]), name
    for head, moves in (("a", True), ("b", True), ("c", False)):
        before, after = first[f"first {head}.weight"], first[f"mask {head}.weight"]
        assert bool((before != after).any()) == moves, head
        assert before.sum() == after.sum() == 12
        assert not first[f"weight {head}.weight"][~after].any()


def test_masks_forced_apart_are_noticed_by_all_ranks_at_the_next_update(two: tuple[Ranks, list[dict]]) -> None:
    for said in two[1]:
        for name in ("set", "rigl"):
            # weights where there should be none, or the comparison of masks, whichever a rank meets first
            assert re.match(r"[12]: (0\.weight has non-zero inactive weights|masks differ)", said[f"apart {name} 0"])
            assert said[f"apart {name} 2"].startswith("2: masks differ between ranks")
            assert "Next: wrap the model in DistributedDataParallel" in said[f"apart {name} 2"]


def test_a_model_without_a_sparse_layer_on_several_ranks(two: tuple[Ranks, list[dict]]) -> None:
    assert [said["nothing sparse"] for said in two[1]] == [1, 1]


@pytest.fixture
def alone(tmp_path: Path):
    """A process group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["fully_shard", "FullyShardedDataParallel", "DTensor"])
@pytest.mark.filterwarnings("ignore")
def test_sharded_models_are_refused(alone: None, kind: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
    from torch.distributed.tensor import distribute_tensor

    model: nn.Module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    mesh = init_device_mesh("cpu", (1,))
    message = r"the model is sharded \(FSDPModule\): .* Next: train with DistributedDataParallel"
    if kind == "fully_shard":
        fully_shard(model, mesh=mesh)
    elif kind == "DTensor":
        model[0].weight = nn.Parameter(distribute_tensor(model[0].weight.detach(), mesh))
        message = r"0\.weight is sharded .* Next: leave it out"
    else:
        model = FullyShardedDataParallel(model, device_id=torch.device("cpu"))
        message = r"the model is sharded \(FullyShardedDataParallel\)"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for method in (RigL(0.5), Static(0.5)):
        with pytest.raises(InputError, match=message):
            attach(model, optimizer, method, total_steps=10)
    assert not optimizer._optimizer_step_post_hooks


def test_biases_of_dead_filters_are_found_inside_the_wrapper(alone: None) -> None:
    found = []
    for wrap in (lambda model: model, DistributedDataParallel):
        model = wrap(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(128, 5)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        sparsifier = attach(model, optimizer, Channel(0.5, timing=Every(2)), total_steps=8)
        for _ in range(8):
            optimizer.zero_grad()
            model(torch.ones(2, 3, 6, 6)).square().sum().backward()
            optimizer.step()
        dead = ~sparsifier.masks["0.weight"].flatten(1).any(1)
        bias = next(p for name, p in model.named_parameters() if name.endswith("0.bias"))
        found.append((int(dead.sum()), int(bias[dead].count_nonzero())))
    assert found == [(4, 0), (4, 0)]
