"""``regrow evaluate`` of runs on clips, on trees that ``regrow corrupt`` has written and in ViTTA's layout."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from regrow import clips
from regrow.cli import run
from regrow.evaluation.records import load_record
from regrow.study.networks import open_model
from regrow.training.checkpoint import load_weights, save_weights

pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")

SIDE, FRAMES, VIEWS = 32, 4, 2


def video(path: Path, seed: int, n: int = 12) -> None:
    """Blocks of noise that move to the right."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    frames = np.stack([np.roll(blocks, 3 * t, 1) for t in range(n)])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(clips.encode(clips.frames_of(frames), Fraction(25), "libx264", {"crf": "10"}))


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``videos`` with train and test, a run on them, and ``set``: their test part, corrupted."""
    root = tmp_path_factory.mktemp("clips")
    for split, n in (("train", 4), ("test", 3)):
        for label, name in enumerate(("left", "right")):
            for i in range(n):
                video(root / "videos" / split / name / f"{i}.mp4", 100 * label + 10 * (split == "test") + i)
    options = {"paths": [str(root / "videos")], "size": SIDE, "frames": FRAMES, "views": VIEWS}
    recipe = {
        "schema": 1,
        "name": "clips",
        "data": {"name": "video_folder", "options": options},
        "model": {"name": "resnet3d18", "width": 2},
        "methods": ["dense"],
        "training": {"steps": 3, "batch": 4, "precision": "fp32", "channels_last": "no"},
        "evaluation": {"corruptions": ["brightness", "contrast"], "severities": [1, 5], "stored": True},
    }
    (root / "clips.yaml").write_text(yaml.safe_dump(recipe))
    assert run(["study", str(root / "clips.yaml"), "--out", str(root / "out"), "--jobs", "1"]) == 0
    arguments = ["--side", str(SIDE), "--corruptions", "brightness,contrast", "--severities", "1,5", "--clean"]
    assert run(["corrupt", str(root / "videos/test"), "--out", str(root / "set"), *arguments, "--jobs", "1"]) == 0
    return root


@pytest.fixture(scope="module")
def network(made: Path) -> Path:
    return made / "out/runs/dense-s0-seed0"


@pytest.mark.system
def test_files_are_scored_as_the_study_scored_them_in_memory(
    capsys: pytest.CaptureFixture[str], made: Path, network: Path, tmp_path: Path
) -> None:
    code, out, err = call(capsys, "evaluate", made / "set", "--model", network, "--json", "--out", tmp_path)
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert set(answer["accuracy"]) == {"clean.0", "brightness.1", "brightness.5", "contrast.1", "contrast.5"}
    for cell in ("brightness.1", "contrast.5"):
        ours, _ = load_record(tmp_path / f"set.{cell}.npz")
        theirs, _ = load_record(network / f"records/video_folder.{cell}.npz")
        np.testing.assert_allclose(ours.confidence, theirs.confidence, rtol=1e-4)
        assert ours.correct.tolist() == theirs.correct.tolist()
    values = {score["name"]: score["value"] for score in answer["scores"]}
    mean = 100 * sum(v for cell, v in answer["accuracy"].items() if cell != "clean.0") / 4
    assert values["mPC"] == pytest.approx(mean)
    if answer["accuracy"]["clean.0"]:
        assert values["rPC"] == pytest.approx(mean / answer["accuracy"]["clean.0"])


def test_answers_are_the_mean_probability_over_the_views(
    capsys: pytest.CaptureFixture[str], made: Path, network: Path, tmp_path: Path
) -> None:
    arguments = ("--corruptions", "contrast", "--severities", 5, "--out", tmp_path)
    assert call(capsys, "evaluate", made / "set", "--model", network, *arguments)[0] == 0
    record, _ = load_record(tmp_path / "set.contrast.5.npz")
    checked = open_model(str(network))
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (checked.spec.mean, checked.spec.std))
    for i, file in enumerate(sorted((made / "set/contrast/5").rglob("*.avi"))):
        frames = torch.from_numpy(clips.read(file).frames).permute(3, 0, 1, 2).float() / 255
        p = []
        for view in range(VIEWS):  # the middle of each view's part of each quarter of the 12 frames
            places = [int((t + (view + 0.5) / VIEWS) * 12 / FRAMES) for t in range(FRAMES)]
            with torch.no_grad():
                p.append(checked.model.eval()(((frames[:, places] - mean) / std)[None])[0].softmax(0))
        assert record.confidence[i] == pytest.approx(float(sum(p).max() / VIEWS), rel=1e-4)


def test_vittas_layout_has_one_severity_and_no_clean_clips(
    capsys: pytest.CaptureFixture[str], made: Path, network: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "level_5_val"
    shutil.copytree(made / "set/contrast/5", tree / "contrast", ignore=shutil.ignore_patterns("clips.txt"))
    code, out, _ = call(capsys, "evaluate", tree, "--model", network, "--json")
    assert code == 0
    answer = json.loads(out)
    code, out, _ = call(capsys, "evaluate", made / "set", "--model", network, "--json")
    assert answer["accuracy"] == {"contrast.5": json.loads(out)["accuracy"]["contrast.5"]}
    names = [score["name"] for score in answer["scores"]]
    assert "mPC" in names
    assert not {"rPC", "clean"} & set(names)
    assert any("no rPC" in note for note in answer["notes"])


def test_bad_videos_stop_or_are_skipped_and_listed(
    capsys: pytest.CaptureFixture[str], made: Path, network: Path, tmp_path: Path
) -> None:
    shutil.copytree(made / "set", tmp_path / "set")
    (tmp_path / "set/contrast/5/left/1.avi").write_bytes(b"")
    arguments = ("evaluate", tmp_path / "set", "--model", network)
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert "left/1.avi" in err
    assert err.count("\n") == 1
    code, out, err = call(capsys, *arguments, "--on-error", "skip", "--json", "--out", tmp_path / "r")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert len(answer["skipped"]) == 1
    assert answer["skipped"][0].startswith("contrast 5: left/1.avi")
    bad, _ = load_record(tmp_path / "r/set.contrast.5.npz")
    assert call(capsys, "evaluate", made / "set", "--model", network, "--out", tmp_path / "w")[0] == 0
    whole, _ = load_record(tmp_path / "w/set.contrast.5.npz")
    np.testing.assert_allclose(bad.confidence, np.delete(whole.confidence, 1), rtol=1e-5)


def test_images_and_clips_do_not_go_together(
    capsys: pytest.CaptureFixture[str], made: Path, network: Path, tmp_path: Path
) -> None:
    weights = load_weights(network / "model.safetensors")
    facts = {**weights.meta["data"], "frames": None, "views": 1}  # as if it had been trained on images
    flat = tmp_path / "flat.safetensors"
    save_weights(flat, open_model(str(network)).model, {}, {**weights.meta, "data": facts})
    assert run(["corrupt", "cues", "--out", str(tmp_path / "c"), "--corruptions", "contrast", "--jobs", "1"]) == 0
    (tmp_path / "photos/left").mkdir(parents=True)
    shutil.copy(next((made / "set").rglob("*.avi")), tmp_path / "photos/left")
    for arguments, said in (
        (("evaluate", made / "set", "--model", flat), "holds clips"),
        (("evaluate", tmp_path / "c", "--model", network), "takes clips"),
        (("evaluate", "cues", "--model", network), "takes clips"),
        (("evaluate", "video_folder", "--model", network), "regrow corrupt"),
        (("evaluate", made / "set", "--model", network, "--robustbench"), "for images"),
        (("evaluate", made / "set", "--model", network, "--corruptions", "contrst"), "'contrast'"),
        (("evaluate", made / "set", "--model", network, "--severities", "3"), "severities 3"),
        (("check", "--images", tmp_path / "photos", "--model", network), "takes clips"),
    ):
        code, _, err = call(capsys, *arguments)
        assert code == 2, err
        assert said in err
        assert err.count("\n") == 1


def test_classes_are_matched_by_name_and_short_clips_are_told_of(
    capsys: pytest.CaptureFixture[str], made: Path, network: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "set"
    shutil.copytree(made / "set/contrast/5/right", tree / "contrast/5/right")  # one class alone: the second
    video(tree / "contrast/5/right/9.mp4", 3, n=3)
    lines = [f"right/{i}.avi 12 0" for i in range(3)] + ["right/9.mp4 3 0"]
    (tree / "contrast/5/clips.txt").write_text("\n".join(lines))
    code, out, err = call(capsys, "evaluate", tree, "--model", network, "--json", "--out", tmp_path / "r")
    assert (code, err) == (0, "")
    record, _ = load_record(tmp_path / "r/set.contrast.5.npz")
    assert (record.correct == (record.prediction == 1)).all()
    assert any("right/9.mp4" in note for note in json.loads(out)["notes"])
    shutil.move(tree / "contrast/5/right", tree / "contrast/5/up")
    (tree / "contrast/5/clips.txt").unlink()
    code, _, err = call(capsys, "evaluate", tree, "--model", network)
    assert code == 2
    assert "'up'" in err
