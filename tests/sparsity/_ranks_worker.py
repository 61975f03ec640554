"""Trains small networks on the ranks of one `torch.distributed.run`; each rank writes what it ended with.

    python -m torch.distributed.run --standalone --nproc_per_node=2 _ranks_worker.py FOLDER METHOD...

Without a process group the same functions train the whole batch in one process: what the ranks are compared with.
"""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from regrow.errors import RegrowError
from regrow.sparsity import Constant, Every, GivenMask, RigL, Uniform, attach, methods
from regrow.sparsity.schedules import Never

STEPS, ROWS, SPARSITY = 12, 16, 0.5
Result = dict[str, np.ndarray]


def network(seed: int) -> nn.Module:
    """Every rank begins with weights of its own; DistributedDataParallel then takes rank 0's."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(128, 12), nn.Tanh(), nn.Linear(12, 5)]
        return nn.Sequential(*layers).double()


def batch(step: int, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(ROWS, 3, 6, 6, generator=generator, dtype=torch.float64)
    return x[rows], torch.randint(5, (ROWS,), generator=generator)[rows]


def cases(names: list[str]) -> list[dict[str, Any]]:
    """A case per method, attached before or after wrapping in turn, and the four manners of DDP for RigL."""
    turn = [{"before": i % 2 == 0, "views": i % 3 == 0, "parts": 1 + (i % 4 == 1)} for i in range(len(names))]
    every = [{"key": name, "method": name, **manner} for name, manner in zip(names, turn, strict=True)]
    # these look at the whole model when they are attached, or let the loss run
    special = [name for name in ("channel", "cht", "cht_s", "snip") if name in names]
    every += [
        {"key": f"{name} {before}", "method": name, "before": before, "views": False, "parts": 1}
        for name in special
        for before in (True, False)
    ]
    both = [(before, views) for before in (True, False) for views in (True, False)]
    return every + [
        {"key": f"rigl-{i}", "method": "rigl", "before": before, "views": views, "parts": 2}
        for i, (before, views) in enumerate(both)
        if "rigl" in names
    ]


def method_of(name: str) -> Any:
    plain = methods.get(name)(*([] if name == "dense" else [SPARSITY]))
    fixed = isinstance(plain.timing, Never)
    return plain if fixed else methods.get(name)(SPARSITY, timing=Every(2, stop=1.0))


def train(case: dict[str, Any], rank: int, world: int) -> Result:
    """Masks after every update, and the weights at the end."""
    model: nn.Module = network(rank)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)

    def wrapped() -> nn.Module:
        return DistributedDataParallel(model, gradient_as_bucket_view=case["views"]) if world > 1 else model

    net = model if case["before"] else wrapped()

    def loss_of(step: int, rows: slice = slice(None)) -> torch.Tensor:
        x, y = batch(step, rows)
        return nn.functional.cross_entropy(net(x), y)

    method = method_of(case["method"])
    sparsifier = attach(net, optimizer, method, total_steps=STEPS, init_loss=lambda: loss_of(0))
    if case["before"]:
        net = wrapped()
    size = ROWS // world // case["parts"]
    out: Result = {}
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        for part in range(case["parts"]):
            start = rank * (ROWS // world) + part * size
            last = part == case["parts"] - 1
            with contextlib.nullcontext() if last or world == 1 else net.no_sync():  # type: ignore[operator]
                (loss_of(step, slice(start, start + size)) / case["parts"]).backward()
        optimizer.step()
        for name, mask in sparsifier.masks.items():
            out[f"mask {step:02d} {name}"] = mask.numpy()
    for name, p in model.named_parameters():
        out[f"weight {name}"] = p.detach().numpy()
    out["updates"] = np.array(sparsifier.update_count)
    return out


def opposed(rank: int, world: int) -> Result:
    """Two candidates: at one the ranks' gradients cancel (their sizes are 5), at the other they agree (on 1)."""
    model = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.1, 0.0, 0.0]]))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    given = GivenMask({"weight": torch.tensor([[True, True, False, False]])})
    method = RigL(0.5, initial=given, timing=Every(1, stop=1.0), drop_fraction=Constant(0.5))
    sparsifier = attach(model, optimizer, method, total_steps=2)
    sign = 1.0 if rank % 2 == 0 else -1.0
    DistributedDataParallel(model)(torch.tensor([[0.0, 0.0, 5.0 * sign, 1.0]], dtype=torch.float64)).sum().backward()
    optimizer.step()
    return {"mask": sparsifier.masks["weight"].numpy()}


class TwoHeads(nn.Module):
    """Where ``use`` does not say so, a head takes no part."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(6, 4, bias=False) for _ in range(3))

    def forward(self, x: torch.Tensor, use: str) -> torch.Tensor:
        return torch.stack([getattr(self, head)(x).square().sum() for head in use]).sum()


def unused(rank: int, world: int) -> Result:
    """Head b is for the first rank alone, head c for none."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TwoHeads().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    method = RigL(0.5, timing=Every(2, stop=1.0), allocation=Uniform())
    sparsifier = attach(model, optimizer, method, total_steps=9)
    net = DistributedDataParallel(model, find_unused_parameters=True)
    first = {f"first {name}": mask.numpy() for name, mask in sparsifier.masks.items()}
    for step in range(8):
        optimizer.zero_grad()
        net(batch(step, slice(rank, rank + 1))[0].flatten()[:6], "ab" if rank == 0 else "a").backward()
        optimizer.step()
    return {
        **first,
        **{f"mask {name}": mask.numpy() for name, mask in sparsifier.masks.items()},
        **{f"weight {name}": p.detach().numpy() for name, p in model.named_parameters()},
    }


def forced_apart(rank: int, world: int, name: str, at: int) -> str:
    """The last rank's mask is moved by one, after ``at`` backward passes; what does the update at step 2 say?"""
    model = network(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, method_of(name), total_steps=STEPS)
    net, step = DistributedDataParallel(model), 0
    layer = next(iter(sparsifier._sparse.values()))

    def move() -> None:
        if rank == world - 1 and step == at:
            layer.set_mask(layer.mask.flags().roll(1))
            layer.mask_weight()
            layer.mask_gradient(layer.parameter)

    move()
    try:
        for step in (1, 2):
            optimizer.zero_grad()
            net(batch(step, slice(rank, rank + 2))[0]).square().mean().backward()
            move()
            optimizer.step()
    except RegrowError as error:
        return f"{step}: {error}"
    return "nothing noticed"


def nothing_sparse() -> int:
    """A method with updates, and no layer that may be sparse."""
    model = network(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier = attach(model, optimizer, RigL(0.0, timing=Every(1, stop=1.0)), total_steps=3)
    for step in range(3):
        optimizer.zero_grad()
        model(batch(step, slice(2))[0]).square().mean().backward()
        optimizer.step()
    return int(all(mask.all() for mask in sparsifier.masks.values()))


def main(folder: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=30))
    rank, world = dist.get_rank(), dist.get_world_size()
    results = {case["key"]: train(case, rank, world) for case in cases(names)}
    said: dict[str, Any] = {"nothing sparse": nothing_sparse()}
    if world > 1:
        results |= {"opposed": opposed(rank, world), "unused": unused(rank, world)}
        said |= {f"apart {name} {at}": forced_apart(rank, world, name, at) for name in ("set", "rigl") for at in (0, 2)}
    arrays = {f"{key}|{name}": value for key, result in results.items() for name, value in result.items()}
    np.savez(folder / f"rank{rank}.npz", **arrays)  # type: ignore[arg-type]
    (folder / f"rank{rank}.json").write_text(json.dumps(said))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
