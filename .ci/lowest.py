"""Print the lowest version of every package that pyproject.toml allows, as lines ``NAME==VERSION`` for ``pip -c``.

Of the dependencies and of the extras; tools of development stay as constraints.txt has them.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path


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


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in dict.fromkeys(lowest(Path("pyproject.toml").read_text())))
