"""Ask for known faults of the packages that constraints.txt pins; what came of it is said in one line, and never fails.

Where the database does not answer, pip-audit leaves a package out and says that it knows of no fault: here those are
counted, so that silence is not taken for good news.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

TOLD = [sys.executable, "-m", "pip_audit", "-r", "constraints.txt", "--disable-pip", "--no-deps", "--format", "json"]


def summary(report: dict[str, Any]) -> list[str]:
    """Lines for people of a report of ``pip-audit --format json``: a line for each fault, then what was asked."""
    packages = report["dependencies"]
    lines = [
        f"{one['name']} {one['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'no release'}"
        for one in packages
        for fault in one.get("vulns", [])
    ]
    asked = [one for one in packages if "skip_reason" not in one]
    if not asked:
        return ["audit: not done, the database of faults could not be reached"]
    line = f"audit: {len(lines)} known faults in {len(asked)} packages"
    unknown = len(packages) - len(asked)
    return [*lines, line + (f"; {unknown} more are not in the database" if unknown else "")]


def main() -> None:
    """Print what is known."""
    done = subprocess.run([*TOLD, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        words = done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode}"]
        print(f"audit: not done, {words[-1]}")
        return
    print(*summary(report), sep="\n")


if __name__ == "__main__":
    main()
