"""The engine `ray`: runs as tasks of a Ray cluster, whose nodes share the study's folder.

A task starts the same process on its node as the local engine does here, so the bits are the same. A task whose worker
or node is lost is run again, from the run's checkpoint. The tasks of a driver that is killed are ended by the cluster;
the same command then goes on, and waits at the lock of a run whose process is still about to end.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from regrow import __version__, files
from regrow.errors import BusyError, InputError, RunFailedError, first_line
from regrow.extras import library
from regrow.study.engines import process, worker
from regrow.study.engines.engine import Event
from regrow.study.recipe import Resources
from regrow.study.store import Store, set_state

#: How often a run is started again after its worker, its node or its process was lost.
RETRIES = 4

#: Most runs that are given to the cluster at once; what waits there tells one that grows how far to.
_MOST = 10_000

#: Seconds between two looks at the news.
_NEWS_S = 0.3

#: What `ray start --head` prints, but for the host.
EXAMPLE = "head:6379"

#: Seconds that the head of a cluster may take to answer.
ANSWER_S = 10.0

#: Bytes of Ray's memory for objects where regrow starts it: what is sent are names and progress.
_OBJECT_STORE = 100 * 2**20

#: Variables that say where data and code lie.
_PLACES = ("REGROW_DATA", "XDG_CACHE_HOME", "PYTHONPATH")


class ProcessLostError(Exception):
    """A run's process was killed (by the system, where memory was short, say), or did not get hold of the run."""


@contextlib.contextmanager
def connected(address: str | None = None, jobs: int | None = None) -> Iterator[RayEngine]:
    """The engine on a cluster, as long as it is needed; a cluster that was joined before is left as it was.

    Args:
        address: ``HOST:PORT`` of a cluster; ``local`` starts one on this machine and ends it afterwards; None = that of
            the variable RAY_ADDRESS, else one that runs on this machine.
        jobs: most runs side by side; None = as many as there is room for.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    if _has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # as `ray start` does by itself, and ray.init does not
    ray = library("ray", "Ray clusters")
    joined = ray.is_initialized()
    if not joined:
        _join(ray, address)
    try:
        yield RayEngine(ray, jobs)
    finally:
        if not joined:
            ray.shutdown()


def _join(ray: Any, address: str | None) -> None:
    place = address or os.environ.get("RAY_ADDRESS") or "auto"
    if place not in ("auto", "local"):
        _require_listener(place)
    started = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE} if address == "local" else {}
    why = ""
    with _unheard() as said:
        try:
            ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR, **started)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            why = first_line(error)
    if not why:
        return
    if "InvalidAuthToken" in said[0]:
        raise InputError(
            f"the Ray cluster at {place} wants its token, and was given none or another.",
            "put it into ~/.ray/auth_token, or name its file in RAY_AUTH_TOKEN_PATH.",
        )
    raise InputError(
        f"no Ray cluster at {address}: {why}" if address else "no Ray cluster was found.",
        "start one (`ray start --head`), name it (--address HOST:PORT), or --address local for this machine alone.",
    )


@contextlib.contextmanager
def _unheard() -> Iterator[list[str]]:
    """Keep from the terminal what libraries print meanwhile, many lines a minute; it is in the list afterwards."""
    said: list[str] = []
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    with tempfile.TemporaryFile() as file:
        for number in kept:
            os.dup2(file.fileno(), number)
        try:
            yield said
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, handle in kept.items():
                os.dup2(handle, number)
                os.close(handle)
            file.seek(0)
            said.append(file.read().decode(errors="replace"))


def _has_token() -> bool:
    """Whether this user has a token of a Ray cluster."""
    named = os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
    return bool(named) or Path("~/.ray/auth_token").expanduser().exists()


def _require_listener(address: str) -> None:
    """Refuse an address at which nobody listens: Ray would go on trying for many minutes.

    Raises:
        InputError: it is no address of a head, or nobody answers there.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()) or "/" in address:
        raise InputError(f"{address} is no address of a Ray cluster.", f"HOST:PORT of its head, as in {EXAMPLE}.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"no Ray cluster at {address}: {why}.",
            "start one there (`ray start --head`), or give the address of its head.",
        ) from None


class RayEngine:
    """Runs as tasks of the cluster that this process has joined.

    Args:
        ray: the library.
        jobs: most runs side by side; None = as many as there is room for.
    """

    def __init__(self, ray: Any, jobs: int | None = None) -> None:
        self._ray, self._jobs = ray, jobs

    def slots(self, resources: Resources) -> int:
        """Runs side by side on the nodes that are there now.

        Raises:
            InputError: no node has what one run takes.
        """
        n = room(self._amounts(), self._demand(resources))
        return min(n, self._jobs or n)

    @contextlib.contextmanager
    def pool(self, study: Path, resources: Resources, data_root: Path | None) -> Iterator[_Tasks]:
        """Tasks of the cluster; on leaving, those that have not ended are cancelled.

        Raises:
            InputError: a node does not share the study's folder, or has other software.
        """
        demand, here = self._demand(resources), software()
        self._require_shared(study.absolute(), here)
        call = _Call(
            software=here,
            data_root=data_root and data_root.absolute(),
            folder=Path.cwd(),
            places={name: os.environ[name] for name in _PLACES if name in os.environ},
            devices={} if demand["GPU"] else {"CUDA_VISIBLE_DEVICES": ""},
        )
        tasks = _Tasks(self._ray, demand, call, self._jobs)
        try:
            yield tasks
        finally:
            tasks.end()

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _amounts(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._alive()]

    def _demand(self, resources: Resources) -> dict[str, float]:
        gpus = resources.gpus
        if gpus is None:
            gpus = float(any(node.get("GPU") for node in self._amounts()))
        return {"CPU": resources.cpus, "GPU": gpus}

    def _require_shared(self, study: Path, here: Mapping[str, str]) -> None:
        """Let every node look at the study's folder."""
        look = self._ray.remote(num_cpus=0, max_retries=0)(require_shared)
        looks = [look.options(scheduling_strategy=_on(n["NodeID"])).remote(study, here) for n in self._alive()]
        for seen in looks:
            try:
                self._ray.get(seen)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self._ray.exceptions.RayError:
                pass  # a node that is lost meanwhile executes nothing


def _on(node: str) -> Any:
    """Strategy that places a task or an actor on one node and nowhere else."""
    strategies = library("ray.util.scheduling_strategies", "Ray clusters")
    return strategies.NodeAffinitySchedulingStrategy(node, soft=False)


def room(nodes: Sequence[Mapping[str, float]], demand: Mapping[str, float]) -> int:
    """How many runs the nodes of a cluster hold; a run never spans two of them.

    Args:
        nodes: of each node, resource -> amount.
        demand: of a run, resource -> amount.

    Raises:
        InputError: not even one.

    Example:
        >>> room([{"CPU": 4.0, "GPU": 1.0}, {"CPU": 8.0}], {"CPU": 1.0, "GPU": 0.25})
        4
    """
    wanted = {name: amount for name, amount in demand.items() if amount}
    n = sum(min(int(node.get(name, 0) / amount + 1e-6) for name, amount in wanted.items()) for node in nodes)
    if n == 0:
        largest = {name: max((node.get(name, 0) for node in nodes), default=0) for name in wanted}
        raise InputError(
            f"a run takes {_listed(wanted)}, and no node of the cluster has that (at most {_listed(largest)}).",
            "lower resources in the recipe, or add such a node.",
        )
    return n


def _listed(amounts: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in amounts.items())


def software() -> dict[str, str]:
    """Versions on which the bits of a run depend."""
    return {"regrow": __version__, **{name: metadata.version(name) for name in ("torch", "numpy")}}


def require_shared(study: Path, driver: Mapping[str, str]) -> None:
    """On a node: refuse to execute runs of a study that it does not share with the driver.

    The driver owns the study's folder meanwhile. So its lock cannot be had here, unless this is another folder of the
    same name, or locks do not reach from one node to the other: then a run could be executed twice at once.

    Args:
        study: its folder.
        driver: versions there, see :func:`software`.

    Raises:
        InputError: no such folder, another one, one without locks, or other versions.
    """
    node, here = socket.gethostname(), software()
    if not Store(study).exists():
        raise InputError(f"node {node} does not see {study}.", "put --out into a folder that all nodes share.")
    with contextlib.suppress(BusyError), files.owned(study, "study"):
        raise InputError(
            f"on node {node}, {study} is another folder, or locks of files do not reach from node to node.",
            "put --out into a shared folder that is mounted with locks (NFS 4; Lustre: the option flock).",
        )
    for name, version in driver.items():
        if here.get(name) != version:
            raise InputError(
                f"node {node} has {name} {here.get(name)}, this machine {version}: bits would differ.",
                "install the same versions on all nodes.",
            )


@dataclass(frozen=True)
class _Call:
    """What the driver sends with each run.

    Attributes:
        software: its versions.
        data_root: where data sets lie; None = the usual places.
        folder: its working directory, from which a recipe may name files.
        places: variables that a node takes over where it has none of its own.
        devices: variables that hide a node's accelerators, where a run takes none.
    """

    software: dict[str, str]
    data_root: Path | None
    folder: Path
    places: dict[str, str]
    devices: dict[str, str]


class _Board:
    """An actor beside the driver: the latest news of every run since it last asked."""

    def __init__(self) -> None:
        self._news: dict[str, dict[str, Any]] = {}

    def tell(self, run: str, progress: dict[str, Any]) -> None:
        self._news[run] = progress

    def take(self) -> dict[str, dict[str, Any]]:
        news, self._news = self._news, {}
        return news


def _execute(run: Path, call: _Call, board: Any) -> str:
    """The task: a run's process on this node, from its start to its end.

    Returns:
        Why the run failed, as its state says too; empty when it is done.

    Raises:
        InputError: this node cannot execute it; it may have come after the others were asked.
        ProcessLostError: the process was killed; to be tried again.
    """
    require_shared(run.parent.parent, call.software)
    board.tell.remote(run.name, {})
    environment = {**call.places, **os.environ, **call.devices}
    started = process.start(run, call.data_root, environment, call.folder if call.folder.is_dir() else None)
    try:
        code, last = process.follow(run, started, lambda progress: board.tell.remote(run.name, progress))
    finally:
        started.kill()
        process.close(started)
    if code < 0:
        raise ProcessLostError(f"its process was killed by signal {-code}, {1 + RETRIES} times.")
    if code == worker.BUSY:  # on a node that was given up it goes on as long as nobody has ended it there
        raise ProcessLostError(last)
    return process.fault(run, code, last) if code else ""


class _Tasks:
    """Runs that the cluster was given."""

    def __init__(self, ray: Any, demand: Mapping[str, float], call: _Call, jobs: int | None) -> None:
        self.size = jobs or _MOST
        self._ray, self._call = ray, call
        self._runs: dict[Any, Path] = {}
        self._going: set[str] = set()
        self._told: deque[Event] = deque()
        here = _on(ray.get_runtime_context().get_node_id())
        self._board = ray.remote(num_cpus=0, scheduling_strategy=here)(_Board).remote()
        self._task = ray.remote(
            num_cpus=demand["CPU"], num_gpus=demand["GPU"], max_retries=RETRIES, retry_exceptions=[ProcessLostError]
        )(_execute)

    def start(self, run: Path) -> None:
        self._runs[self._task.remote(run.absolute(), self._call, self._board)] = run

    def news(self) -> Event:
        while not self._told:
            try:
                ended, _ = self._ray.wait(list(self._runs), timeout=_NEWS_S)
                news = self._ray.get(self._board.take.remote())
            except self._ray.exceptions.RayError as error:
                raise RunFailedError(
                    f"the cluster was lost, or the node that this process belongs to ({first_line(error)}).",
                    "the same command goes on once there is a cluster.",
                ) from None
            for run in [run for run in self._runs.values() if run.name in news]:
                self._tell(run.name, news[run.name])
            for task in ended:
                self._end(task, self._runs.pop(task))
        return self._told.popleft()

    def end(self) -> None:
        """Cancel what still runs: only after an interruption."""
        with contextlib.suppress(self._ray.exceptions.RayError):  # where the cluster itself is lost
            for task in self._runs:
                self._ray.cancel(task, force=True)
            self._ray.kill(self._board)

    def _tell(self, run: str, progress: Mapping[str, Any]) -> None:
        """News of a run; one that was lost and is tried again has started before."""
        if run not in self._going:
            self._going.add(run)
            self._told.append(Event(run, "started", {}))
        if progress:
            self._told.append(Event(run, "progress", dict(progress)))

    def _end(self, task: Any, run: Path) -> None:
        self._tell(run.name, {})  # where its end came before any news
        self._going.remove(run.name)
        reason = self._reason(task, run)
        self._told.append(Event(run.name, "failed" if reason else "done", {}, reason))

    def _reason(self, task: Any, run: Path) -> str:
        """Why a run failed, as its state says too; empty when it is done."""
        try:
            reason: str = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            reason = first_line(getattr(error, "cause", None) or error)
            set_state(run, "failed", reason)
        return reason
