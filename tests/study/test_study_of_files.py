"""Studies of pictures and clips in files: their cells, published sets beside them, and runs from recipe to page."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regrow import clips, corruptions, data, files
from regrow.corruptions import stand_ins, video
from regrow.corruptions.writer.tree import encoded
from regrow.data.clips import prepare
from regrow.data.fileset import clip_source
from regrow.errors import DataError, InputError, UnknownNameError
from regrow.evaluation.records import load_record
from regrow.report.write import write_report
from regrow.study import making
from regrow.study import recipe as recipes
from regrow.study.cells import open_cells
from regrow.study.execute import execute, restore, spec_of
from regrow.study.load import load_study
from regrow.study.making import make_cells
from regrow.study.recipe import Recipe
from regrow.study.run import plan_study, run_study
from regrow.study.store import Store, get_state
from regrow.training.checkpoint import load_weights
from regrow.training.loop import Progress
from regrow.training.settings import RunSettings

pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")

TRAINING = {
    "steps": 2,
    "batch": 2,
    "lr": 0.05,
    "precision": "fp32",
    "channels_last": "no",
    "log_every": 1,
    "checkpoint_seconds": 1e-6,
}
CLIPS: dict[str, Any] = {
    "schema": 1,
    "name": "clips",
    "data": {
        "name": "video_folder",
        "options": {"paths": ["films"], "class_by": "file", "size": 32, "frames": 4, "views": 2, "held": 36},
    },
    "model": {"name": "resnet3d18", "width": 4},
    "methods": ["dense", "set"],
    "sparse": {"interval": 1, "stop": 1.0},
    "training": {**TRAINING, "augment": {"flip": True, "scale_jitter": [32, 40]}},
    "evaluation": {"corruptions": ["contrast", "shot_noise", "packet_loss"], "severities": [1, 5], "batch": 4},
    "analysis": {"attenuation": {"low": [8.0], "high": [4.0]}},
}
PICTURES: dict[str, Any] = {
    "schema": 1,
    "name": "pictures",
    "data": {"name": "image_folder", "options": {"path": "pictures", "size": 32, "train_is_test": True}},
    "model": {"name": "resnet8", "width": 4},
    "methods": ["dense"],
    "training": {**TRAINING, "augment": {"flip": True, "resized_crop": [0.3, 1.0]}},
    "evaluation": {"corruptions": ["contrast", "gaussian_noise", "spatter"], "severities": [2, 4]},
    "analysis": {"attenuation": {"low": [8.0], "high": [4.0]}},
}


def parse(values: dict[str, Any], **evaluation: Any) -> Recipe:
    return recipes.parse({**values, "evaluation": {**values["evaluation"], **evaluation}}, "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, shoot: Callable[..., Path], film: Callable[..., np.ndarray]) -> Path:
    """Four films, and eight pictures of two classes."""
    folder = tmp_path_factory.mktemp("root")
    for i in range(4):
        shoot(folder / f"films/{i}.mp4", 9 + i, i, height=36, width=48)
    for i in range(8):
        path = folder / f"pictures/{'cat' if i % 2 else 'ant'}/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(film(1, 40, 50, i)[0]).save(path)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


# ---- cells


def test_cells_of_clips_are_their_frames_corrupted_then_cut(root: Path, tmp_path: Path) -> None:
    recipe = parse(CLIPS, seed=3)
    cells = make_cells(recipe, tmp_path, root)
    assert [cell for cell in cells.digests if cell[1]] == [
        (name, s) for name in ("contrast", "shot_noise", "packet_loss") for s in (1, 5)
    ]
    examples = data.load("video_folder", "test", root=root, options=recipe.data.options)
    source = clip_source(examples)
    assert source is not None
    for number in range(4):
        clip = prepare(clips.read(root / f"films/{number}.mp4"), 32)
        for name, severity in cells.digests:
            twin = video.corrupt_clip(clip, name, severity, seed=3, index=number) if severity else clip
            expected = twin.frames[source.sampling.at_test(len(twin))]
            np.testing.assert_array_equal(cells.images(name, severity)[number], expected, err_msg=f"{name} {severity}")
    assert cells.labels().tolist() == [0, 1, 2, 3]
    assert any("frames that are used" in note for note in cells.notes)


def test_cells_that_are_not_stored_are_those_that_are(root: Path, tmp_path: Path) -> None:
    for stored in (False, True):
        held = make_cells(parse(CLIPS, stored=stored), tmp_path / f"held {stored}", root)
        made = make_cells(parse(CLIPS, stored=stored, on_the_fly=True), tmp_path / f"made {stored}", root)
        assert not list((tmp_path / f"made {stored}").glob("*.[0-9].npy"))
        assert set(held.digests) == set(made.digests)
        assert len(set(made.digests.values())) == len(made.digests)
        for cell in held.digests:
            images, change = made.source(*cell)
            assert change is None
            np.testing.assert_array_equal(images[0:4], held.images(*cell))
            np.testing.assert_array_equal(images[1:3], held.images(*cell)[1:3])
        reopened = open_cells(tmp_path / f"made {stored}", "video_folder", made.test)
        np.testing.assert_array_equal(reopened.images("contrast", 5, 2), held.images("contrast", 5)[:2])


def test_cells_of_pictures_are_those_of_one_thread(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = {}
    for n in (1, 5):
        monkeypatch.setattr(making, "usable_cores", lambda n=n: n)
        threads[n] = make_cells(parse(PICTURES), tmp_path / str(n), root)
    assert threads[1].digests == threads[5].digests
    examples = data.load("image_folder", "test", root=root, options=PICTURES["data"]["options"])
    clean = examples.images[0:8]
    for name, severity in threads[5].digests:
        twin = corruptions.corrupt(clean, name, severity, seed=0) if severity else clean
        np.testing.assert_array_equal(threads[5].images(name, severity), twin)


@pytest.mark.parametrize("values", [CLIPS, PICTURES], ids=["clips", "pictures"])
@pytest.mark.parametrize("on_the_fly", [False, True])
def test_nothing_is_written_twice(root: Path, tmp_path: Path, values: dict[str, Any], on_the_fly: bool) -> None:
    extra = {} if values is CLIPS else {"stand_ins": ["flash"]}
    recipe = parse(values, on_the_fly=on_the_fly, corruptions=["contrast"], **extra)
    make_cells(recipe, tmp_path, root)
    before = snapshot(tmp_path)
    make_cells(recipe, tmp_path, root)
    assert snapshot(tmp_path) == before


def test_cells_follow_their_files(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "root"
    shutil.copytree(root, own)
    recipe = parse(PICTURES, corruptions=["contrast"])
    first = make_cells(recipe, tmp_path / "cells", own)
    (tmp_path / "cells/image_folder.contrast.2.npy").write_bytes(b"lost")
    assert make_cells(recipe, tmp_path / "cells", own).digests == first.digests


# ---- published sets and stand-ins


def publish(folder: Path, images: np.ndarray, groups: Sequence[str]) -> None:
    """A tree NAME/SEVERITY/CLASS/FILE of one type."""
    for severity in range(1, 6):
        for i, (image, group) in enumerate(zip(images, groups, strict=True)):
            path = folder / f"haze/{severity}/{group}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image // severity).save(path)


def test_published_images_go_by_the_names_of_their_classes(root: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    publish(tmp_path / "set", images, ["cat"] * 3)
    published = {"folder": str(tmp_path / "set")}
    cells = make_cells(parse(PICTURES, corruptions=["contrast"], published=published), tmp_path / "cells", root)
    assert cells.spec.classes == ("ant", "cat")
    assert cells.labels("haze", 2).tolist() == [1, 1, 1]  # the only folder, but the study's second class
    np.testing.assert_array_equal(cells.images("haze", 2), images // 2)
    assert cells.labels().tolist() == [0] * 4 + [1] * 4
    publish(tmp_path / "set", images, ["cow"] * 3)
    with pytest.raises(DataError, match="class cow, which image_folder has not"):
        cells.labels("haze", 2)


def test_published_images_of_another_size_are_refused(root: Path, tmp_path: Path) -> None:
    publish(tmp_path / "set", np.zeros((2, 30, 32, 3), np.uint8), ["ant", "cat"])
    with pytest.raises(DataError, match="have 32 x 30 pixels, those of the study 32 x 32"):
        make_cells(parse(PICTURES, published={"folder": str(tmp_path / "set")}), tmp_path / "cells", root)


def test_stand_ins_are_made_said_and_made_again(root: Path, tmp_path: Path) -> None:
    recipe = parse(PICTURES, corruptions=["contrast"], stand_ins=["flash", "xy_motion_blur"])
    cells = make_cells(recipe, tmp_path, root)
    assert stand_ins.NOTE in cells.notes
    assert {("flash", 2), ("flash", 4), ("xy_motion_blur", 2), ("xy_motion_blur", 4)} < set(cells.digests)
    assert cells.labels("flash", 4).tolist() == cells.labels().tolist()
    for image, clean in zip(cells.images("flash", 4), cells.images("clean", 0), strict=True):
        jpeg = io.BytesIO(encoded(stand_ins.stand_in(clean, "flash", 4)))
        np.testing.assert_array_equal(image, np.asarray(Image.open(jpeg)))
    before = {name: content for name, (_, content) in snapshot(tmp_path).items()}
    shutil.rmtree(tmp_path / making.STAND_INS / "flash/4")
    assert make_cells(recipe, tmp_path, root).digests == cells.digests
    assert {name: content for name, (_, content) in snapshot(tmp_path).items()} == before


def test_what_clips_cannot_have_is_refused_when_planned(root: Path) -> None:
    for values, error, said in (
        ({"stand_ins": ["flash"]}, InputError, "are of images, video_folder holds clips"),
        ({"corruptions": ["fogg"]}, UnknownNameError, "fogg"),
        ({"column": "vitta", "corruptions": []}, InputError, "has severity 5 only"),
        ({"mode": "fast"}, InputError, "in exact mode alone"),
    ):
        with pytest.raises(error, match=said):
            make_or_plan(parse(CLIPS, **values), root)
    with pytest.raises(UnknownNameError, match="flahs"):
        plan_study(parse(PICTURES, stand_ins=["flahs"]), data_root=root)


def make_or_plan(recipe: Recipe, root: Path) -> None:
    plan_study(recipe, data_root=root)
    if recipe.evaluation.mode == "fast":
        make_cells(recipe, root / "never", root)


def test_networks_and_data_of_different_kinds_are_refused(root: Path) -> None:
    for values, model, said in ((CLIPS, "resnet8", "holds clips"), (PICTURES, "resnet3d18", "holds images")):
        with pytest.raises(InputError, match=said):
            plan_study(recipes.parse({**values, "model": {"name": model, "width": 4}}, "wrong"), data_root=root)


# ---- whole studies


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs one after the other in this process."""

    def execute_all(runs: Sequence[Path], *, data_root: Path | None, **_: Any) -> list[str]:
        for run in runs:
            execute(run, data_root)
        return []

    monkeypatch.setattr("regrow.study.run.execute_all", execute_all)


def test_a_study_of_clips_from_recipe_to_page(root: Path, tmp_path: Path, quiet: Any, here: None) -> None:
    own = tmp_path / "root"
    shutil.copytree(root, own)
    folder, recipe = tmp_path / "study", parse(CLIPS)
    store = run_study(recipe, folder, quiet, data_root=own)
    before = snapshot(folder)
    run_study(recipe, folder, quiet, data_root=own)
    assert snapshot(folder) == before

    view = load_study(folder)
    assert [(run.method, run.state) for run in view.runs] == [("dense", "done"), ("set", "done")]
    assert view.families == {"contrast": "digital", "shot_noise": "noise", "packet_loss": "transmission"}
    cells = open_cells(store.cells, "video_folder")
    for run in view.runs:
        assert set(run.scores) == set(cells.digests)
        record, _ = load_record(store.run(run.name) / "records" / "video_folder.packet_loss.5.npz")
        assert len(record.correct) == 4  # one answer a video
        # the answers are those of the stored clips, averaged over both views
        weights = load_weights(store.run(run.name) / "model.safetensors")
        settings = RunSettings.model_validate(run.settings)
        shutil.rmtree(own, ignore_errors=True)  # the network is restored without its data
        assert spec_of(weights, settings) == cells.spec
        network = restore(weights, settings).eval()
        x = torch.from_numpy(cells.images("packet_loss", 5).astype(np.float32)) / 255
        x = (x - torch.tensor(cells.spec.mean)) / torch.tensor(cells.spec.std)
        with torch.inference_mode():
            logits = network(x.flatten(0, 1).permute(0, 4, 1, 2, 3)).double()
        p = logits.softmax(1).view(4, 2, 4).mean(1)
        assert record.prediction.tolist() == p.argmax(1).tolist()
        log_p = logits.log_softmax(1).view(4, 2, 4).logsumexp(1) - np.log(2)
        np.testing.assert_allclose(record.loss, -log_p[range(4), range(4)], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(record.brier, (p - torch.eye(4)).square().sum(1), atol=1e-5)
    page = write_report(folder).read_text()
    assert "packet_loss" in page or "packet loss" in page
    assert "memorisation" in page


def test_a_run_on_clips_that_is_cut_ends_with_the_bits_of_the_uncut_one(root: Path, tmp_path: Path) -> None:
    recipe = recipes.parse({**CLIPS, "methods": ["set"], "training": {**CLIPS["training"], "steps": 4}}, "longer")
    plan = plan_study(recipe, data_root=root)
    weights = []
    for name, cut in (("whole", 0), ("cut", 2)):
        store = Store(tmp_path / name)
        store.create(recipe, plan.precision, plan.probe, {})
        (run,) = store.prepare()
        folder = store.run(run.name)
        make_cells(recipe, store.cells, root)

        def stop(progress: Progress, cut: int = cut) -> None:
            if progress.stage == "train" and progress.done == cut + 1:
                raise KeyboardInterrupt

        if cut:
            with pytest.raises(KeyboardInterrupt):
                execute(folder, root, stop)
            assert [row["step"] for row in files.read_lines(folder / "metrics.jsonl")] == [1, 2, 3]
        execute(folder, root)
        assert get_state(folder)["state"] == "done"
        assert [row["step"] for row in files.read_lines(folder / "metrics.jsonl")] == [1, 2, 3, 4]
        weights.append((folder / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_study_of_pictures_in_files(root: Path, tmp_path: Path, quiet: Any, here: None) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    publish(tmp_path / "set", images, ["cat", "ant", "cat"])
    recipe = parse(
        PICTURES, corruptions=["contrast"], stand_ins=["fog_3d"], published={"folder": str(tmp_path / "set")}
    )
    folder = tmp_path / "study"
    run_study(recipe, folder, quiet, data_root=root)
    view = load_study(folder)
    assert view.corruptions == ["contrast", "haze", "fog_3d"]
    (run,) = view.runs
    assert {cell: score.n for cell, score in run.scores.items() if cell[1] in (0, 4)} == {
        ("clean", 0): 8,
        ("contrast", 4): 8,
        ("haze", 4): 3,
        ("fog_3d", 4): 8,
    }
    assert view.families["fog_3d"] == "stand-in"
    assert view.common == ["contrast"]
    assert stand_ins.NOTE in write_report(folder).read_text()
