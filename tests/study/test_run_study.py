"""A whole study in a folder: complete, idempotent, owned by one process, never of two recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regrow import corruptions, data, files
from regrow.errors import BusyError, DataError, InputError, RegrowError, RunFailedError
from regrow.evaluation.records import load_record
from regrow.study import recipe as recipes
from regrow.study.cells import open_cells
from regrow.study.engines.engine import Event, execute_all
from regrow.study.engines.local import LocalEngine
from regrow.study.kinds import cell_notes
from regrow.study.load import load_study
from regrow.study.recipe import Recipe
from regrow.study.run import plan_lines, plan_study, run_study
from regrow.study.store import Store, get_state
from regrow.study.view import CLEAN


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes())
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_a_study_is_complete_and_a_second_call_does_nothing(tiny: Recipe, finished: Path, quiet) -> None:
    folder = finished
    view = load_study(folder)
    assert [run.state for run in view.runs] == ["done", "done"]
    assert view.runs[0].method == "dense"
    cells = {CLEAN, ("contrast", 1), ("contrast", 5), ("gaussian_noise", 1), ("gaussian_noise", 5)}
    for run in view.runs:
        assert set(run.scores) == cells == set(view.examples)
        assert all(score.n == 20 for score in run.scores.values())
        assert run.result is not None
        assert run.result["updates"] == run.plan["updates"]
        assert {len(run.attenuation["low"]), len(run.attenuation["high"])} == {5}
        assert run.reliance is not None
        assert abs(run.reliance["low"] + run.reliance["high"] + run.reliance["other"] - 1) < 1e-9
        assert run.attempts == 1
    sparse = view.runs[1]
    counts = {name: int(kernel.sum()) for name, kernel in sparse.kernels.items()}
    assert counts == {row["name"]: row["n_active"] for row in sparse.plan["layers"]}
    before = snapshot(folder)
    run_study(tiny, folder, quiet, jobs=2)
    assert snapshot(folder) == before


def test_stored_cells_are_those_of_corrupt_and_records_are_those_of_the_cells(
    finished: Path,
) -> None:
    folder = finished
    test = data.load("cues", "test", n=20)
    cell = np.load(folder / "cells" / "cues.gaussian_noise.5.npy")
    np.testing.assert_array_equal(cell, corruptions.corrupt(test.images, "gaussian_noise", 5, seed=0))
    np.testing.assert_array_equal(np.load(folder / "cells" / "labels.npy"), test.labels)
    record, inputs = load_record(folder / "runs" / "dense-s0-seed0" / "records" / "cues.contrast.1.npz")
    np.testing.assert_array_equal(record.correct, record.prediction == test.labels)
    assert inputs["cell"] == files.file_digest(folder / "cells" / "cues.contrast.1.npy")


@pytest.mark.system
def test_what_is_lost_is_made_again_and_nothing_else(tiny: Recipe, finished: Path, quiet) -> None:
    folder = finished
    run = folder / "runs" / "rigl-s0.5-seed0"
    before = snapshot(folder)
    record = run / "records" / "cues.contrast.5.npz"
    record.unlink()
    (run / "state.json").unlink()
    (folder / "cells" / "cues.contrast.1.npy").unlink()
    run_study(tiny, folder, quiet, jobs=1)
    after = snapshot(folder)
    assert {name: content for name, (_, content) in after.items()} == {n: c for n, (_, c) in before.items()}
    assert after["runs/rigl-s0.5-seed0/model.safetensors"] == before["runs/rigl-s0.5-seed0/model.safetensors"]


def test_a_folder_of_another_recipe_is_refused_and_left_alone(tiny: Recipe, folder: Path, quiet) -> None:
    plan = plan_study(tiny)
    Store(folder).create(tiny, plan.precision, plan.probe, {})
    before = snapshot(folder)
    other = recipes.parse({**tiny.resolved(), "training": {**tiny.resolved()["training"], "lr": 0.1}}, "other")
    with pytest.raises(InputError, match=r"training\.lr is 0\.05 there, 0\.1 in the recipe given"):
        run_study(other, folder, quiet)
    assert snapshot(folder) == before


def test_a_folder_with_something_else_in_it_is_refused(tiny: Recipe, folder: Path, quiet) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        run_study(tiny, folder, quiet)
    assert (folder / "thesis.tex").read_text() == "mine"
    assert not (folder / "study.yaml").exists()


def test_a_kill_while_the_plan_is_written_does_no_harm(tiny: Recipe, folder: Path) -> None:
    plan = plan_study(tiny)
    folder.mkdir()
    (folder / ".study.yaml.x1y2.tmp").write_text("schema: 1")
    store = Store(folder)
    store.create(tiny, plan.precision, plan.probe, {"processor": "a"})
    files.write_json(store.run("dense-s0-seed0") / "other.json", {})  # killed between the files of the runs
    names = [run.name for run in store.prepare()]
    assert all((store.run(name) / "run.json").exists() for name in names)
    assert files.read_json(folder / "environment.json") == {"processor": "a"}
    files.sweep(folder)
    assert not list(folder.rglob("*.tmp"))


def test_a_study_started_twice_at_once_runs_once(tiny: Recipe, folder: Path, quiet) -> None:
    with files.owned(folder, "study"), pytest.raises(BusyError, match="another process"):
        run_study(tiny, folder, quiet)


@pytest.mark.system
def test_a_failed_run_leaves_the_others_and_says_how_to_go_on(tiny: Recipe, folder: Path, quiet) -> None:
    plan = plan_study(tiny)
    Store(folder).create(tiny, plan.precision, plan.probe, {})
    Store(folder).prepare()
    broken = folder / "runs" / "dense-s0-seed0"
    (broken / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(RunFailedError, match=r"1 of 2 runs failed.*checkpoint.*rm .*Next: the same command") as caught:
        run_study(tiny, folder, quiet, jobs=1)
    assert caught.value.exit_code == 1
    assert get_state(broken)["state"] == "failed"
    assert get_state(folder / "runs" / "rigl-s0.5-seed0")["state"] == "done"
    (broken / "checkpoint.pt").unlink()
    run_study(tiny, folder, quiet, jobs=1)
    view = load_study(folder)
    assert [run.state for run in view.runs] == ["done", "done"]
    assert view.started == 3  # every start is counted


@pytest.mark.slow
def test_an_altered_run_is_not_trained_under_its_old_name(tiny: Recipe, folder: Path, quiet) -> None:
    plan = plan_study(tiny)
    Store(folder).create(tiny, plan.precision, plan.probe, {})
    Store(folder).prepare()
    path = folder / "runs" / "dense-s0-seed0" / "run.json"
    stored = files.read_json(path)
    stored["settings"]["training"]["lr"] = 0.9
    files.write_json(path, stored)
    with pytest.raises(RunFailedError, match="altered"):
        run_study(tiny, folder, quiet, jobs=1)


def test_unknown_names_are_refused_before_anything_is_written(tiny: Recipe, folder: Path, quiet) -> None:
    for key, value in (
        ("model", {"name": "resnett8"}),
        ("data", {"name": "cuse"}),
        ("methods", ["rigll"]),
        ("evaluation", {"corruptions": ["fogg"]}),
    ):
        wrong = recipes.parse({**tiny.resolved(), key: value}, "wrong")
        with pytest.raises(RegrowError, match="unknown"):
            run_study(wrong, folder, quiet)
        assert not folder.exists()


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("training", {"batch": 65}, "batch is 65.*64 training images"),
        ("data", {"test_images": 2_000_000}, "2000000"),
        ("data", {"options": {"lwo": 1}}, "no option 'lwo'"),
        ("data", {"options": {"low": "much"}}, "low"),
    ],
)
def test_impossible_amounts_are_refused_when_planned(
    tiny: Recipe, folder: Path, quiet, key: str, change: dict[str, object], words: str
) -> None:
    values = tiny.resolved()
    wrong = recipes.parse({**values, key: {**values[key], **change}}, "wrong")
    with pytest.raises(InputError, match=words):
        run_study(wrong, folder, quiet)
    assert not folder.exists()


def test_the_plan_says_updates_dense_layers_and_costs(tiny: Recipe) -> None:
    plan = plan_study(tiny, jobs=3)
    text = "\n".join(plan_lines(plan))
    assert plan.jobs == 3
    assert "5 topology updates, 3 steps apart" in text
    assert "7 of 10 layers stay dense: all but layer2.0.conv2.weight, layer3.0.conv1.weight" in text
    assert (
        plan.details["rigl-s0.5-seed0"]["flops"]["forward_sparse"]
        < plan.details["dense-s0-seed0"]["flops"]["forward_sparse"]
    )


def test_a_pinned_precision_is_not_probed_and_an_auto_one_needs_a_clear_gain(tiny: Recipe) -> None:
    plan = plan_study(tiny)
    assert (plan.precision.dtype, plan.precision.channels_last) == ("fp32", False)
    free = {**tiny.resolved()["training"], "precision": "auto", "channels_last": "auto"}
    wide = {"name": "resnet8", "width": 8}  # fewer channels are not timed in channels-last order everywhere
    probed = plan_study(recipes.parse({**tiny.resolved(), "training": free, "model": wide}, "free"))
    times = probed.probe["step_s"]
    assert set(times) == {"fp32", "fp32 channels_last", "bf16", "bf16 channels_last"}
    chosen = probed.precision.dtype + (" channels_last" if probed.precision.channels_last else "")
    assert chosen == "fp32" or times["fp32"] / times[chosen] >= 1.15


@pytest.mark.slow
def test_a_damaged_record_or_lost_weights_are_made_again_by_the_same_call(tiny: Recipe, finished: Path, quiet) -> None:
    folder = finished
    before = snapshot(folder)
    record = folder / "runs" / "dense-s0-seed0" / "records" / "cues.contrast.5.npz"
    record.write_bytes(record.read_bytes()[:100])
    view = load_study(folder)
    assert ("contrast", 5) not in view.runs[0].scores  # the page goes without it, and does not fail
    (folder / "runs" / "rigl-s0.5-seed0" / "model.safetensors").unlink()
    run_study(tiny, folder, quiet, jobs=2)
    after = snapshot(folder)
    for name in before:
        if name.endswith((".npz", ".safetensors")):
            assert after[name][1] == before[name][1], name


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"evaluation.seed": [0, 1]}, "evaluation.seed"),
        ({"data.options": [{}, {"low": 0.5}]}, "data.options"),
        ({"training.precision": ["fp32", "bf16"]}, "training.precision"),
        ({"training.lr": []}, "training.lr"),
        ({"training.lr": [0.1, 0.1]}, "training.lr"),
    ],
)
def test_axes_that_cannot_take_effect_are_refused(tiny: Recipe, axes: dict[str, list[object]], words: str) -> None:
    def plan() -> None:
        plan_study(recipes.parse({**tiny.resolved(), "axes": axes}, "wrong"))

    with pytest.raises(InputError, match=words):
        plan()


def test_an_edited_or_cut_study_file_is_refused(tiny: Recipe, folder: Path) -> None:
    plan = plan_study(tiny)
    store = Store(folder)
    store.create(tiny, plan.precision, plan.probe, {})
    text = store.study_file.read_text()
    store.study_file.write_text(text.replace("lr: 0.05", "lr: 0.5"))
    with pytest.raises(DataError, match="edited"):
        store.load()
    for cut in (0, 40, len(text) // 2):
        store.study_file.write_text(text[:cut])
        with pytest.raises(DataError, match=r"damaged|edited"):
            store.load()


def test_a_tier_must_be_reached(tiny: Recipe) -> None:
    with pytest.raises(InputError, match=r"T1 needs 30 epochs, this recipe trains for 3"):
        plan_study(recipes.parse({**tiny.resolved(), "tier": "T1"}, "wrong"))


def test_the_end_of_a_run_is_told_even_when_its_folder_is_gone(tmp_path: Path) -> None:
    events: list[Event] = []
    failed = execute_all([tmp_path / "runs" / "gone"], engine=LocalEngine(1), data_root=None, on_event=events.append)
    assert failed == ["gone"]
    assert events[-1].kind == "failed"
    assert events[-1].reason


def test_cells_of_an_older_study_still_open(tmp_path: Path) -> None:
    """Schema 1 knew no cells that are made as they are evaluated."""
    digests = {"labels.npy": "a", "cues.clean.0.npy": "b", "cues.fog.3.npy": "c"}
    files.write_json(tmp_path / "index.json", {"schema": 1, "source": {}, "digests": digests, "notes": ["n"]})
    opened = open_cells(tmp_path, "cues")
    assert opened.digests == {("clean", 0): "b", ("fog", 3): "c"}
    assert (opened.notes, opened.live) == (["n"], None)


def test_notes_of_cells_say_what_was_used(tmp_path: Path) -> None:
    assert cell_notes(["contrast"], 32) == []
    said = cell_notes(["contrast", "fog"], 48, stored=True)
    assert len(said) == 2
    assert "48 px" in said[0]
    assert "quality 85" in said[1]


def test_a_study_fetches_a_set_that_can_be_fetched(
    tiny: Recipe, tmp_path: Path, quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {name for name in data.names() if data.is_downloaded(name)} == {"cifar10", "cifar100"}
    asked = []

    def require(name: str, **_: object) -> Path:
        asked.append(name)
        raise DataError("no network here.")

    monkeypatch.setattr(data, "require", require)
    recipe = tiny.model_copy(update={"data": tiny.data.model_copy(update={"name": "cifar10"})})
    with pytest.raises(DataError, match="no network here"):
        run_study(recipe, tmp_path / "study", quiet, data_root=tmp_path)
    assert asked == ["cifar10"]
