"""Shared by the tests that do harm: a server that forks processes to be killed, small disks, and the table.

With REGROW_TABLE=FILE the counts of what was done are written to that file, by test file. What the table says of test
files that were not run now stays, as long as it was made in the same environment: long ones can be run apart.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TALLY = pytest.StashKey[dict[str, "Part"]]()
KINDS = ("kills", "faults", "inputs")

#: Programs of their own, and no tests; one needs atheris.
collect_ignore = ["follow.py", "server.py"]


@dataclass
class Part:
    """What one test file did.

    Attributes:
        counts: by kind, of what was done without anything being lost.
        outcomes: tests by how they ended.
        seconds: they took.
    """

    counts: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        done = {kind: dict(sorted(counts.items())) for kind, counts in self.counts.items() if counts}
        return {"tests": dict(sorted(self.outcomes.items())), "seconds": round(self.seconds), **done}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = defaultdict(Part)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    part = item.config.stash[TALLY][item.path.stem]
    part.seconds += report.duration
    if report.when == "call" or not report.passed:
        part.outcomes[report.outcome] += 1
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if "REGROW_TABLE" not in os.environ:
        return
    path = Path(os.environ["REGROW_TABLE"])
    from regrow.study.environment import describe_environment

    environment = describe_environment()
    before = json.loads(path.read_text()) if path.exists() else {}
    parts = before["parts"] if before.get("environment") == environment else {}
    parts |= {name: part.as_json() for name, part in session.config.stash[TALLY].items()}
    table = {
        "question": "What is lost by kill -9, faults of disk and clock, and damaged input?",
        "environment": environment,
        "failed_tests": sum(part["tests"].get("failed", 0) for part in parts.values()),
        "skipped_tests": sum(part["tests"].get("skipped", 0) for part in parts.values()),
        **{kind: sum(sum(part.get(kind, {}).values()) for part in parts.values()) for kind in KINDS},
        "parts": dict(sorted(parts.items())),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=1) + "\n")


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> dict[str, Counter[str]]:
    """Counts by kind: what was done to regrow without anything being lost."""
    return request.config.stash[TALLY][request.path.stem].counts


@dataclass
class Ended:
    """A process that has ended, or was stopped.

    Attributes:
        code: exit code; None where a signal ended it.
        signal: that signal, or 0.
        operations: on files under the watched folder, until then.
        stage: what it was doing.
        seconds: how long it took.
        err: its standard error.
        pid: of a stopped one.
    """

    code: int | None
    signal: int
    operations: int
    stage: str
    seconds: float
    err: str
    pid: int = 0


@dataclass
class Server:
    """A process that has loaded regrow and forks one for each command; see ``server.py``."""

    process: subprocess.Popen[str] = field(repr=False)

    def run(self, watch: Path, *command: object, **how: Any) -> Ended:
        """Run ``regrow COMMAND`` in a process of its own.

        Args:
            watch: folder whose operations are counted.
            command: arguments of ``regrow``.
            how: ``kill_at=n`` kills it with SIGKILL just before its n-th operation on files, ``kill_after=s`` after
                so many seconds; ``stop_at=n`` stops it there; ``clock=True`` lets its clocks jump; ``page=True`` makes
                the whole page of a study, and not its title alone.
        """
        return self._ask({"command": [str(word) for word in command], "watch": str(watch), **how})

    def go_on(self, stopped: Ended) -> Ended:
        """Let a stopped process go on to its end."""
        return self._ask({"continue": stopped.pid})

    def _ask(self, question: dict[str, Any]) -> Ended:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return Ended(**json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server, with a cache of its own."""
    cache = tmp_path_factory.mktemp("cache")
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    yield Server(process)
    process.communicate()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Makes a disk of so many bytes; options may remount it: ``disk(1 << 20)``, then ``disk(options="ro")``."""
    place = tmp_path / "disk"
    mounted = False

    def mount(size: int | None = None, options: str = "") -> Path:
        nonlocal mounted
        words = ["remount"] if mounted else []
        words += [f"size={size}"] if size else []
        words += [options] if options else []
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", ",".join(words), "regrow-test", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no disk can be mounted here")
        mounted = True
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)
