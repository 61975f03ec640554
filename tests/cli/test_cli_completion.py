"""Completion in the shell: the scripts are printed, a real bash completes with them, and no torch is loaded for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from regrow import corruptions, data
from regrow.study import recipe as recipes

SHELLS = ["bash", "zsh", "fish"]
START = "import sys; sys.argv[0] = 'regrow'; from regrow.cli import main; "
#: What must not be loaded before the answer.
HEAVY = ["torch", "altair", "lightning_fabric", "timm"]


def start(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-c", START + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def completed(line: str) -> list[str]:
    """What a user gets who presses the tabulator at the end of a line."""
    words = line.split(" ")
    code = f"import atexit; atexit.register(lambda: print('LOADED', *[m for m in {HEAVY} if m in sys.modules])); main()"
    done = start(code, _REGROW_COMPLETE="complete_bash", COMP_WORDS="\n".join(words), COMP_CWORD=str(len(words) - 1))
    assert done.returncode == 0, done.stderr
    *found, loaded = done.stdout.splitlines()
    assert loaded == "LOADED", loaded
    return found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("regrow stu", ["study"]),
        ("regrow study quick/", [name for name in recipes.names() if name.startswith("quick/")]),
        ("regrow rehearse paper/s", [name for name in recipes.names() if name.startswith("paper/s")]),
        ("regrow corrupt cifar", ["cifar10", "cifar100"]),
        ("regrow data show ", data.names()),
        ("regrow list met", ["methods"]),
        (
            "regrow evaluate cues --corruptions contrast,gaussian_",
            ["contrast,gaussian_blur", "contrast,gaussian_noise"],
        ),
        ("regrow check --corruptions ", sorted(corruptions.names(None))),
        ("regrow export --hu", ["--hub"]),
    ],
)
def test_names_complete_without_torch(line: str, expected: list[str]) -> None:
    assert completed(line) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_printed_and_installed(shell: str, tmp_path: Path) -> None:
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    shown = start("main()", "--show-completion", shell, **named)
    assert shown.returncode == 0, shown.stderr
    assert f"_REGROW_COMPLETE=complete_{shell}" in shown.stdout
    source = start("main()", _REGROW_COMPLETE=f"source_{shell}", HOME=str(tmp_path))  # as the documentation has it
    assert source.stdout.strip() == shown.stdout.strip()
    assert list(tmp_path.iterdir()) == []
    done = start("main()", "--install-completion", shell, **named)
    assert done.returncode == 0, done.stderr
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(shown.stdout.strip() in text for text in written)


#: What a shell does that completes `regrow study quick/cu` with the script, which is its first argument.
REAL = {
    "bash": """
        source $1; COMP_WORDS=(regrow study quick/cu) COMP_CWORD=2
        _regrow_completion regrow; echo "${COMPREPLY[@]}"; complete -p regrow""",
    # there are no keys to press: its own functions say what they were asked to do
    "zsh": """
        compdef() { print -r -- $@ }; _arguments() { print -r -- $@ }
        source $1; words=(regrow study quick/cu) CURRENT=3; _regrow_completion""",
    "fish": 'source $argv[1]; complete -C "regrow study quick/cu"; complete -c regrow',
}


@pytest.mark.parametrize(
    "shell", [pytest.param(s, marks=pytest.mark.skipif(not shutil.which(s), reason=f"no {s}")) for s in SHELLS]
)
def test_a_real_shell_completes(shell: str, tmp_path: Path) -> None:
    command, script, steps = tmp_path / "regrow", tmp_path / "script", tmp_path / "steps"
    command.write_text(f"#!{sys.executable}\n{START}main()\n")
    command.chmod(0o755)
    script.write_text(start("main()", _REGROW_COMPLETE=f"source_{shell}").stdout)
    steps.write_text(REAL[shell])
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    plain = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[shell]
    done = subprocess.run(
        [shell, plain, steps, script],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert "quick/cues" in done.stdout
    assert "quick/cifar10" not in done.stdout
    assert ("complete_fish" if shell == "fish" else "_regrow_completion regrow") in done.stdout  # it is registered
