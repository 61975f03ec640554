"""Print the lowest version of every package that pyproject.toml allows, as lines ``NAME==VERSION`` for ``pip -c``.

Of the dependencies and of the extras. The tools of a test run stay as constraints.txt has them, but not what they need
themselves: pip finds versions of it that go with the lowest ones.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

TOOLS = ("pytest", "pytest-xdist", "pytest-timeout", "hypothesis")


def lowest(pyproject: str) -> Iterator[str]:
    """The lines for a pyproject.toml; a requirement without a floor is an error."""
    project = tomllib.loads(pyproject)["project"]
    extras = project.get("optional-dependencies", {})
    for requirement in [*project["dependencies"], *(one for group in extras.values() for one in group)]:
        if requirement.startswith(f"{project['name']}["):
            continue  # an extra of extras
        found = re.fullmatch(r"([\w.-]+)>=([\d.]+)", requirement)
        if found is None:
            raise SystemExit(f"{requirement!r} is not of the form NAME>=VERSION")
        yield f"{found[1]}=={found[2]}"


def tools(constraints: str) -> Iterator[str]:
    """The lines of a constraints.txt that pin the tools."""
    return (line for line in constraints.splitlines() if line.partition("==")[0] in TOOLS)


if __name__ == "__main__":
    lines = [*lowest(Path("pyproject.toml").read_text()), *tools(Path("constraints.txt").read_text())]
    sys.stdout.writelines(f"{line}\n" for line in dict.fromkeys(lines))
