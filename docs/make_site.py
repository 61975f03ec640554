"""The folder that the documentation site is built from: the pages of ``docs/``, and those that are made.

``python docs/make_site.py build/docs`` copies the pages, runs the notebooks and turns them into pages with what they
printed, draws the gallery of corruptions, collects reports and lists the commands; ``make docs`` then builds ``site/``.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nbconvert
import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image, ImageDraw

from regrow import corruptions, data
from regrow.clips import Clip
from regrow.corruptions import audio, text, video
from regrow.data import scenes, texts
from regrow.data.spec import Images
from regrow.report.sequences import SPECTROGRAM, spectrogram
from regrow.study.recipe import json_schema

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SEVERITIES = (1, 2, 3, 4, 5)
#: Side in pixels of the pictures that are corrupted, and of what is shown of them.
SIDE, SHOWN = 224, 112
#: Characters of a default that still fit into a table.
LONGEST = 40
#: Frames of the clip of the gallery; the strongest blur over time takes 22.
FRAMES = 32
#: What is corrupted to show corruptions of texts.
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody at the station was surprised."


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder; what is there is replaced")
    make(parser.parse_args(arguments).out)


def make(out: Path, *, quick: bool = False) -> None:
    """Make the folder.

    Args:
        out: where to; what is there is replaced.
        quick: leave the notebooks without what they print, and draw one severity: to try links and looks.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(
        DOCS,
        out,
        ignore=shutil.ignore_patterns("__pycache__", "make_site.py", "check_site.py", "docstrings.py", "*.ipynb"),
    )
    # its links are those of the root; of the site docs/ is the root
    (out / "changelog.md").write_text((ROOT / "CHANGELOG.md").read_text().replace("](docs/", "]("))
    (out / "reference" / "cli.md").write_text(commands())
    (out / "reference" / "recipe.md").write_text(recipe_keys(json_schema()))
    work = out.parent / "notebooks"
    shutil.rmtree(work, ignore_errors=True)
    for notebook in sorted((DOCS / "notebooks").glob("*.ipynb")):
        write_notebook(notebook, out / "notebooks", None if quick else work / notebook.stem)
    fill(out / "gallery.md", "corruptions", gallery(out / "gallery", SEVERITIES[-1:] if quick else SEVERITIES))
    fill(out / "reports.md", "reports", reports(out / "reports", work))


def fill(page: Path, name: str, content: str) -> None:
    """Put what was made into its place on a page."""
    pattern = rf"<!-- made:{name} -->.*?<!-- /made -->"
    text, places = re.subn(pattern, lambda _: content, page.read_text(), flags=re.S)
    assert places == 1, f"{page} has no place for {name}"
    page.write_text(text)


def commands() -> str:
    """All commands with their options, as Markdown."""
    line = [
        sys.executable,
        "-m",
        "typer",
        "regrow.cli.app",
        "utils",
        "docs",
        "--name",
        "regrow",
        "--title",
        "Command line",
    ]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def recipe_keys(schema: Mapping[str, Any]) -> str:
    """All keys of a recipe with their defaults, as Markdown, from its JSON schema."""
    parts = [
        "# Keys of a recipe",
        "A recipe is YAML; an unknown key is refused with the nearest known. `regrow study RECIPE --dry-run --json` "
        "prints a recipe with every default filled in; `src/regrow/recipes/schema.json` is the same for editors.",
    ]
    for name, part in {"Recipe": schema, **schema["$defs"]}.items():
        parts += [f"## {name}", part.get("description", "")]
        parts += ["| key | of type | default | meaning |\n| --- | --- | --- | --- |"] if part.get("properties") else []
        required = part.get("required", ())
        for key, about in part.get("properties", {}).items():
            default = json.dumps(about["default"]) if "default" in about else "needed" if key in required else ""
            shown = f"`{default}`" if "default" in about and len(default) <= LONGEST else default * (key in required)
            meaning = about.get("description", "").replace("|", "\\|")
            parts[-1] += f"\n| `{key}` | {type_words(about)} | {shown} | {meaning} |"
    return "\n\n".join(filter(None, parts)) + "\n"


def type_words(about: Mapping[str, Any]) -> str:
    """What a value of a key may be, in words; records of their own are linked."""
    if "$ref" in about:
        name = about["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in about or "const" in about:
        return ", ".join(f"`{value}`" for value in about.get("enum", [about.get("const")]))
    either = about.get("anyOf") or about.get("oneOf") or about.get("allOf")
    if either:
        return " or ".join(dict.fromkeys(type_words(one) for one in either))
    if about.get("type") == "array":
        return f"list of {type_words(about['items'])}" if about.get("items") else "list"
    names = {"integer": "whole number", "string": "text", "boolean": "true or false", "object": "mapping"}
    kind = str(about.get("type", "anything"))
    return names.get(kind, kind)


def write_notebook(path: Path, out: Path, work: Path | None) -> None:
    """A notebook as a page, run in a folder of its own if one is given; the notebook itself lies beside it."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    if work is not None:
        run(notebook, work)
    exporter: Any = nbconvert.MarkdownExporter  # which has no types
    text, found = exporter().from_notebook_node(notebook, {"output_files_dir": f"{path.stem}_files"})
    text = text.replace(".ipynb)", ".md)")
    assert "\x1b" not in text, f"{path.name}: what was printed holds codes of a terminal"
    heading, _, rest = text.lstrip().partition("\n")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, out / path.name)
    (out / f"{path.stem}.md").write_text(f"{heading}\n\n[This page as a notebook]({path.name})\n{rest}")
    for name, content in found["outputs"].items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run all cells of a notebook in a folder, which is made; ``regrow`` is the one of this Python.

    Commands are told that nobody watches: bars that move would be a page of thousands of lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        coalesce_streams=True,  # else lines stand apart by the moments at which they happened to come
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, "PATH": path, "COLUMNS": "110", "TTY_COMPATIBLE": "0"})


def picture(side: int = SIDE) -> Images:
    """A drawn picture with large and small things, smooth and rough ones; uint8 (side, side, 3)."""
    n = 4 * side  # drawn large and shrunk, for soft edges
    y = np.linspace(0, 1, n)[:, None, None]
    sky = (1 - y) * np.array([70, 120, 200]) + y * np.array([250, 225, 190])
    canvas = Image.fromarray(np.broadcast_to(sky, (n, n, 3)).astype(np.uint8))
    pen = ImageDraw.Draw(canvas)

    def at(*points: float) -> list[int]:
        return [round(p * n) for p in points]

    pen.ellipse(at(0.66, 0.08, 0.82, 0.24), "#ffe9a0")
    pen.polygon(at(0.0, 0.62, 0.22, 0.30, 0.38, 0.50, 0.52, 0.36, 0.80, 0.62), "#7d8ba3")
    pen.polygon(at(0.16, 0.386, 0.22, 0.30, 0.28, 0.375, 0.24, 0.40, 0.20, 0.375), "#f4f6fa")
    pen.rectangle(at(0.0, 0.60, 1.0, 1.0), "#6f9a4c")
    pen.rectangle(at(0.34, 0.42, 0.62, 0.70), "#c8553d")
    pen.polygon(at(0.30, 0.43, 0.48, 0.27, 0.66, 0.43), "#5b3a34")
    for left in (0.385, 0.515):
        pen.rectangle(at(left, 0.47, left + 0.06, 0.53), "#ffe27a", "#402a26", n // 150)
        pen.line(at(left + 0.03, 0.47, left + 0.03, 0.53), "#402a26", n // 200)
    pen.rectangle(at(0.45, 0.58, 0.51, 0.70), "#33485e")
    pen.rectangle(at(0.72, 0.50, 0.745, 0.70), "#5d4632")
    pen.ellipse(at(0.64, 0.30, 0.83, 0.55), "#2f6b3a")
    for k in range(26):
        pen.rectangle(at(k / 26, 0.70, k / 26 + 0.018, 0.80), "#f1ede2")
    pen.rectangle(at(0.0, 0.725, 1.0, 0.738), "#f1ede2")
    shrunk = np.asarray(canvas.resize((side, side), Image.Resampling.LANCZOS), np.float32)
    white = np.random.Generator(np.random.Philox(0)).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    rough = np.where(np.arange(side)[:, None, None] > 0.6 * side, 14, 3)  # grass is rougher than sky
    drawn: Images = np.clip(shrunk + rough * scenes.fractal(white)[0], 0, 255).astype(np.uint8)
    return drawn


def middles(images: Sequence[Images], path: Path) -> None:
    """Write the middles of some pictures side by side."""
    cut = slice((SIDE - SHOWN) // 2, (SIDE + SHOWN) // 2)
    beside([image[cut, cut] for image in images], path)


def beside(pictures: Sequence[Images], path: Path) -> None:
    """Write pictures of one height side by side, a white line between them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = np.full((len(pictures[0]), 2, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (line, picture)]
    Image.fromarray(np.concatenate(parts[1:], 1)).save(path, quality=85)


def gallery(out: Path, severities: Sequence[int] = SEVERITIES) -> str:
    """Draw every corruption; what the page says of them, as Markdown."""
    clean, parts = picture(), []
    sets = {"c": "ImageNet-C", "c-bar": "ImageNet-C-bar and CIFAR-10-C-bar", "3dcc": "ImageNet-3DCC"}
    for benchmark in sorted(corruptions.benchmarks(), key=[*sets].index):
        parts.append(f"## {sets[benchmark]}")
        for name in corruptions.names(benchmark):
            record, notes = corruptions.get(name), corruptions.provenance(name, SIDE)
            made = [corruptions.corrupt_set(clean[None], name, severity)[0] for severity in severities]
            middles([clean, *made], out / f"{name}.webp")
            about = f"{record.family}{', one of the four extra types' if record.extra else ''}; {record.source}"
            parts.append(entry(name, f"{name}.webp", about, notes, severities))
    frames = np.stack([np.roll(clean, 3 * t, 1) for t in range(FRAMES)])
    clip = Clip(frames, Fraction(25))
    parts.append("## Clips, with the settings of Mini Kinetics-C\n\nOf each clip the frame in the middle.")
    for name in video.names("kinetics"):
        made = [middle(video.corrupt_clip(clip, name, severity).frames) for severity in severities]
        middles([middle(frames), *made], out / f"clip-{name}.webp")
        of_clips, notes = video.get(name, "kinetics"), video.provenance(name, SIDE)
        parts.append(
            entry(name, f"clip-{name}.webp", f"{of_clips.family}; {of_clips.source}", notes, severities, " of clips")
        )
    return "\n\n".join([*parts, *of_texts(severities), *of_sounds(out, severities)])


def of_texts(severities: Sequence[int]) -> Iterator[str]:
    """What every corruption of texts makes of one sentence, as Markdown."""
    row = texts.encode([SENTENCE], 2 * len(SENTENCE))
    yield f"## Texts\n\nClean: {SENTENCE}"
    for name in text.names():
        record = text.get(name)
        shares = ", ".join(f"{100 * rate:g}" for rate in record.rates)
        said = f"{record.family}; {record.source}. Strikes {record.strikes}: {shares} % of them."
        made = ((severity, texts.decode(text.corrupt(row, name, severity)[0])) for severity in severities)
        lines = [f"| {severity} | <code>{html.escape(found)}</code> |" for severity, found in made]
        yield "\n".join([f"### {name} of texts\n\n{said}\n\n| severity | text |\n| --- | --- |", *lines])


def of_sounds(out: Path, severities: Sequence[int]) -> Iterator[str]:
    """Draw the spectrum of a generated sound under every corruption of sounds; what the page says, as Markdown."""
    clean = data.load_images("tones", "test", n=1).images.astype(np.int16)
    yield f"## Sounds\n\nA generated sound as a spectrogram: {SPECTROGRAM}"
    for name in audio.names():
        record = audio.get(name)
        made = [clean, *(audio.corrupt(clean, name, severity) for severity in severities)]
        beside([spectrogram(sound[0]).repeat(2, 0) for sound in made], out / f"sound-{name}.webp")
        about = f"{record.family}; {record.source}. Settings: {record.words}"
        yield entry(name, f"sound-{name}.webp", about, {}, severities, " of sounds")


def sentence(words: str) -> str:
    """Words as a sentence."""
    return f"{words[0].upper()}{words[1:].removesuffix('.')}."


def middle(frames: Images) -> Images:
    """The frame in the middle."""
    shown: Images = frames[len(frames) // 2]
    return shown


def entry(name: str, file: str, about: str, notes: Mapping[str, str], severities: Sequence[int], of: str = "") -> str:
    """One corruption on the page."""
    said = f"{about}. {' '.join(map(sentence, notes.values()))}".rstrip()
    shown = ", ".join(str(severity) for severity in severities)
    return f"### {name}{of}\n\n{said}\n\n![{name}{of}: clean, then severity {shown}](gallery/{file}){{ width=100% }}"


def reports(out: Path, work: Path) -> str:
    """Collect the pages of published studies and of the notebooks; links to them, as Markdown."""
    rows = []
    for page, title in found_reports(work):
        name = f"{page.parent.name}.html"
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, out / name)
        rows.append(f"- [{title}](reports/{name})")
    return "\n".join(rows)


def found_reports(work: Path) -> Iterator[tuple[Path, str]]:
    """Pages, and what they are called."""
    for page in [*sorted((ROOT / "results").glob("*/report.html")), *sorted(work.glob("**/report.html"))]:
        title = re.search(r"<title>(.*?)</title>", page.read_text(), re.S)
        where = "published in results/" if page.is_relative_to(ROOT / "results") else "made by a notebook of this site"
        yield page, f"{title[1].strip() if title else page.parent.name} ({where})"


if __name__ == "__main__":
    main()
