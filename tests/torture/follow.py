"""Inputs for a reader, changed towards code not yet reached: ``python follow.py READER FOLDER [LIBFUZZER...]``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))
with atheris.instrument_imports(include=["regrow", "numpy.lib", "zipfile", "tarfile", "pickle", "yaml"]):
    import readers


def main() -> None:
    """Fuzz until libFuzzer has done its runs; anything but a RegrowError ends it with an exit code."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    reader = readers.READERS[name]
    path = reader.write(folder)
    seeds = folder / "seeds"
    seeds.mkdir()
    (seeds / "valid").write_bytes(path.read_bytes())
    warnings.simplefilter("ignore")

    def one(content: bytes) -> None:
        path.write_bytes(reader.mend(content))
        readers.refused(reader, path)

    atheris.Setup([sys.argv[0], *sys.argv[3:], str(seeds)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
