"""Which frequencies does a sparse network learn first, and which last? The measurements behind the page beside it.

``python docs/tutorials/density_and_frequency.py`` trains small networks on ``cues`` at several densities, looks at them
while they train, follows linear networks whose frequency response is known in closed form, and writes the JSON, the
figures and the tables of the page anew; ``--draw`` makes figures and tables from the JSON that is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import density_and_frequency_figures as figures
import torch
import tutorial_pages as pages
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import SET, Dense, RigL, Static, analysis, attach, data, models
from regrow.data.batches import normalise
from regrow.sparsity import Every, Method
from regrow.study.environment import describe_environment

HERE = Path(__file__).parent
METHODS = {"set": SET, "rigl": RigL, "static": Static}
#: Share of weights that are active; 1 is dense training.
DENSITIES = (1.0, 0.5, 0.2, 0.1, 0.05)
#: Everything that was chosen.
SETTINGS: dict[str, Any] = {
    "densities": list(DENSITIES),
    "seeds": 5,
    # where dense networks of the seeds 100 to 103, which are not measured, went by both cues about equally in the mean
    "options": {"high": 0.97},
    "model": "resnet8",
    "width": 8,
    "train_images": 1600,
    "test_images": 200,
    "images_looked_at": 100,
    "steps": 480,
    "batch": 16,
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "update_every": 20,
    "evaluate_every": 20,
    "looks": [10, 130, 250, 480],
    "alone": {"low": {"train_high": 0.0}, "high": {"train_low": 0.0}},
    "alone_densities": [1.0, 0.2, 0.05],
    "linear": {
        "side": 32,
        "exponent": 2.0,
        "kernel": 5,
        "channels": 16,
        "steps": 1000,
        "lr": 0.02,
        "momentum": 0.9,
        "update_every": 50,
        "seeds": 5,
    },
}


def arms(densities: list[float]) -> Iterator[tuple[str, float, Method]]:
    """Name, density and method of every way to train; dense training, which has no method, comes once."""
    if 1.0 in densities:
        yield "dense", 1.0, Dense()
    for name, method in METHODS.items():
        for density in densities:
            if density < 1:
                yield name, density, method(1 - density)


def timed(method: Method, every: int) -> Method:
    """The same method with an update after every so many steps, where it has updates."""
    return method if method.name in ("dense", "static") else METHODS[method.name](method.sparsity, timing=Every(every))


#: Cues in the test images -> split.
SPLITS = {"both": "test", "low": "low_only", "high": "high_only"}


class Images:
    """Training images, and test images of some splits, normalised."""

    def __init__(self, settings: Mapping[str, Any], cues: Iterable[str] = SPLITS, **options: float) -> None:
        def of(split: str, n: int) -> tuple[Tensor, Tensor]:
            found = data.load_images("cues", split, options={**settings["options"], **options}, n=n)
            return normalise(torch.from_numpy(found.images), found.spec), torch.from_numpy(found.labels)

        self.train = of("train", settings["train_images"])
        self.tests = {cue: of(SPLITS[cue], settings["test_images"]) for cue in cues}
        self.std = data.spec("cues").std


def train(name: str, density: float, method: Method, seed: int, images: Images, settings: Mapping[str, Any]) -> Any:
    """Train one network in a loop as a user writes it, and measure it on the way.

    Updates come after steps 20, 40, ..., measurements halfway between two updates.
    """
    torch.manual_seed(seed)
    model = models.build(settings["model"], 10, width=settings["width"])
    steps, every = settings["steps"], settings["evaluate_every"]
    optimizer = torch.optim.SGD(
        model.parameters(), settings["lr"], settings["momentum"], weight_decay=settings["weight_decay"]
    )
    attach(model, optimizer, timed(method, settings["update_every"]), total_steps=steps, seed=seed)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["lr"], total_steps=steps, pct_start=0.1)
    order = torch.Generator().manual_seed(seed)
    x, labels = images.train
    run: dict[str, Any] = {"method": name, "density": density, "seed": seed, "steps": [], "looks": []}
    run |= {"accuracy": {cue: [] for cue in images.tests}}
    for step in range(1, steps + 1):
        model.train()
        some = torch.randint(len(x), (settings["batch"],), generator=order)
        optimizer.zero_grad()
        F.cross_entropy(model(x[some]), labels[some]).backward()
        optimizer.step()
        rate.step()
        model.eval()
        if step % every == every // 2 or step == steps:
            run["steps"].append(step)
            for cue, (test, truth) in images.tests.items():
                run["accuracy"][cue].append(accuracy(model, test, truth))
        if step in settings["looks"]:
            run["looks"].append({"step": step, **look(model, images, settings["images_looked_at"])})
    return run


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of right answers."""
    return float((model(images).argmax(1) == labels).float().mean())


def look(model: nn.Module, images: Images, n: int) -> dict[str, Any]:
    """Radius curves, and the spectrum of the input gradient as shares of its power by ring."""
    x, labels = (part[:n] for part in images.tests["both"])
    curves = analysis.radius_curves(model, x, labels, conventions=["follow"])
    (curve,) = curves["curves"]
    gradient = analysis.input_gradients(model, x, labels, std=images.std)
    power = [row["bins"] * row["power"] for row in gradient["profile"]]
    return {
        **analysis.radius_summary(curve, curves["clean_accuracy"], analysis.registered_radii(32)),
        "clean": curves["clean_accuracy"],
        "curve": {side: [row["accuracy"] for row in curve[side]] for side in ("low", "high")},
        "share": gradient["share"],
        "loss": gradient["loss"]["mean"],
        "spectrum": [value / sum(power) for value in power] if sum(power) else None,
    }


class LinearNetwork(nn.Module):
    """Two convolutions without anything between them, round the edges: one filter, whose response is a sum of products.

    W(f) = sum over channels c of U_c(f) V_c(f), with U_c and V_c the Fourier transforms of the two kernels of c.
    """

    def __init__(self, channels: int, kernel: int, side: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, kernel, bias=False)
        self.second = nn.Conv2d(channels, 1, kernel, bias=False)
        self.side = side

    def response(self) -> Tensor:
        """W(f), complex (side, side // 2 + 1)."""
        shape = (self.side, self.side)
        u, v = (torch.fft.rfft2(weight, s=shape) for weight in (self.first.weight, self.second.weight))
        return (u[:, 0] * v[0]).sum(0)


class Task:
    """Learn a random filter W* from images with the power spectrum S(f) = 1/f^a, without noise, in closed form.

    The expected squared error of a linear network on such images is the mean over f of S(f) |W(f) - W*(f)|^2: no image
    is drawn. Ridge regression with the penalty lambda has the response W*(f) S(f) / (S(f) + lambda).
    """

    def __init__(self, side: int, exponent: float, kernel: int, seed: int) -> None:
        rho = analysis.frequency_radii(side, side, centred=False)[:, : side // 2 + 1].float()
        self.weight = torch.full_like(rho, 2.0)  # columns of the half plane that stand for two
        self.weight[:, [0, -1]] = 1
        power = rho.clamp(min=1) ** -exponent
        self.power = power / self.mean(power)
        teacher = torch.randn(2 * kernel - 1, 2 * kernel - 1, generator=torch.Generator().manual_seed(seed))
        response = torch.fft.rfft2(teacher, s=(side, side))
        self.target = response / self.mean(response.abs() ** 2).sqrt()
        self.bands = {"low": rho <= side / 8, "high": rho > side / 4}
        self.rings = [(rho + 0.5).floor() == r for r in range(side // 2 + 1)]

    def mean(self, values: Tensor, where: Tensor | None = None) -> Tensor:
        """Mean over the plane, or over a part of it."""
        weight = self.weight if where is None else self.weight * where
        return (values * weight).sum() / weight.sum()

    def loss(self, response: Tensor) -> Tensor:
        """Expected squared error."""
        return self.mean(self.power * (response - self.target).abs() ** 2)

    def gain(self, response: Tensor, where: Tensor) -> float:
        """How much of W* is there: the factor by which it is multiplied, by least squares."""
        along = self.mean((response * self.target.conj()).real, where)
        return float(along / self.mean(self.target.abs() ** 2, where))

    def error(self, response: Tensor, where: Tensor | None = None) -> float:
        """Mean |W - W*|^2 over mean |W*|^2."""
        off = self.mean((response - self.target).abs() ** 2, where)
        return float(off / self.mean(self.target.abs() ** 2, where))

    def ridge(self, penalty: float) -> Tensor:
        """The response of ridge regression."""
        return self.target * self.power / (self.power + penalty)

    def nearest_ridge(self, response: Tensor) -> tuple[float, float]:
        """Penalty of the ridge regression nearest to a response, and the share of mean |W - W*|^2 that it explains."""

        def off(penalty: float) -> float:
            return float(self.mean((response - self.ridge(penalty)).abs() ** 2))

        penalty = min((0.0, *(10 ** (k / 10) for k in range(-60, 31))), key=off)
        return penalty, 1 - off(penalty) / off(0.0)


def follow(name: str, density: float, method: Method, seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train one linear network; its response just before and after each update, and in the end."""
    torch.manual_seed(seed)
    task = Task(settings["side"], settings["exponent"], settings["kernel"], seed)
    model = LinearNetwork(settings["channels"], settings["kernel"], settings["side"])
    optimizer = torch.optim.SGD(model.parameters(), settings["lr"], settings["momentum"])
    steps, every = settings["steps"], settings["update_every"]
    attach(model, optimizer, timed(method, every), total_steps=steps, seed=seed)
    run: dict[str, Any] = {"method": name, "density": density, "seed": seed, "updates": []}

    def state() -> dict[str, float]:
        with torch.no_grad():
            response = model.response()
        return {band: task.error(response, where) for band, where in task.bands.items()}

    for step in range(1, steps + 1):
        due = step % every == 0
        before = state() if due else {}
        optimizer.zero_grad()
        task.loss(model.response()).backward()
        optimizer.step()
        if due:
            run["updates"].append({"step": step, "before": before, "after": state()})
    with torch.no_grad():
        response = model.response()
        penalty, explained = task.nearest_ridge(response)
        run |= {"loss": float(task.loss(response)), "error": state(), "ridge": penalty, "explained": explained}
        run["gain"] = [task.gain(response, ring) for ring in task.rings]
        run["ridge_gain"] = [task.gain(task.ridge(penalty), ring) for ring in task.rings]
    return run


def measure(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the page says, as JSON values."""
    runs, alone = [], []
    images = Images(settings)
    for name, density, method in arms(settings["densities"]):
        runs += [train(name, density, method, seed, images, settings) for seed in range(settings["seeds"])]
        print(f"both cues, {name} at density {density:g}", flush=True)
    without_looks = {**settings, "looks": []}
    for cue, options in settings["alone"].items():
        images = Images(settings, [cue], **options)
        for name, density, method in arms(settings["alone_densities"]):
            alone += [train(name, density, method, seed, images, without_looks) for seed in range(settings["seeds"])]
            print(f"{cue} cue alone, {name} at density {density:g}", flush=True)
    chosen = settings["linear"]
    linear = [
        follow(name, density, method, seed, chosen)
        for name, density, method in arms(settings["densities"])
        for seed in range(chosen["seeds"])
    ]
    content = {"settings": dict(settings), "runs": runs, "alone": alone, "linear": linear}
    return {"environment": describe_environment(), **pages.rounded(content)}


def main(arguments: Sequence[str] | None = None, settings: Mapping[str, Any] = SETTINGS, folder: Path = HERE) -> None:
    """Measure, unless told to draw alone; write figures and tables."""
    drawn = {f"-{name}": figure for name, figure in figures.FIGURES.items()}
    pages.make(arguments, __doc__, "density-and-frequency", folder, lambda: measure(settings), figures.parts, drawn)


if __name__ == "__main__":
    main()
