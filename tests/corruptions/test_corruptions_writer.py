"""Sets on disk: layout, resuming, refusing, verifying, and the published md5s."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from regrow import files
from regrow.corruptions import corrupt, names, official_md5
from regrow.corruptions import writer as writer_module
from regrow.corruptions.writer import verify, write_cifar_style
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
    monkeypatch.setattr(writer_module, "_BLOCK", 7)
    seen = []
    write(tmp_path / "blocks", progress=lambda *row: seen.append(row))
    assert digests(tmp_path / "whole") == digests(tmp_path / "blocks")
    assert seen[-1] == (230, 230, "contrast")
    assert [done for done, _, _ in seen] == sorted({done for done, _, _ in seen})


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
    assert manifest["schema"] == 1
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
    assert entry["codec"].startswith("pillow: libjpeg")
    assert {"regrow", "numpy", "scipy", "pillow", "python"} == set(entry["versions"])
    assert "codec" not in manifest["files"]["gaussian_noise"]


def test_a_second_call_makes_only_what_is_not_there(tmp_path):
    write(tmp_path, ["contrast"])
    before = (tmp_path / "contrast.npy").stat().st_mtime_ns
    made = []
    write(tmp_path, TWO, progress=lambda done, total, name: made.append((total, name)))
    assert set(made) == {(115, "gaussian_noise")}
    assert (tmp_path / "contrast.npy").stat().st_mtime_ns == before


def test_a_stopped_writer_leaves_nothing_half_written_and_goes_on(tmp_path, monkeypatch):
    write(tmp_path / "never stopped")
    monkeypatch.setattr(writer_module, "_BLOCK", 10)

    def stop(done, total, name):
        if name == "contrast":
            raise KeyboardInterrupt

    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        write(out, progress=stop)
    assert set(digests(out)) == {"gaussian_noise.npy", "labels.npy"}
    (out / ".contrast.npy.abc.tmp").write_bytes(b"left by a kill")
    (out / "contrast.npy").write_bytes(b"renamed but not yet noted")
    write(out)
    assert digests(out) == digests(tmp_path / "never stopped")
    assert not list(out.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 5}, "its seed is 4, asked for is 5"),
        ({"source": "cifar10"}, "its source is 'made up'"),
        ({"severities": (1, 2)}, "its severities is [1, 2, 3, 4, 5]"),
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
    "content", ["", "[1]", '{"schema": 99}', '{"schema": 1}', '{"schema": 1, "made_from": {}, "files": []}']
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
    for name in ("contrast", "fog", "jpeg_compression", "my_own"):
        np.save(tmp_path / f"{name}.npy", IMAGES)
    assert {row.name: row.status for row in verify(tmp_path, "cifar10")} == {
        "contrast": "differs",
        "fog": "random: not comparable",
        "jpeg_compression": "other JPEG encoder",
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
    exact = ["brightness", "contrast", "defocus_blur", "gaussian_blur", "pixelate", "saturate"]
    rows = write_cifar_style(test.images, test.labels, tmp_path, exact, source=source)
    assert {row.name: row.status for row in rows} == dict.fromkeys([*exact, "labels"], "official")
    (tmp_path / "manifest.json").unlink()
    assert {row.status for row in verify(tmp_path)} == {"official"}  # the labels say which set it is
