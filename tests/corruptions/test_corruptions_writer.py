"""Sets on disk: layout, resuming, refusing, verifying, and the published md5s."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from regrow import files
from regrow.corruptions import corrupt, names, official_md5
from regrow.corruptions.writer import blocks, choose_names, verify, write_cifar_style
from regrow.corruptions.writer.manifest import Settings
from regrow.corruptions.writer.npy import _Writer
from regrow.errors import BusyError, DataError, InputError

IMAGES = np.random.RandomState(0).randint(0, 256, (23, 32, 32, 3)).astype(np.uint8)
LABELS = np.arange(23) % 10
TWO = ["gaussian_noise", "contrast"]


def write(out: Path, corruptions=TWO, severities=(1, 2, 3, 4, 5), **changed):
    options = {"source": "made up", "seed": 4} | changed
    images, labels = options.pop("images", IMAGES), options.pop("labels", LABELS)
    return write_cifar_style(images, labels, out, corruptions, severities, **options)


def digests(out: Path) -> dict[str, str]:
    return {path.name: files.file_digest(path) for path in sorted(out.glob("*.npy"))}


def test_layout_is_that_of_the_published_sets(tmp_path):
    rows = write(tmp_path)
    assert [row.name for row in rows] == [*TWO, "labels"]
    for name in TWO:
        stored = np.load(tmp_path / f"{name}.npy")
        assert stored.shape == (115, 32, 32, 3)
        assert stored.dtype == np.uint8
        for severity in range(1, 6):
            expected = corrupt(IMAGES, name, severity, seed=4)
            np.testing.assert_array_equal(stored[(severity - 1) * 23 : severity * 23], expected)
        again = tmp_path / "again.bin"
        with again.open("wb") as file:
            np.save(file, stored)
        assert again.read_bytes() == (tmp_path / f"{name}.npy").read_bytes()
        assert (tmp_path / f"{name}.npy").stat().st_size == 128 + stored.size
    labels = np.load(tmp_path / "labels.npy")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.tile(LABELS, 5))


def test_blocks_do_not_show_in_the_bytes(tmp_path, monkeypatch):
    write(tmp_path / "whole")
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 7 * 32**2)
    seen = []
    write(tmp_path / "blocks", progress=lambda *row: seen.append(row))
    assert digests(tmp_path / "whole") == digests(tmp_path / "blocks")
    assert seen[-1] == (230, 230, "contrast")
    assert [done for done, _, _ in seen] == [35, 70, 105, 115, 150, 185, 220, 230]


def test_processes_do_not_show_in_the_bytes(tmp_path, monkeypatch):
    write(tmp_path / "one", mode="fast")
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 5 * 32**2)
    seen = []
    write(tmp_path / "three", mode="fast", jobs=3, progress=lambda *row: seen.append(row))
    assert digests(tmp_path / "one") == digests(tmp_path / "three")
    assert [done for done, _, _ in seen] == sorted({done for done, _, _ in seen})
    assert seen[-1][:2] == (230, 230)
    one, three = ((tmp_path / name / "manifest.json").read_text() for name in ("one", "three"))
    assert one == three


def test_a_caller_without_a_main_guard_can_use_processes(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    script = (
        "import numpy as np; from regrow.corruptions.writer import write_cifar_style as write\n"
        "print(*write(np.load('images.npy'), np.zeros(23, int), 'set', ['contrast'], source='made up', jobs=2))"
    )
    done = subprocess.run([sys.executable], input=script, cwd=tmp_path, text=True, capture_output=True, check=True)
    assert done.stderr == ""
    np.testing.assert_array_equal(np.load(tmp_path / "set/contrast.npy")[:23], corrupt(IMAGES, "contrast", 1))


def test_chosen_severities_come_in_the_order_given(tmp_path):
    write(tmp_path, ["contrast"], (2, 4))
    stored = np.load(tmp_path / "contrast.npy")
    np.testing.assert_array_equal(stored[23:], corrupt(IMAGES, "contrast", 4))
    assert np.load(tmp_path / "labels.npy").shape == (46,)


def test_all_means_every_corruption(tmp_path):
    rows = write(tmp_path, ["all"], (1,), images=IMAGES[:2], labels=LABELS[:2])
    assert [row.name for row in rows] == [*names(), "labels"]


def test_the_manifest_says_what_made_the_files(tmp_path):
    write(tmp_path, ["gaussian_noise", "jpeg_compression"])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["schema"] == 2
    made_from = manifest["made_from"]
    assert (made_from["source"], made_from["seed"], made_from["mode"], made_from["scale"]) == (
        "made up",
        4,
        "exact",
        "cifar",
    )
    entry = manifest["files"]["jpeg_compression"]
    content = (tmp_path / "jpeg_compression.npy").read_bytes()
    assert entry["md5"] == hashlib.md5(content).hexdigest()
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert {"regrow", "numpy", "scipy", "pillow", "python"} == set(entry["versions"])
    assert set(entry["notes"]) == {"codec"}
    assert manifest["files"]["gaussian_noise"]["notes"] == {}
    assert manifest["wanted"] == ["gaussian_noise", "jpeg_compression", "labels"]
    write(tmp_path / "other", ["jpeg_compression"], codec="pillow")
    entry = json.loads((tmp_path / "other/manifest.json").read_text())["files"]["jpeg_compression"]
    assert entry["notes"]["codec"].startswith("pillow")


def test_a_second_call_makes_only_what_is_not_there(tmp_path):
    write(tmp_path, ["contrast"])
    before = (tmp_path / "contrast.npy").stat().st_mtime_ns
    made = []
    write(tmp_path, TWO, progress=lambda done, total, name: made.append((total, name)))
    assert set(made) == {(115, "gaussian_noise")}
    assert (tmp_path / "contrast.npy").stat().st_mtime_ns == before


def stop_at(n):
    """A progress function that stops the writer when ``n`` images are done."""

    def progress(done, total, name):
        if done >= n:
            raise KeyboardInterrupt

    return progress


def count_made(monkeypatch):
    """The list of (corruption, severity, first image) that are computed from here on, in this process."""
    made, really = [], Settings.corrupt

    def corrupt_and_count(self, images, name, severity, first):
        made.append((name, severity, first))
        return really(self, images, name, severity, first)

    monkeypatch.setattr(Settings, "corrupt", corrupt_and_count)
    return made


def test_a_stopped_writer_leaves_nothing_half_written_and_goes_on(tmp_path, monkeypatch):
    write(tmp_path / "never stopped")
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 10 * 32**2)
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        write(out, progress=stop_at(165))  # one block of contrast
    assert set(digests(out)) == {"gaussian_noise.npy", "labels.npy"}
    assert {row.name: row.status for row in verify(out)}["contrast"] == "missing"
    (out / ".contrast.npy.abc.tmp").write_bytes(b"left by a kill")
    (out / "contrast.npy").write_bytes(b"of somebody else")
    made = count_made(monkeypatch)
    write(out)
    assert {first for _, _, first in made} == {10, 20}  # the blocks that were not there
    assert digests(out) == digests(tmp_path / "never stopped")
    assert {path.name for path in out.glob(".*")} == {".lock"}


@pytest.mark.parametrize("damage", ["part", "journal cut", "journal of other versions", "no part", "short part"])
def test_what_a_power_cut_leaves_is_not_trusted(tmp_path, monkeypatch, damage):
    write(tmp_path / "never stopped", ["contrast"])
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 10 * 32**2)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        write(out, ["contrast"], progress=stop_at(100))
    part, journal = out / ".contrast.npy.part", out / ".contrast.journal"
    if damage == "part":
        with part.open("r+b") as file:
            file.seek(5000)
            file.write(bytes(3000))
    elif damage == "journal cut":
        journal.write_bytes(journal.read_bytes()[:-7])
    elif damage == "journal of other versions":
        rows = journal.read_text().splitlines()
        journal.write_text("\n".join([json.dumps({"key": "0" * 64}), *rows[1:]]) + "\n")
    elif damage == "no part":
        part.unlink()
    else:
        with part.open("r+b") as file:
            file.truncate(100_000)
    made = count_made(monkeypatch)
    write(out, ["contrast"])
    redone = {"part": {0, 20}, "journal cut": {10, 20}}.get(damage, {0, 10, 20})
    assert {first for _, _, first in made} == redone
    assert digests(out) == digests(tmp_path / "never stopped")


def test_a_stop_between_the_name_and_the_manifest_loses_nothing(tmp_path, monkeypatch):
    def stop(path, value):
        if "contrast" in value["files"]:
            raise KeyboardInterrupt
        files.write_text(path, json.dumps(value))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", stop)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, ["contrast"])
    before = digests(tmp_path)
    assert set(before) == {"contrast.npy", "labels.npy"}
    made = count_made(monkeypatch)
    write(tmp_path, ["contrast"])
    assert made == []
    assert digests(tmp_path) == before


STEPPED = """
import sys
import numpy as np
from regrow.corruptions.writer import blocks, write_cifar_style
from regrow.errors import RegrowError

blocks.BLOCK_PIXELS = 2 * 32**2

def progress(done, total, name):
    print(done, flush=True)
    sys.stdin.readline()

images = np.load(sys.argv[1])
try:
    write_cifar_style(images, np.arange(23) % 10, sys.argv[2], ["gaussian_noise"], source="made up", seed=4, jobs=2,
                      progress=progress)
except RegrowError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("victim", ["writer", "one of its processes"])
def test_a_kill_loses_at_most_the_blocks_being_made(tmp_path, monkeypatch, victim):
    write(tmp_path / "never killed", ["gaussian_noise"])
    np.save(tmp_path / "images.npy", IMAGES)
    out = tmp_path / "killed"
    command = [sys.executable, "-c", STEPPED, str(tmp_path / "images.npy"), str(out)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(4):  # it waits after each block, so it is midway here, however fast the machine
            process.stdout.readline()
            print(file=process.stdin, flush=True)
        process.stdout.readline()
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        if victim == "writer":
            process.kill()
        else:
            workers[0].send_signal(signal.SIGKILL)
            print("\n" * 50, file=process.stdin, flush=True)
            said = process.stderr.read()
            assert "ended early (signal SIGKILL). Next: run the same command again" in said
            assert process.wait(60) == 1
    assert psutil.wait_procs(workers, 60)[1] == []  # none outlives the writer
    assert not (out / "gaussian_noise.npy").exists()
    made = count_made(monkeypatch)
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 2 * 32**2)
    write(out, ["gaussian_noise"])
    assert 0 < len({first for _, _, first in made}) <= 12 - 4
    assert digests(out) == digests(tmp_path / "never killed")


def test_a_full_disk_is_told_before_the_work(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=600_000))
    with pytest.raises(DataError, match=r"needs about 0\.00071 GB more, and .* has 0\.0006 GB free"):
        write(tmp_path / "out")
    write(tmp_path / "out", ["contrast"])


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_disk_that_fills_up_is_told_and_goes_on(tmp_path, monkeypatch, jobs):
    write(tmp_path / "roomy", ["contrast"])

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if jobs == 1:
            patch.setattr(Settings, "corrupt", full)
        else:
            patch.setattr(files, "append_lines", full)
        with pytest.raises(DataError, match=r"disk of .* is full.*Next: make room and run the same command again"):
            write(tmp_path / "out", ["contrast"], jobs=jobs)
    assert not (tmp_path / "out/contrast.npy").exists()
    write(tmp_path / "out", ["contrast"])
    assert digests(tmp_path / "out") == digests(tmp_path / "roomy")


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file.* cannot be written .*Next: choose another --out"):
        write(tmp_path / "file" / "set")


def test_an_error_in_a_process_comes_back_as_it_is(tmp_path, monkeypatch):
    write(tmp_path, ["contrast"], severities=(1,))
    (tmp_path / "contrast.npy").unlink()

    really = _Writer._fill

    def lose(self, block):
        (tmp_path / ".contrast.npy.part").unlink()
        return really(self, block)

    monkeypatch.setattr(_Writer, "_fill", lose)
    with pytest.raises(FileNotFoundError):
        write(tmp_path, ["contrast"], severities=(1,), jobs=2)


def test_frost_with_other_photographs_is_another_file(tmp_path, monkeypatch):
    monkeypatch.delenv("REGROW_DATA", raising=False)
    write(tmp_path, ["frost"], (1,))
    notes = json.loads((tmp_path / "manifest.json").read_text())["files"]["frost"]["notes"]
    assert "not comparable" in notes["frost"]
    write(tmp_path, ["frost"], (1,))
    entry = json.loads((tmp_path / "manifest.json").read_text())
    entry["files"]["frost"]["notes"] = {}
    (tmp_path / "manifest.json").write_text(json.dumps(entry))
    with pytest.raises(InputError, match=r"made otherwise: its frost is 'as published'.*--force"):
        write(tmp_path, ["frost"], (1,))
    write(tmp_path, ["frost"], (1,), force=True)
    assert json.loads((tmp_path / "manifest.json").read_text())["files"]["frost"]["notes"] == notes


def test_groups_of_names():
    common, extra = choose_names(["common"]), choose_names(["extra"])
    assert len(common) == 15
    assert sorted(extra) == ["gaussian_blur", "saturate", "spatter", "speckle_noise"]
    assert sorted(common + extra) == choose_names(["all"]) == names()
    assert choose_names(["fog", "extra", "fog"]) == ["fog", *extra]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 5}, "its seed is 4, asked for is 5"),
        ({"source": "cifar10"}, "its source is 'made up'"),
        ({"severities": (1, 2)}, "its severities is [1, 2, 3, 4, 5]"),
        ({"mode": "fast"}, "its mode is 'exact'"),
        ({"codec": "pillow", "seed": 4}, "its codec is "),
        ({"scale": "tiny"}, "its scale is 'cifar'"),
        ({"images": 255 - IMAGES}, "images_sha256"),
        ({"labels": (LABELS + 1) % 10}, "labels_sha256"),
    ],
)
def test_a_folder_of_another_set_is_refused_unless_forced(tmp_path, changed, said):
    write(tmp_path)
    before = digests(tmp_path)
    with pytest.raises(InputError) as error:
        write(tmp_path, ["contrast"], **changed)
    assert said in str(error.value)
    assert "--force" in str(error.value)
    assert digests(tmp_path) == before
    write(tmp_path, ["contrast"], force=True, **changed)
    assert set(digests(tmp_path)) == {"contrast.npy", "labels.npy"}
    assert all(row.status == "no published file" for row in verify(tmp_path))


def test_a_folder_of_another_program_is_refused_unless_forced(tmp_path):
    (tmp_path / "fog.npy").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"fog\.npy and no manifest\.json"):
        write(tmp_path)
    assert list(digests(tmp_path)) == ["fog.npy"]
    write(tmp_path, force=True)
    assert (tmp_path / "fog.npy").read_bytes() == b"precious"


def test_an_altered_file_is_told_and_written_again_with_force(tmp_path):
    write(tmp_path)
    whole = digests(tmp_path)
    with (tmp_path / "contrast.npy").open("r+b") as file:
        file.truncate(500)
    (tmp_path / "labels.npy").unlink()
    assert {row.name: row.status for row in verify(tmp_path)} == {
        "contrast": "altered", "gaussian_noise": "no published file", "labels": "missing",
    }  # fmt: skip
    with pytest.raises(InputError, match="altered or cut short"):
        write(tmp_path)
    write(tmp_path, force=True)
    assert digests(tmp_path) == whole


def test_two_writers_at_once_are_refused(tmp_path):
    with files.owned(tmp_path, "set"), pytest.raises(BusyError):
        write(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        '{"schema": 99}',
        '{"schema": 2}',
        '{"schema": 2, "made_from": {}, "files": [], "wanted": [], "facts": {}}',
        '{"schema": 2, "made_from": {"layout": "npy", "source": "", "severities": []}, "files": {}, "facts": {}, '
        '"wanted": ["../precious"]}',
    ],
)
def test_a_broken_manifest_is_told(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    for call in (write, verify):
        with pytest.raises(DataError, match=r"manifest\.json"):
            call(tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"corruptions": ["fogg"]}, "unknown corruption"),
        ({"corruptions": []}, "no corruption"),
        ({"severities": (1, 6)}, "1 to 5, got 6"),
        ({"severities": (2, 1)}, "rising"),
        ({"severities": ()}, "rising"),
        ({"labels": LABELS[:5]}, "each of the 23 images"),
        ({"labels": LABELS / 2}, "got float64"),
        ({"labels": LABELS + 300}, "0..255"),
        ({"images": IMAGES / 255}, "uint8"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "no images"),
        ({"seed": -1}, "seed must be"),
        ({"mode": "quick"}, "unknown mode"),
        ({"scale": "cifra"}, "'cifar'"),
        ({"corruptions": ["jpeg_compression"], "codec": "webp"}, "codec"),
        ({"corruptions": ["frost"], "frost": "/nowhere"}, "lacks the frost photograph"),
        ({"jobs": 0}, "jobs must be"),
    ],
)
def test_input_that_cannot_be_written_is_refused_before_anything_is_touched(tmp_path, changed, said):
    out = tmp_path / "out"
    with pytest.raises(InputError) as error:
        write(out, **changed)
    assert said in str(error.value)
    assert "Next: " in str(error.value)
    assert not out.exists()


def test_verify_of_a_folder_without_a_set_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no \.npy file"):
        verify(tmp_path)


def test_a_part_of_a_published_set_is_not_compared(tmp_path):
    rows = write(tmp_path, ["contrast"], source="cifar10")
    assert {row.status for row in rows} == {"no published file"}


def test_verify_says_why_a_file_is_not_the_published_one(tmp_path):
    for name in ("contrast", "fog", "my_own"):
        np.save(tmp_path / f"{name}.npy", IMAGES)
    missing = dict.fromkeys({*names(), "labels"} - {"contrast", "fog"}, "missing")
    assert {row.name: row.status for row in verify(tmp_path, "cifar10")} == missing | {
        "contrast": "differs",
        "fog": "random: not comparable",
        "my_own": "no published file",
    }
    assert {row.status for row in verify(tmp_path)} == {"no published file"}


def test_published_sums():
    assert official_md5("cifar10", "labels") == ("c439b113295ed5254878798ffe28fd54", True)
    assert official_md5("cifar100", "fog") == ("4efc7ebd5e82b028bdbe13048e3ea564", False)
    assert official_md5("cifar100", "zoom_blur").deterministic
    for name in names():
        assert len(official_md5("cifar10", name).md5) == 32
    for bad in (("cifar20", "fog"), ("cifar10", "fogg")):
        with pytest.raises(InputError, match="Did you mean"):
            official_md5(*bad)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
def test_official_md5s_on_the_real_test_set(source, tmp_path, data_root):
    from regrow import data

    folder = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[source]
    if not (data_root / folder).is_dir():  # absent is a reason to skip; unreadable is not
        pytest.skip(f"REGROW_DATA has no {folder}")
    test = data.load(source, "test", root=data_root, download=False)
    exact = [name for name in names() if official_md5(source, name).deterministic]
    assert len(exact) == 8
    rows = write_cifar_style(test.images, test.labels, tmp_path, exact, source=source)
    assert {row.name: row.status for row in rows} == dict.fromkeys([*exact, "labels"], "official")
    (tmp_path / "manifest.json").unlink()
    statuses = {row.name: row.status for row in verify(tmp_path)}  # the labels say which set it is
    assert {name for name, status in statuses.items() if status == "official"} == {*exact, "labels"}
    assert {status for name, status in statuses.items() if name not in exact} == {"official", "missing"}
