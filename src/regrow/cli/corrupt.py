"""``regrow corrupt``: joins data sets, folders of pictures and corruptions for the writer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from regrow.cli import completion, corrupt_clips
from regrow.cli.console import out, print_json, print_table
from regrow.cli.network import OnError, check_on_error
from regrow.cli.study import DataRoot
from regrow.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from regrow.corruptions.writer import Row
    from regrow.corruptions.writer.pictures import Labelled
    from regrow.data.clips import ClipFolder

LAYOUTS = ("npy", "tree")


def corrupt(
    source: Annotated[
        str,
        typer.Argument(
            help="A data set (regrow list data), or a folder of pictures (ImageNet, Tiny-ImageNet, yours) or of clips.",
            autocompletion=completion.data_sets,
        ),
    ],
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder of the corrupted set.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Which images of a data set, by default test; of UCF101: train01 ... test03.")
    ] = None,
    corruptions: Annotated[
        str,
        typer.Option(
            help="Names, by commas; or all (nineteen), common (fifteen), extra, c-bar, 3dcc; of clips: all.",
            autocompletion=completion.corruptions,
        ),
    ] = "all",
    severities: Annotated[str | None, typer.Option(help="Severities, by commas; default: all.")] = None,
    mode: Annotated[str, typer.Option(help="exact: the published arithmetic, to the byte; or fast.")] = "exact",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random corruptions.")] = 0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a core. Bytes are the same.")] = None,
    layout: Annotated[
        str, typer.Option("--format", help="npy (as CIFAR-10-C) or tree (as ImageNet-C); default: by source.")
    ] = "",
    side: Annotated[
        int | None,
        typer.Option(min=8, help="Side in pixels of a folder's pictures: shrunk, then cut; default: by --scale, 224."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Settings: cifar, tiny, imagenet, inception, default: by image size; of clips: kinetics (default), "
            "ssv2, vitta, imagenet."
        ),
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="Encoder of jpeg_compression: libjpeg9, the published one, or pillow.")
    ] = None,
    on_error: OnError = "raise",
    clean: Annotated[
        bool, typer.Option("--clean", help="Trees, clips: also write the clean ones, as clean/0.")
    ] = False,
    data_root: DataRoot = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Only compare a written set with its manifest and the official checksums."),
    ] = False,
    preview: Annotated[
        Path | None,
        typer.Option(
            help="Write one picture (of a clip: a frame) under all of it to this PNG file; --out may be left out."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a set of another source or seed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Write a corrupted copy of a data set, or of a folder of pictures or clips, on all cores.

    The same call goes on where an interrupted one stopped. With --verify, exit code 1 says that a file is missing
    or is not what it should be.
    """
    from regrow.corruptions.frost import folder_under

    if verify:
        _verify(source, _needed(out_dir), as_json)
        return
    if out_dir is None and preview is None:
        _needed(out_dir)
    if out_dir is not None and Path(source).is_dir() and out_dir.resolve().is_relative_to(Path(source).resolve()):
        raise InputError(
            f"--out {out_dir} lies in the source {source}: the next call would take it for a part of that.",
            "choose another --out.",
        )
    words = [word.strip() for word in corruptions.split(",") if word.strip()]
    levels = None if severities is None else parse_severities(severities)
    common = {"seed": seed, "codec": codec, "frost": folder_under(data_root)}
    if corrupt_clips.holds_clips(Path(source)):
        how = common | {"column": scale or "kinetics"}
        clips = corrupt_clips.Wanted(words, levels, how, jobs, on_error, clean, force)
        clips.check(mode, layout)
        with _bar() as bar:
            written = _corrupt_clips(corrupt_clips.open_clips(Path(source), split, side), clips, out_dir, preview, bar)
    else:
        levels = levels or parse_severities("1,2,3,4,5")
        options = common | {"severities": levels, "mode": mode, "scale": scale}
        wanted = _Wanted(words=words, options=options, jobs=jobs, on_error=on_error, clean=clean, force=force)
        wanted.check(layout)
        with _bar() as bar:
            given = _open(source, split or "test", data_root, side, scale, bar)
            if preview is not None:
                _preview(given.pictures, preview, wanted)
            written = _write(given, out_dir, layout, wanted, bar) if out_dir is not None else None
    if written is not None:
        assert out_dir is not None
        _print(out_dir, *written, as_json)


def _corrupt_clips(
    found: ClipFolder, wanted: corrupt_clips.Wanted, out_dir: Path | None, preview: Path | None, bar: _Bar
) -> tuple[Sequence[Row], dict[str, str]] | None:
    if preview is not None:
        corrupt_clips.preview(found, preview, wanted)
        out.print(f"Preview: {preview}", markup=False)
    return None if out_dir is None else corrupt_clips.write(found, out_dir, wanted, _titled(bar))


def parse_severities(text: str) -> list[int]:
    """Severities from a list by commas; refuses what is not 1 to 5."""
    try:
        levels = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(f"--severities {text!r} is no list of numbers.", "e.g. --severities 1,3,5") from None
    for level in levels:
        if not 1 <= level <= 5:
            raise InputError(f"severity must be in 1 to 5, got {level}.", "e.g. --severities 1,3,5")
    return levels


@dataclass(frozen=True)
class _Wanted:
    words: list[str]
    options: dict[str, Any]  # those that the writers and the preview share
    jobs: int | None
    on_error: str
    clean: bool
    force: bool

    @property
    def on_bad(self) -> str:
        """As the writers call it."""
        return "stop" if self.on_error == "raise" else self.on_error

    def check(self, layout: str) -> None:
        """Refuse early what would be refused after the data was fetched."""
        from regrow.corruptions.choice import MODES
        from regrow.corruptions.writer import choose_names

        choose_names(self.words)
        if self.options["mode"] not in MODES:
            raise UnknownNameError("mode", self.options["mode"], MODES, "leave --mode out for exact.")
        if layout not in ("", *LAYOUTS):
            raise UnknownNameError("format", layout, LAYOUTS, "leave --format out to take it from the source.")
        check_on_error(self.on_error)


@dataclass(frozen=True)
class _Given:
    pictures: Labelled
    name: str  # as the manifest knows it
    layout: str
    notes: list[str]


def _needed(out_dir: Path | None) -> Path:
    if out_dir is None:
        raise InputError("--out is missing: the folder of the corrupted set.", "add --out DIR.")
    return out_dir


_Bar = Callable[[str], Callable[[int, int], None]]


@contextmanager
def _bar() -> Iterator[_Bar]:
    """A progress bar with time left; a call with a new title starts it anew."""
    with Progress(console=out, disable=not out.is_terminal) as progress:

        def start(title: str) -> Callable[[int, int], None]:
            for task in progress.task_ids:
                progress.remove_task(task)
            task = progress.add_task(title, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield start


def _titled(bar: _Bar) -> Callable[[int, int, str], None]:
    """Progress of a writer on the bar, under the name of the corruption at hand."""
    show: Callable[[int, int], None] | None = None
    name = ""

    def progress(done: int, total: int, now: str) -> None:
        nonlocal show, name
        if show is None or now != name:
            show, name = bar(now), now
        show(done, total)

    return progress


def _open(source: str, split: str, data_root: Path | None, side: int | None, scale: str | None, bar: _Bar) -> _Given:
    from regrow import data
    from regrow.corruptions.writer.pictures import ArrayPictures

    if Path(source).is_dir():
        return _folder(Path(source), side, scale)
    if source not in data.names():
        raise UnknownNameError("source", source, data.names(), "give one of these, or a folder of pictures.")
    images = data.load_images(source, split, root=data_root, progress=bar(source))
    if images.spec.modality != "image":
        raise InputError(
            f"{source} holds {images.spec.noun}, of which no set of files is written.",
            "a study makes their cells itself.",
        )
    name = source if split == "test" else f"{source}/{split}"  # only test sets were published
    notes = [images.spec.caveat] if images.spec.caveat else []
    return _Given(ArrayPictures(name, images.images, images.labels, images.spec.classes), name, "npy", notes)


def _folder(path: Path, side: int | None, scale: str | None) -> _Given:
    """Pictures of a folder, prepared as for the published sets where it is one of their sources."""
    from regrow import data
    from regrow.corruptions.scales import SCALES
    from regrow.data import marker, pictures

    notes = list(marker.caveats([path]))

    if (path / "wnids.txt").exists() or (path / "val" / "val_annotations.txt").exists():
        if (side or 64) != 64:
            raise InputError(f"--side {side}: pictures of Tiny-ImageNet have 64 px.", "leave --side out.")
        tiny = pictures.tiny_imagenet(path)
        return _Given(tiny, tiny.name, "tree", notes or [data.nominal_spec("tiny_imagenet").caveat])
    if scale is not None and scale not in SCALES:
        raise UnknownNameError("scale", scale, SCALES, "leave --scale out.")
    side = side or SCALES[scale or "imagenet"]
    found = pictures.folder(path, side)
    return _Given(found, found.name, "tree", notes)


def _preview(pictures: Labelled, path: Path, wanted: _Wanted) -> None:
    from PIL import Image

    from regrow import files
    from regrow.corruptions import writer

    content = io.BytesIO()
    Image.fromarray(writer.preview(pictures.read(0), wanted.words, **wanted.options)).save(content, "PNG")
    files.write_bytes(path, content.getvalue())
    out.print(f"Preview: {path}", markup=False)


def _write(
    given: _Given, out_dir: Path, layout: str, wanted: _Wanted, bar: _Bar
) -> tuple[Sequence[Row], dict[str, str]]:
    from regrow.corruptions import writer
    from regrow.corruptions.writer import pictures as loading

    pictures, notes = given.pictures, list(given.notes)
    skipped: dict[str, str] = {}
    is_tree = (layout or given.layout) == "tree"
    if wanted.clean and not is_tree:
        raise InputError("--clean is for trees: a set of .npy files has its clean images already.", "leave it out.")
    if not is_tree and not isinstance(pictures, loading.ArrayPictures):
        images, labels, skipped = loading.load(pictures, wanted.on_bad, bar("reading"))
        notes += [f"{path} was left out: {why}" for path, why in skipped.items()]
        pictures = loading.ArrayPictures(given.name, images, labels, ())
    common: dict[str, Any] = wanted.options | {
        "jobs": wanted.jobs,
        "notes": notes,
        "force": wanted.force,
        "progress": _titled(bar),
    }
    if is_tree:
        tree = writer.write_tree(pictures, out_dir, wanted.words, clean=wanted.clean, on_bad=wanted.on_bad, **common)
        return tree.rows, tree.skipped
    assert isinstance(pictures, loading.ArrayPictures)
    rows = writer.write_cifar_style(
        pictures.images, pictures.labels, out_dir, wanted.words, source=given.name, **common
    )
    return rows, skipped


def _verify(source: str, folder: Path, as_json: bool) -> None:
    from regrow.corruptions import writer
    from regrow.corruptions.official import PUBLISHED
    from regrow.corruptions.writer.verifying import WRONG

    rows = writer.verify(folder, source if source in PUBLISHED else None)
    _print(folder, rows, {}, as_json)
    if any(row.status in WRONG for row in rows):
        raise typer.Exit(1)


def _print(folder: Path, rows: Sequence[Row], skipped: dict[str, str], as_json: bool) -> None:
    from regrow.corruptions.writer.manifest import MANIFEST, Manifest

    if as_json:
        left_out = [{"name": path, "status": f"skipped: {why}"} for path, why in skipped.items()]
        print_json([*(row._asdict() for row in rows), *left_out])
        return
    print_table(str(folder), ["name", "digest", "status"], [[row.name, row.digest[:32], row.status] for row in rows])
    if not (folder / MANIFEST).exists():
        return
    manifest = Manifest.read(folder)
    notes = {
        f"{name.split('/')[0]}: {note}" for name, entry in manifest.entries.items() for note in entry["notes"].values()
    }
    for line in [*sorted(notes), *manifest.facts.get("caveats", [])]:
        out.print(line, markup=False)
    if skipped:
        first = next(iter(skipped.items()))
        what = "clips" if manifest.made_from["layout"] == "clips" else "pictures"
        out.print(f"{len(skipped)} {what} were skipped, the first: {': '.join(first)}", markup=False)
