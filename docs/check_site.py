"""Does every link of the built site lead somewhere, is nothing loaded from outside, is no folder of ours named?

``python docs/check_site.py site`` prints what is wrong and ends with exit code 1 if anything is. Nothing is fetched.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Attributes by which a page loads a file, by tag; ``link`` is told apart by its ``rel``.
LOADS = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
#: ``rel`` of links that say something and load nothing.
SAYS = {"canonical", "prev", "next", "alternate", "edit", "me", "author", "license"}


class Page(HTMLParser):
    """The ids of a page, and what it links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag says."""
        found = {key: value or "" for key, value in attrs}
        self.ids |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and "href" in found and not SAYS & set(found.get("rel", "").split()):
            self.loads.append(found["href"])
        elif tag in LOADS and LOADS[tag] in found:
            self.loads.append(found[LOADS[tag]])

    handle_startendtag = handle_starttag


def problems(site: Path) -> list[str]:
    """What is wrong with a built site, one line each: ``PAGE: TARGET: why``."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        for target in dict.fromkeys([*page.links, *page.loads]):
            wrong = _wrong(site.resolve(), path, target, pages, loads=target in page.loads)
            found += [f"{where}: {target}: {wrong}"] if wrong else []
    return found


def _wrong(site: Path, path: Path, target: str, pages: dict[Path, Page], *, loads: bool) -> str:
    parts = urlsplit(target)
    if parts.scheme in ("data", "javascript", "blob", "mailto"):
        return ""
    if parts.scheme or parts.netloc:
        return "is loaded from outside" if loads else ""
    name = unquote(parts.path)
    file = path if not name else (site / name.lstrip("/") if name.startswith("/") else path.parent / name).resolve()
    file = file / "index.html" if file.is_dir() else file
    if not file.is_relative_to(site):
        return "leaves the site"
    if not file.is_file():
        return "no such file"
    fragment = unquote(parts.fragment)
    if fragment and file in pages and fragment not in pages[file].ids:
        return "no such place on the page"
    return ""


def named(site: Path, folders: Iterable[Path]) -> list[str]:
    """Files of a built site that name a folder of the machine that built it, one line each."""
    whole = re.compile("|".join(rf"(?<![\w./]){re.escape(str(folder))}(?![\w-])" for folder in folders))
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".js", ".json", ".svg", ".xml"):
            match = whole.search(path.read_text(encoding="utf-8"))
            found += [f"{path.relative_to(site)}: {match[0]}: a folder of this machine"] if match else []
    return found


def main() -> None:
    """Print what is wrong."""
    site = Path(sys.argv[1])
    found = [*problems(site), *named(site, (Path.cwd(), Path.home()))]
    print("\n".join(found) or f"{site}: all links lead somewhere, nothing is loaded from outside, no folder is named")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
