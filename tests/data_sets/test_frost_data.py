"""Fetching the frost photographs, from a package made here: no network."""

import zipfile
from pathlib import Path

import pytest

from regrow.cli import run
from regrow.data import frost
from regrow.errors import DataError


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in place of the package index, and a table of photographs that its wheel holds."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    # md5 of b"1" .. b"2"
    sums = {"frost1.png": "c4ca4238a0b923820dcc509a6f75849b", "frost2.png": "c81e728d9d4c2f636f067f89cc14862c"}
    monkeypatch.setattr(frost, "FROST", sums)
    return folder


def put_wheel(folder: Path, **photographs: bytes) -> None:
    info = "imagecorruptions-1.1.2.dist-info"
    with zipfile.ZipFile(folder / "imagecorruptions-1.1.2-py3-none-any.whl", "w") as archive:
        for name, content in photographs.items():
            archive.writestr(f"imagecorruptions/frost/{name}.png", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: imagecorruptions\nVersion: 1.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_the_photographs_are_taken_out_of_the_package_once(index: Path, tmp_path: Path) -> None:
    put_wheel(index, frost1=b"1", frost2=b"2")
    folder = frost.fetch(tmp_path / "root")
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == {"frost1.png": b"1", "frost2.png": b"2"}
    (index / "imagecorruptions-1.1.2-py3-none-any.whl").unlink()
    assert frost.fetch(tmp_path / "root") == folder  # nothing is missing: nothing is asked for
    (folder / "frost1.png").write_bytes(b"altered")
    with pytest.raises(DataError, match="pip did not fetch"):
        frost.fetch(tmp_path / "root")
    assert (folder / "frost1.png").read_bytes() == b"altered"


def test_other_photographs_are_refused(index: Path, tmp_path: Path) -> None:
    put_wheel(index, frost1=b"1", frost2=b"another")
    with pytest.raises(DataError, match=r"does not hold the published frost2\.png"):
        frost.fetch(tmp_path / "root")
    assert not (tmp_path / "root/frost/frost2.png").exists()


def test_without_an_index_one_line_says_what_to_do(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "get", "frost", "--data-root", str(tmp_path / "root")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: pip did not fetch imagecorruptions==1.1.2")
    assert "Next: " in error
    assert error.count("\n") == 1
