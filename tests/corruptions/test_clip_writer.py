"""Sets of corrupted clips on the disk, and their loader."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from regrow import clips
from regrow.clips import Clip
from regrow.corruptions import video, writer
from regrow.data import clips as folders
from regrow.data.published_clips import ClipSet
from regrow.errors import DataError, InputError, UnknownNameError

pytest.importorskip("av", reason="PyAV is not installed (extra regrow[video])")

Moving = Callable[..., np.ndarray]
SOME = ["bit_error", "brightness", "motion_blur", "packet_loss", "shot_noise"]
SIDE = 32


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, moving: Moving) -> Path:
    """Two classes with three clips of 24 frames; a name with a space."""
    root = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(["jump/a.mp4", "jump/b two.mp4", "walk/c.mp4"]):
        (root / name).parent.mkdir(exist_ok=True)
        content = clips.encode(clips.frames_of(moving(24, 48, 64, seed=number)), Fraction(25), "libx264", {})
        (root / name).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    out = tmp_path_factory.mktemp("set") / "out"
    writer.write_clips(folders.folder(source, SIDE), out, SOME, (1, 5), clean=True, jobs=1)
    return out


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_set_has_a_file_for_each_clip_and_a_list(written: Path) -> None:
    lines = (written / "motion_blur/5/clips.txt").read_text().splitlines()
    assert lines == ["jump/a.avi 2 0", "jump/b two.avi 2 0", "walk/c.avi 2 1"]
    assert (written / "packet_loss/1/clips.txt").read_text().splitlines()[0] == "jump/a.ts 24 0"
    assert (written / "bit_error/5/walk/c.mp4").is_file()
    manifest = json.loads((written / "manifest.json").read_text())
    assert manifest["made_from"]["layout"] == "clips"
    assert manifest["files"]["brightness/1"]["n_files"] == 4
    assert manifest["files"]["packet_loss/1"]["notes"]["how"].startswith("iid packet loss")
    assert "32 px" in manifest["files"]["brightness/1"]["notes"]["scale"]
    assert {"av", "ffmpeg"} <= set(manifest["files"]["bit_error/1"]["versions"])
    assert {row.status for row in writer.verify(written)} == {"no published file"}


def test_the_loader_gives_what_the_corruption_gave(source: Path, written: Path) -> None:
    found, opened = folders.folder(source, SIDE), ClipSet(written)
    assert opened.corruptions == sorted(SOME)
    for name in SOME:
        assert opened.severities(name) == [1, 5]
        cell = opened.cell(name, 5)
        assert cell.labels.tolist() == [0, 0, 1]
        for i in range(3):
            clip = found.read(i)
            given = clip if video.get(name).level == "file" else found.prepared(clip)
            expected = video.corrupt_clip(given, name, 5, index=i, stored=True)
            read = cell.read(i)
            assert read.rate == expected.rate
            np.testing.assert_array_equal(read.frames, expected.frames)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_set_goes_on_to_the_same_bytes(source: Path, written: Path, tmp_path: Path, jobs: int) -> None:
    out, calls = tmp_path / "out", []

    def stop(done: int, total: int, name: str) -> None:
        calls.append(name)
        if len(calls) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write_clips(
            folders.folder(source, SIDE), out, SOME, (1, 5), clean=True, jobs=jobs, on_bad="stop", progress=stop
        )
    assert {row.status for row in writer.verify(out)} > {"missing"}
    with pytest.raises(DataError):
        ClipSet(tmp_path / "nothing")
    writer.write_clips(folders.folder(source, SIDE), out, SOME, (1, 5), clean=True, jobs=jobs)
    assert files_of(out) == files_of(written)


def test_another_set_and_damage_are_seen(source: Path, written: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(written, out)
    with pytest.raises(InputError, match="its seed is 0, asked for is 1"):
        writer.write_clips(folders.folder(source, SIDE), out, SOME, (1, 5), seed=1)
    (out / "shot_noise/5/walk/c.avi").write_bytes(b"x")
    statuses = {row.name: row.status for row in writer.verify(out)}
    assert [name for name, status in statuses.items() if status == "altered"] == ["shot_noise/5"]
    (out / "shot_noise/5/walk/c.avi").unlink()
    with pytest.raises(DataError, match="is in its list and not there"):
        ClipSet(out).cell("shot_noise", 5)
    with pytest.raises(InputError, match="has not the 4 files"):
        writer.write_clips(folders.folder(source, SIDE), out, SOME, (1, 5), clean=True)


def test_bad_clips_stop_or_are_skipped_and_counted(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "clips"
    shutil.copytree(source, root)
    (root / "jump/a.mp4").write_bytes((source / "jump/a.mp4").read_bytes()[:300])
    (root / "walk/empty.avi").write_bytes(b"")
    with pytest.raises(DataError, match=r"jump/a\.mp4"):
        writer.write_clips(folders.folder(root, SIDE), tmp_path / "stop", ["brightness"], (1,))
    tree = writer.write_clips(folders.folder(root, SIDE), tmp_path / "out", ["brightness"], (1,), on_bad="skip")
    assert sorted(tree.skipped) == ["jump/a.mp4", "walk/empty.avi"]
    names = [line.split(" ")[0] for line in (tmp_path / "out/brightness/1/clips.txt").read_text().splitlines()]
    assert names == ["jump/b", "walk/c.avi"]
    opened = ClipSet(tmp_path / "out").cell("brightness", 1)
    assert [file.name for file in opened.files] == ["b two.avi", "c.avi"]


def test_a_clip_that_is_cut_short_is_not_taken_for_a_whole_one(moving: Moving, tmp_path: Path) -> None:
    content = clips.as_mjpeg(moving(24, 48, 64), Fraction(25))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/whole.avi").write_bytes(content)
    assert len(folders.folder(tmp_path / "in").read(0)) == 24
    (tmp_path / "in/whole.avi").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DataError, match=r"whole\.avi is cut short or damaged: 1\d of its 24 frames"):
        folders.folder(tmp_path / "in").read(0)
    tree = ["brightness"], (1,)
    with pytest.raises(DataError, match="cut short"):
        writer.write_clips(folders.folder(tmp_path / "in", SIDE), tmp_path / "out", *tree)


def test_names_and_severities_are_those_of_the_column() -> None:
    assert writer.choose_clip_names(["fog", "all"])[0] == "fog"
    assert writer.severities_in("vitta", None) == (5,)
    with pytest.raises(InputError, match="vitta has severity 5 only"):
        writer.severities_in("vitta", [1, 5])
    with pytest.raises(InputError, match="rising"):
        writer.severities_in("ssv2", [5, 1])
    with pytest.raises(InputError, match="no corruption was named"):
        writer.choose_clip_names([])
    with pytest.raises(UnknownNameError, match="'kinetics'"):
        writer.choose_clip_names(["all"], "kinetix")


def test_the_layout_of_vitta_is_read_with_its_lists(written: Path, tmp_path: Path) -> None:
    root = tmp_path / "level_5_ucf_val_split_1_"
    for name, ours in (("gauss", "shot_noise"), ("h265_abr", "bit_error")):
        shutil.copytree(written / ours / "5", root / name)
        (root / name / "clips.txt").unlink()
    opened = ClipSet(root)
    assert opened.corruptions == ["gauss", "h265_abr"]
    assert opened.severities("gauss") == [5]
    assert opened.cell("gauss", 5).labels.tolist() == [0, 0, 1]
    assert opened.cell("gauss", 5).n_frames == ()
    rows = ["jump/a.mp4 24 41", "jump/b two.mp4 24 41", "walk/c.mp4 24 97"]
    (root / "list_videos.txt").write_text("\n".join(rows) + "\n")
    cell = opened.cell("gauss", 5)
    assert (cell.labels.tolist(), cell.n_frames) == ([41, 41, 97], (24, 24, 24))
    with pytest.raises(DataError, match="has no severity 3"):
        opened.cell("gauss", 3)
    with pytest.raises(UnknownNameError, match="'gauss'"):
        opened.cell("gaus", 5)


@pytest.mark.parametrize("names", [["x.mp4", "y.mp4"], ["a/b/x.mp4", "c/y.mp4"]])
def test_flat_and_deep_folders_are_read_back(source: Path, tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "walk/c.mp4", tmp_path / "in" / name)
    writer.write_clips(folders.folder(tmp_path / "in", SIDE), tmp_path / "out", ["brightness"], (2,))
    cell = ClipSet(tmp_path / "out").cell("brightness", 2)
    assert [len(cell.read(i)) for i in range(2)] == [24, 24]
    assert cell.labels.tolist() == ([0, 1] if "/" in names[0] else [0, 0])
    (tmp_path / "out/brightness/2/clips.txt").unlink()
    assert ClipSet(tmp_path / "out").cell("brightness", 2).labels.tolist() == cell.labels.tolist()
    shutil.copy(source / "walk/c.mp4", tmp_path / "in/loose.mp4")
    (tmp_path / "in/z").mkdir()
    shutil.copy(source / "walk/c.mp4", tmp_path / "in/z/w.mp4")
    with pytest.raises(DataError, match="lies beside folders"):
        folders.folder(tmp_path / "in")


def test_lists_beside_the_types_tell_classes_apart(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "level_5_x"
    for group in ("A", "B"):
        (root / "fog" / group).mkdir(parents=True)
        shutil.copy(source / "walk/c.mp4", root / "fog" / group / "001.mp4")
    (root / "list.txt").write_text("A/001.mp4 24 7\nB/001.mp4 24 3\n")
    assert ClipSet(root).cell("fog", 5).labels.tolist() == [7, 3]
    (root / "list.txt").write_text("001.mp4 24 7\n001.mp4 24 3\n")
    with pytest.raises(DataError, match="twice"):
        ClipSet(root).cell("fog", 5)


def test_the_encoder_of_the_jpeg_type_is_told(source: Path, tmp_path: Path) -> None:
    found = folders.folder(source, SIDE)
    writer.write_clips(found, tmp_path / "out", ["jpeg_compression"], (1,), column="imagenet")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["files"]["jpeg_compression/1"]["notes"]["codec"] == "libjpeg9"
    writer.write_clips(found, tmp_path / "out", ["jpeg_compression"], (1,), column="imagenet", codec="libjpeg9")
    with pytest.raises(InputError, match="its codec is 'libjpeg9', asked for is 'pillow'"):
        writer.write_clips(found, tmp_path / "out", ["jpeg_compression"], (1,), column="imagenet", codec="pillow")
    with pytest.raises(UnknownNameError, match="'webp'"):
        writer.write_clips(found, tmp_path / "out", ["fog"], (1,), codec="webp")


def test_preview_shows_a_row_for_each_corruption(source: Path) -> None:
    sheet = writer.preview_clip(folders.folder(source, 96), ["fog", "h264_crf"], (1, 5))
    again = writer.preview_clip(folders.folder(source, 96), ["fog", "h264_crf"], (1, 5))
    np.testing.assert_array_equal(sheet, again)
    assert sheet.shape == (2 * 15 + 2 * 100, 190 + 3 * 100, 3)
    clean = folders.folder(source, 96)
    middle = clean.prepared(clean.read(0)).frames[12]
    np.testing.assert_array_equal(sheet[30:126, 190:286], middle)


@pytest.mark.data
def test_real_clips_are_changed_as_they_should_be(data_root: Path) -> None:
    """Each type at severity 1 and 5 on a clip of UCF101; all clips and severities are in the slow test."""
    check_changes(ucf101(data_root).root / "UCF-101/BabyCrawling/v_BabyCrawling_g04_c01.avi", (1, 5))


@pytest.mark.slow  # and not of the data tests, which run before every change lands
def test_all_real_clips_are_changed_as_they_should_be(data_root: Path) -> None:
    found = [file for folder in ("ucf101/UCF-101", "video", "clips") for file in (data_root / folder).rglob("*.*")]
    if not found:
        pytest.skip("no clips below REGROW_DATA")
    for file in sorted(f for f in found if f.suffix in clips.SUFFIXES):
        check_changes(file, (1, 2, 3, 4, 5))


def ucf101(data_root: Path) -> folders.ClipFolder:
    if not folders.is_ucf101(data_root / "ucf101"):
        pytest.skip("UCF101 is not below REGROW_DATA")
    return folders.ucf101(data_root / "ucf101")


def check_changes(file: Path, severities: tuple[int, ...]) -> None:
    clip = clips.read(file)
    prepared = folders.prepare(clip)
    for name in video.names():
        given = clip if video.get(name).level == "file" else prepared
        for severity in severities:
            done = video.corrupt_clip(given, name, severity)
            reference = given.frames
            if name == "motion_blur":
                w = (3, 5, 7, 9, 11)[severity - 1]
                reference = reference[w:-w]
            if name == "frame_rate":
                rate = (20, 16, 12, 9, 6)[severity - 1]
                reference = np.stack(list(clips.resampled(iter(reference), clip.rate, Fraction(rate))))
            height, width = done.frames.shape[1:3]
            assert len(done) == len(reference), (file.name, name, severity)
            difference = done.frames.astype(np.int16)
            difference -= reference[:, :height, :width]
            delta = float(np.abs(difference).mean())
            assert delta > (1 if severity == 5 and name not in ("saturate", "frame_rate") else 0), (file.name, name)
            if done.content is not None:
                assert len(clips.read(done.content, len(done))) == len(done)


@pytest.mark.data
def test_official_lists_of_ucf101_are_read(data_root: Path) -> None:
    every = ucf101(data_root)
    assert len(every.classes) == 101
    assert every.classes[0] == "ApplyEyeMakeup"
    test = folders.ucf101(data_root / "ucf101", "test01")
    assert len(test) + len(test.missing) == 3783
    assert all(test.classes[test.label(i)].lower() == test.path(i).split("/")[0].lower() for i in range(len(test)))
    lengths = dict(line.rsplit(" ", 1) for line in (data_root / "ucf101/frames.txt").read_text().splitlines())
    for i in range(len(every)):
        assert len(every.read(i)) == int(lengths[every.path(i)])


def test_folders_of_clips(source: Path, tmp_path: Path) -> None:
    found = folders.folder(source)
    assert found.classes == ("jump", "walk")
    assert [found.path(i) for i in range(3)] == ["jump/a.mp4", "jump/b two.mp4", "walk/c.mp4"]
    assert found.prepared(found.read(0)).frames.shape == (24, 224, 224, 3)
    loose = tmp_path / "loose"
    loose.mkdir()
    shutil.copy(source / "walk/c.mp4", loose)
    assert folders.folder(loose).classes == ("all",)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no clip"):
        folders.folder(tmp_path / "empty")
    with pytest.raises(DataError, match="is no folder"):
        folders.folder(tmp_path / "none")


def test_prepared_frames_are_those_of_pictures(moving: Moving) -> None:
    from PIL import Image

    from regrow.data import pictures

    frames = moving(2, 48, 64)
    done = folders.prepare(Clip(frames, Fraction(25)), 40).frames
    expected = [np.asarray(pictures.prepare(Image.fromarray(frame), 40)) for frame in frames]
    np.testing.assert_array_equal(done, np.stack(expected))


def make_ucf101(root: Path, content: bytes) -> None:
    for name in ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c02.avi"):
        (root / "UCF-101" / name).parent.mkdir(parents=True)
        (root / "UCF-101" / name).write_bytes(content)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 ApplyEyeMakeup\r\n2 HandStandPushups\r\n")
    rows = [
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c09.avi",
        "HandStandPushups/v_HandStandPushups_g01_c02.avi",
    ]
    (lists / "testlist01.txt").write_text("\n".join(rows) + "\n")
    (lists / "trainlist01.txt").write_text("ApplyEyeMakeup/v_ApplyEyeMakeup_g07_c01.avi 1\n")


def test_splits_of_ucf101(source: Path, tmp_path: Path) -> None:
    make_ucf101(tmp_path, (source / "walk/c.mp4").read_bytes())
    found = folders.ucf101(tmp_path, "test01")
    assert found.labels == (0, 1)
    assert found.missing == ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c09.avi",)
    assert found.path(1) == "HandstandPushups/v_HandStandPushups_g01_c02.avi"  # as the archive spells it
    assert len(found.read(1)) == 24
    assert len(folders.ucf101(tmp_path)) == 2
    with pytest.raises(DataError, match="none of the 1 clips of train01"):
        folders.ucf101(tmp_path, "train01")
    with pytest.raises(DataError, match=r"testlist03\.txt cannot be read"):
        folders.ucf101(tmp_path, "test03")
    with pytest.raises(UnknownNameError, match="'test01'"):
        folders.ucf101(tmp_path, "tset01")
    (tmp_path / "ucfTrainTestlist/classInd.txt").write_text("one ApplyEyeMakeup\n")
    with pytest.raises(DataError, match="NUMBER CLASS"):
        folders.ucf101(tmp_path)
