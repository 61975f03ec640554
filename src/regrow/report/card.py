"""The model card of a shared network: what it is, how robust it is, how it was made; Markdown with a YAML head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from regrow import files
from regrow.markup import markdown_text
from regrow.models.user import is_users
from regrow.report.record import study_command
from regrow.report.table import Column, Table, Value, shown, table
from regrow.report.tables import flat
from regrow.study.hub import CONFIG, WEIGHTS, Saved
from regrow.study.view import RunView, StudyView
from regrow.verdict.arms import clean, extras, families, in_family_order, mean_name, over
from regrow.verdict.tiers import tier_sentence
from regrow.verdict.words import plural


def card(saved: Saved, name: str, view: StudyView | None, made_on: Mapping[str, Any], licence: str = "") -> str:
    """The text of ``README.md``.

    Args:
        saved: the network in its folder.
        name: what the card calls it.
        view: the study of its run, with that run alone; None where the weights are all there is.
        made_on: versions and processor of the training; of the export where the training's are not known.
        licence: of the weights, an identifier as Hugging Face knows them; empty = the card names none.
    """
    run = None if view is None else view.runs[0]
    parts = [
        f"---\n{yaml.safe_dump(_head(saved, name, view, run, licence), sort_keys=False, allow_unicode=True)}---\n",
        f"# {markdown_text(name)}\n",
        _about(saved),
        _use(saved),
        "## Robustness\n",
        *(_robustness(view, run) if view is not None and run is not None else ["It was not evaluated.\n"]),
        "## How it was made\n",
        made(saved, view, run, made_on).to_markdown() + "\n",
        *([f"    {study_command(view)}\n"] if view is not None else []),
        f"All settings are in `{CONFIG}`.\n",
        _data(saved),
        _size(saved),
    ]
    return "\n".join(parts)


def robustness(view: StudyView, run: RunView) -> Table:
    """Clean accuracy, the mean of each family, the mean over all common types, and of the extras."""
    rows: list[tuple[Value, ...]] = [("clean", None, clean(run))]
    rows += [(family, len(group), over(view, group)(run)) for family, group in families(view).items()]
    rows.append((mean_name(view), len(view.common), over(view, view.common)(run)))
    if extras(view):
        rows.append(("extras", len(extras(view)), over(view, extras(view))(run)))
    columns = (Column("images", "Images"), Column("types", "Types", "integer"), Column("top1", "Accuracy", "percent"))
    return table("Accuracy", columns, rows)


def by_type(view: StudyView, run: RunView) -> Table:
    """Accuracy of every corruption at each severity, and their mean."""
    columns = (
        Column("corruption", "Corruption"),
        Column("family", "Family"),
        *(Column(f"severity_{s}", str(s), "percent") for s in view.severities),
        Column("mean", "Mean", "percent"),
    )
    rows = [
        (name, family, *(over(view, (name,), (s,))(run) for s in view.severities), over(view, (name,))(run))
        for family, name in in_family_order(view)
    ]
    return table("Accuracy by corruption and severity", columns, rows)


def made(saved: Saved, view: StudyView | None, run: RunView | None, made_on: Mapping[str, Any]) -> Table:
    """What made the network, one row a fact."""
    settings, training = saved.settings, saved.settings.training
    result: Mapping[str, Any] = (run.result if run is not None else None) or {}
    length = f"{training.steps} steps" if training.steps is not None else f"{training.epochs:g} epochs"
    dense = settings.method.name == "dense"
    digest = "" if view is None else files.value_digest(dict(view.recipe))[:12]
    facts: dict[str, object] = {
        "Recipe": "" if view is None else f"{view.name}, digest {digest}",
        "Run": "" if run is None else run.name,
        "Data": saved.spec.name,
        "Network": _network(saved),
        "Method": settings.method.label or settings.method.name,
        "Sparsity": "" if dense else f"{settings.sparsity:g}; density at the end {saved.density:.4f}",
        "Topology updates": result.get("updates"),
        "Seeds": ", ".join(f"{stream} {seed}" for stream, seed in settings.seeds.model_dump().items()),
        "Training": f"{length}, batch {training.batch}, {training.optimizer}, learning rate {training.lr:g}",
        "Arithmetic": settings.precision.dtype,
    }
    rows = [(key, str(value)) for key, value in facts.items() if value not in ("", None)]
    versions = {key: made_on[key] for key in ("regrow", "python", "packages") if key in made_on}
    rows += [(key.removeprefix("packages."), value) for key, value in flat(versions)]
    rows += [(key, str(made_on[key])) for key in ("processor", "accelerator") if made_on.get(key)]
    return table("How it was made", (Column("what", "What"), Column("value", "Value")), rows)


def _head(saved: Saved, name: str, view: StudyView | None, run: RunView | None, licence: str) -> dict[str, Any]:
    method = saved.settings.method
    task = "image-classification" if saved.spec.frames is None else "video-classification"
    head: dict[str, Any] = {"library_name": "regrow", "pipeline_tag": task}
    head |= {"license": licence} if licence else {}
    kind = ["dense"] if method.name == "dense" else ["sparse-training", method.name]
    head |= {"tags": ["regrow", *kind, "robustness", "image-corruptions"]}
    head |= {"metrics": ["accuracy"]}
    results = [] if view is None or run is None else _results(view, run, task, saved.spec.name)
    return head | ({"model-index": [{"name": name, "results": results}]} if results else {})


def _results(view: StudyView, run: RunView, task: str, data: str) -> list[dict[str, Any]]:
    """The robustness table as Hugging Face's index of results; what was not measured is left out."""
    levels = ", ".join(map(str, view.severities))
    found = []
    for what, n_types, accuracy in robustness(view, run).rows:
        if not isinstance(accuracy, float) or not isinstance(n_types, int | None):
            continue
        corrupted = (
            "" if n_types is None else f", {what} ({plural(n_types, 'type')} of corruption, severities {levels})"
        )
        found.append(
            {
                "task": {"type": task},
                "dataset": {"name": f"{data}{corrupted}", "type": data},
                "metrics": [{"type": "accuracy", "value": round(accuracy, 6), "name": "Top-1 accuracy"}],
            }
        )
    return found


def _network(saved: Saved) -> str:
    model = saved.settings.model
    width = "" if model.width is None else f", width {model.width}"
    return f"{model.name}{width}"


def _about(saved: Saved) -> str:
    spec, method = saved.spec, saved.settings.method
    what = "images" if spec.frames is None else f"clips of {spec.frames} frames"
    trained = "trained densely" if method.name == "dense" else f"trained by {method.label or method.name}"
    sparse = "" if method.name == "dense" else f" at sparsity {saved.settings.sparsity:g}"
    text = (
        f"{_network(saved)}, {trained}{sparse} on {spec.name}: {spec.n_classes} classes, {what} of {spec.image_size} "
        "pixels. Made by regrow, which trains networks densely and with dynamic sparse training and measures which "
        "stands up to image corruptions."
    )
    return markdown_text(text) + "\n"


def _use(saved: Saved) -> str:
    spec, name = saved.spec, saved.settings.model.name
    own = f', network="{name}"' if is_users(name) else ""
    ones = ", ".join(["1"] * (len(spec.input_shape) - 1))
    lines = [
        "```python",
        "import torch",
        "from regrow import from_pretrained",
        "",
        f'model = from_pretrained("DIR"{own})  # the folder of this file',
        f"mean = torch.tensor({list(spec.mean)}).view(-1, {ones})",
        f"std = torch.tensor({list(spec.std)}).view(-1, {ones})",
        f"images = torch.rand(1, {', '.join(map(str, spec.input_shape))})  # RGB in 0..1",
        "logits = model((images - mean) / std)",
        "```",
        "",
    ]
    source = saved.config["network_file"]
    if source is not None:
        said = f"The network is its author's own: `{name}`, file `{source['name']}`, SHA-256 `{source['sha256']}`."
        lines += [f"{said} It is not in this folder, and is imported only because you name it.", ""]
    return "\n".join(lines)


def _robustness(view: StudyView, run: RunView) -> list[str]:
    clean_score = run.scores.get(("clean", 0))
    n = "" if clean_score is None else f" on {clean_score.n:,} test images"
    said = (
        f"Top-1 accuracy{n} of this one run: nothing is said about other seeds. {mean_name(view)} is the mean over "
        f"{plural(len(view.common), 'type')} {view.common_words}, of the mean over severities "
        f"{', '.join(map(str, view.severities))}; the families are parts of it; {tier_sentence(view.tier)}."
    )
    missing = [c for c in view.corruptions for s in view.severities if (c, s) not in run.scores]
    notes = list(view.notes)
    notes += [f"{len(missing)} cells were not evaluated; means that need them are left out."] if missing else []
    return [
        robustness(view, run).to_markdown() + "\n",
        markdown_text(said) + "\n",
        by_type(view, run).to_markdown() + "\n",
        *(f"- {markdown_text(note)}" for note in notes),
        "",
    ]


def _data(saved: Saved) -> str:
    spec = saved.spec
    facts = [f"{spec.name}: {spec.citation or 'no citation is known'}", f"Terms: {spec.licence or 'not known'}"]
    facts += [spec.caveat] if spec.caveat else []
    return "\n".join(["## Data\n", *(f"- {markdown_text(fact)}" for fact in facts), ""])


def _size(saved: Saved) -> str:
    return (
        f"## Size\n\n`{WEIGHTS}` has {saved.bytes:,} bytes, {shown(saved.bytes / saved.dense_bytes, 'percent')} of the "
        f"{saved.dense_bytes:,} bytes of its tensors with their zeros. A sparse weight lies there as its mask (one bit "
        "a weight) and its active values; `from_pretrained` gives back every bit. Scattered zeros make the file "
        "smaller, not the network faster.\n"
    )
