"""Inputs for readers, changed towards code not yet reached: ``python follow.py FOLDER RUNS READER [READER...]``.

regrow is loaded once, with what counts the code reached, and a process is forked for each reader.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))
with atheris.instrument_imports(include=["regrow", "numpy.lib", "zipfile", "tarfile", "pickle", "yaml", "wave"]):
    import readers


def follow(name: str, folder: Path, runs: int) -> None:
    """Fuzz a reader; anything but a RegrowError ends the process with an exit code."""
    reader = readers.READERS[name]
    seeds, place = folder / "seeds", folder / "file"
    for made in (seeds, place):
        made.mkdir(parents=True)
    path = reader.write(place)
    (seeds / "valid").write_bytes(path.read_bytes())
    os.chdir(folder)  # an input that ends it is left there
    warnings.simplefilter("ignore")

    def one(content: bytes) -> None:
        path.write_bytes(reader.mend(content))
        readers.refused(reader, path)

    atheris.Setup([sys.argv[0], f"-runs={runs}", "-seed=1", "-rss_limit_mb=2000", str(seeds)], one)
    atheris.Fuzz()


def main() -> None:
    """Say which readers let something else than a RegrowError through."""
    folder, runs, names = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    failed = []
    for number, name in enumerate(names):
        pid = os.fork()
        if pid == 0:
            follow(name, folder / str(number), runs)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
