"""Trees of JPEG files in the layout of ImageNet-C: names, pixels, resuming, bad pictures, verifying."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from regrow import files
from regrow.corruptions import corrupt
from regrow.corruptions.writer import blocks, verify, write_tree
from regrow.corruptions.writer.manifest import Settings
from regrow.errors import BusyError, DataError, InputError

PIXELS = np.random.RandomState(0).randint(0, 256, (11, 32, 32, 3)).astype(np.uint8)
SOURCE = '''
import numpy as np
from regrow.errors import DataError

class Made:
    """Pictures that are held in memory; some cannot be read."""

    def __init__(self, pixels, bad=(), name="made up", suffix=".JPEG"):
        self.pixels, self.bad, self.name, self.suffix = pixels, bad, name, suffix

    def __len__(self):
        return len(self.pixels)

    def path(self, i):
        return f"n{i % 3}/picture_{i:02d}{self.suffix}"

    def read(self, i):
        if i in self.bad:
            raise DataError(f"{self.path(i)} is cut short.", "remove it.")
        return self.pixels[i]

class Noisy(Made):
    """Pictures of a library that prints."""

    def read(self, i):
        print("reading", i, flush=True)
        return super().read(i)
'''


@pytest.fixture(autouse=True)
def made(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """The class above, from a module that worker processes can import."""
    folder = tmp_path_factory.mktemp("module")
    (folder / "pictures_made_up.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.delitem(sys.modules, "pictures_made_up", raising=False)
    import pictures_made_up

    return pictures_made_up.Made


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 4 * 32**2)


def write(pictures, out: Path, corruptions=("gaussian_noise", "contrast"), severities=(1, 3), **options):
    return write_tree(pictures, out, list(corruptions), severities, **({"seed": 4} | options))


def digests(out: Path) -> dict[str, str]:
    found = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(out).as_posix(): files.file_digest(path) for path in found}


def jpeg(image) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=85, optimize=True)
    return content.getvalue()


def test_layout_and_pixels_are_those_of_the_published_trees(made, tmp_path, small_blocks):
    rows, skipped = write(made(PIXELS), tmp_path, clean=True)
    cells = ["clean/0", "gaussian_noise/1", "gaussian_noise/3", "contrast/1", "contrast/3"]
    assert [row.name for row in rows] == cells
    assert skipped == {}
    assert set(digests(tmp_path)) == {"manifest.json"} | {
        f"{cell}/n{i % 3}/picture_{i:02d}.JPEG" for cell in cells for i in range(11)
    }
    for name, severity in (("gaussian_noise", 3), ("contrast", 1)):
        expected = corrupt(PIXELS, name, severity, seed=4, mode="exact")
        for i in range(11):
            content = (tmp_path / name / str(severity) / f"n{i % 3}/picture_{i:02d}.JPEG").read_bytes()
            assert content == jpeg(expected[i])
    assert (tmp_path / "clean/0/n1/picture_01.JPEG").read_bytes() == jpeg(PIXELS[1])


def test_processes_and_blocks_do_not_show(made, tmp_path, monkeypatch):
    seen = []
    write(made(PIXELS), tmp_path / "one", progress=lambda *row: seen.append(row))
    assert seen == [(22, 44, "gaussian_noise"), (44, 44, "contrast")]
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 2 * 32**2)
    write(made(PIXELS), tmp_path / "two", jobs=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_what_is_printed_in_a_process_does_no_harm(made, tmp_path, capfd):
    import pictures_made_up

    write(pictures_made_up.Noisy(PIXELS), tmp_path, ["contrast"], jobs=2)
    assert "reading 10" in capfd.readouterr().err


def test_the_digest_of_a_cell_is_what_sha256sum_says(made, tmp_path):
    rows, _ = write(made(PIXELS), tmp_path)
    listing = subprocess.run(
        "find . -type f | sed 's#^./##' | LC_ALL=C sort | xargs sha256sum",
        shell=True, cwd=tmp_path / "contrast/3", capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert rows[-1].name == "contrast/3"
    assert rows[-1].digest == hashlib.sha256(listing).hexdigest()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    entry = manifest["files"]["contrast/3"]
    assert entry["sha256"] == rows[-1].digest
    assert entry["n_files"] == 11
    assert entry["n_bytes"] == sum(path.stat().st_size for path in (tmp_path / "contrast/3").rglob("*.JPEG"))
    assert entry["versions"]["encoder"].startswith("pillow: libjpeg")
    assert manifest["made_from"]["source"] == "made up"
    assert (manifest["made_from"]["side"], manifest["made_from"]["scale"]) == (32, "cifar")


def count_made(monkeypatch):
    made, really = [], Settings.corrupt

    def corrupt_and_count(self, images, name, severity, first):
        made.append((name, tuple(first)))
        return really(self, images, name, severity, first)

    monkeypatch.setattr(Settings, "corrupt", corrupt_and_count)
    return made


def stop_at(n):
    def progress(done, total, name):
        if done >= n:
            raise KeyboardInterrupt

    return progress


def test_a_stopped_writer_leaves_no_half_cell_and_goes_on(made, tmp_path, monkeypatch, small_blocks):
    write(made(PIXELS), tmp_path / "never stopped")
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        write(made(PIXELS), out, progress=stop_at(22 + 16))
    assert (out / "gaussian_noise").is_dir()
    assert not (out / "contrast").exists()
    assert {row.name: row.status for row in verify(out)} == {
        "gaussian_noise/1": "no published file", "gaussian_noise/3": "no published file",
        "contrast/1": "missing", "contrast/3": "missing",
    }  # fmt: skip
    (out / ".contrast.part/1/n0/picture_00.JPEG").write_bytes(b"")  # as a power cut may leave it
    calls = count_made(monkeypatch)
    write(made(PIXELS), out)
    assert set(calls) == {("contrast", (0, 1, 2, 3)), ("contrast", (8, 9, 10))}
    assert digests(out) == digests(tmp_path / "never stopped")
    assert {path.name for path in out.glob(".*")} == {".lock"}
    calls.clear()
    write(made(PIXELS), out)
    assert calls == []


def test_a_stop_between_the_name_and_the_manifest_loses_nothing(made, tmp_path, monkeypatch):
    def stop(path, value):
        if value["files"]:
            raise KeyboardInterrupt
        files.write_text(path, json.dumps(value))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", stop)
        with pytest.raises(KeyboardInterrupt):
            write(made(PIXELS), tmp_path, ["contrast"])
    assert (tmp_path / "contrast").is_dir()
    calls = count_made(monkeypatch)
    write(made(PIXELS), tmp_path, ["contrast"])
    assert calls == []
    assert {row.status for row in verify(tmp_path)} == {"no published file"}


STEPPED = """
import sys
import numpy as np
from pictures_made_up import Made
from regrow.corruptions.writer import blocks, write_tree

blocks.BLOCK_PIXELS = 32**2

def progress(done, total, name):
    print(done, flush=True)
    sys.stdin.readline()

write_tree(Made(np.load(sys.argv[1])), sys.argv[2], ["gaussian_noise"], (1, 3), seed=4, jobs=2, progress=progress)
"""


def test_a_killed_writer_goes_on_to_the_same_bytes(made, tmp_path, monkeypatch):
    write(made(PIXELS), tmp_path / "never killed", ["gaussian_noise"])
    np.save(tmp_path / "pixels.npy", PIXELS)
    out, pipe = tmp_path / "killed", subprocess.PIPE
    command = [sys.executable, "-c", STEPPED, str(tmp_path / "pixels.npy"), str(out)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):  # it waits after each block, so it is midway here, however fast the machine
            process.stdout.readline()
            print(file=process.stdin, flush=True)
        process.stdout.readline()
        workers = psutil.Process(process.pid).children()
        process.kill()
    assert psutil.wait_procs(workers, 60)[1] == []
    assert not (out / "gaussian_noise").exists()
    monkeypatch.setattr(blocks, "BLOCK_PIXELS", 32**2)
    calls = count_made(monkeypatch)
    write(made(PIXELS), out, ["gaussian_noise"])
    assert 0 < len(set(calls)) <= 11 - 3
    assert digests(out) == digests(tmp_path / "never killed")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_picture_stops_or_is_left_out_everywhere(made, tmp_path, jobs):
    with pytest.raises(DataError, match=r"n1/picture_07\.JPEG is cut short\. Next: remove it"):
        write(made(PIXELS, bad=(7,)), tmp_path / "stop", jobs=jobs)
    pictures = made(PIXELS, bad=(0, 7))
    rows, skipped = write(pictures, tmp_path / "skip", on_bad="skip", jobs=jobs)
    assert skipped == {
        "n0/picture_00.JPEG": "n0/picture_00.JPEG is cut short.",
        "n1/picture_07.JPEG": "n1/picture_07.JPEG is cut short.",
    }
    for row in rows:
        assert len(list((tmp_path / "skip" / row.name).rglob("*.JPEG"))) == 9
    whole = write(made(PIXELS), tmp_path / "whole")
    assert len(whole.rows) == 4
    name = "gaussian_noise/1/n2/picture_08.JPEG"  # its noise does not depend on what was left out before it
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "skip" / name).read_bytes()


def test_nothing_readable_is_an_error(made, tmp_path):
    with pytest.raises(DataError, match="none of the 11 pictures of made up could be read"):
        write(made(PIXELS, bad=range(11)), tmp_path, on_bad="skip")


def test_a_picture_of_another_size_is_a_bad_one(made, tmp_path):
    pixels = [*PIXELS[:4], PIXELS[4][:16, :16]]
    with pytest.raises(DataError, match=r"picture_04\.JPEG is uint8 of shape \(16, 16, 3\), others are 32 x 32"):
        write(made(pixels), tmp_path / "stop")
    assert list(write(made(pixels), tmp_path / "skip", on_bad="skip").skipped) == ["n1/picture_04.JPEG"]


def test_pictures_that_change_midway_are_noticed(made, tmp_path):
    write(made(PIXELS), tmp_path, ["contrast"])
    with pytest.raises(DataError, match="changed since the first cells"):
        write(made(255 - PIXELS), tmp_path, ["brightness"])
    assert not (tmp_path / "brightness").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 5}, "its seed is 4, asked for is 5"),
        ({"severities": (1,)}, "its severities is [1, 3], asked for is [1]"),
        ({"name": "others"}, "its source is 'made up', asked for is 'others'"),
        ({"suffix": ".png"}, None),
    ],
)
def test_a_folder_of_another_set_is_refused_unless_forced(made, tmp_path, changed, said):
    write(made(PIXELS), tmp_path)
    before = digests(tmp_path)
    source = {key: changed.pop(key) for key in list(changed) if key in ("name", "suffix")}
    if said is None:  # files are named alike, so it is the same set
        write(made(PIXELS, **source), tmp_path, **changed)
        assert digests(tmp_path) == before
        return
    with pytest.raises(InputError) as error:
        write(made(PIXELS, **source), tmp_path, ["contrast"], **changed)
    assert said in str(error.value)
    assert "--force" in str(error.value)
    assert digests(tmp_path) == before
    write(made(PIXELS, **source), tmp_path, ["contrast"], force=True, **changed)
    assert not (tmp_path / "gaussian_noise").exists()


def test_folders_of_another_program_are_refused(made, tmp_path):
    (tmp_path / "contrast").mkdir()
    (tmp_path / "contrast/precious").write_text("")
    with pytest.raises(InputError, match=r"holds contrast and no manifest\.json"):
        write(made(PIXELS), tmp_path)
    write(made(PIXELS), tmp_path / "set", ["fog"])
    (tmp_path / "set/contrast").mkdir()
    with pytest.raises(InputError, match=r"contrast is there, and manifest\.json does not name it.*--force"):
        write(made(PIXELS), tmp_path / "set", ["contrast"])
    write(made(PIXELS), tmp_path / "set", ["contrast"], force=True)
    assert {row.status for row in verify(tmp_path / "set")} == {"no published file"}


def test_altered_and_lost_files_are_told(made, tmp_path):
    write(made(PIXELS), tmp_path)
    whole = digests(tmp_path)
    (tmp_path / "contrast/1/n0/picture_00.JPEG").write_bytes(b"other")
    (tmp_path / "gaussian_noise/3/n1/picture_01.JPEG").unlink()
    statuses = {row.name: row.status for row in verify(tmp_path)}
    assert {name for name, status in statuses.items() if status == "altered"} == {"contrast/1", "gaussian_noise/3"}
    with pytest.raises(InputError, match="gaussian_noise/3 has not the 11 files"):
        write(made(PIXELS), tmp_path)
    write(made(PIXELS), tmp_path, ["gaussian_noise"], force=True)
    (tmp_path / "contrast/1/n0/picture_00.JPEG").write_bytes(jpeg(corrupt(PIXELS[:1], "contrast", 1, mode="exact")[0]))
    assert digests(tmp_path) == whole


def test_two_writers_at_once_are_refused(made, tmp_path):
    with files.owned(tmp_path, "set"), pytest.raises(BusyError):
        write(made(PIXELS), tmp_path)


def test_paths_that_cannot_be_are_refused(made, tmp_path):
    class Outside(made):
        def path(self, i):
            return f"../{i}.JPEG"

    class Double(made):
        def path(self, i):
            return "a.png" if i == 3 else f"a{'bcdefghijklm'[i] if i else ''}.bmp"

    with pytest.raises(InputError, match="leads out of its folder"):
        write(Outside(PIXELS), tmp_path / "out")
    with pytest.raises(InputError, match=r"a\.bmp and a\.png would both be written as a\.JPEG"):
        write(Double(PIXELS), tmp_path / "out")
    with pytest.raises(InputError, match="holds no pictures"):
        write(made(PIXELS[:0]), tmp_path / "out")
    with pytest.raises(InputError, match="on_bad must be"):
        write(made(PIXELS), tmp_path / "out", on_bad="ignore")
    with pytest.raises(InputError, match="unknown corruption"):
        write(made(PIXELS), tmp_path / "out", ["fogg"])
    assert not (tmp_path / "out").exists()


def test_pictures_that_cannot_be_sent_to_a_process_are_told(made, tmp_path):
    class Local(made):
        pass

    with pytest.raises(InputError, match=r"cannot be sent to another process .*jobs=1"):
        write(Local(PIXELS), tmp_path, jobs=2)
    write(Local(PIXELS), tmp_path, jobs=1)
