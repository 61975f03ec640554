"""``regrow verdict``: what it prints and writes, and one line with exit code 2 for what cannot be judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from regrow import files
from regrow.cli import run
from regrow.verdict.simulated import SimulatedStudy, recipe_of

CLAIM = {"title": "Clean accuracy rises", "metrics": [{"of": ["clean"]}], "groups": ["a"], "margin": 0.1}


@pytest.fixture
def study(tmp_path: Path) -> SimulatedStudy:
    """An arm that gains two points, beside a static control that was run and one that was not."""
    claim = {"controls": ["static", "narrow"], "material": 0.5}
    made = SimulatedStudy(tmp_path / "study", recipe_of(["a"], 5, claim, ["still"], tier="T0c"))
    rng = np.random.default_rng(0)
    dense = 60 + rng.normal(size=5)
    made.fill({"dense": dense, "a": dense + 2 + 0.1 * rng.normal(size=5), "still": dense + 0.1 * rng.normal(size=5)})
    return made


@pytest.fixture
def mine(tmp_path: Path):
    """Write a file of claims."""

    def write(*claims: object, name: str = "mine.yaml") -> str:
        (tmp_path / name).write_text(yaml.safe_dump(list(claims)))
        return str(tmp_path / name)

    return write


def test_it_prints_every_claim_with_its_numbers_and_writes_them(study, capsys) -> None:
    assert run(["verdict", str(study.folder)]) == 0
    text = capsys.readouterr().out
    stored = files.read_json(study.folder / "verdict.json")
    (claim,) = stored["claims"]
    one = claim["arms"][0]["comparisons"][0]
    assert "gain  Gain over dense: supported (of this study only); 1 of 1 method supported" in text
    assert "supported, material, cause not separated:" in text
    assert f"{one['mean']:+.2f} points" in text
    assert "5 paired seeds" in text
    assert "Not run: a narrower dense network of equal weights." in text
    assert stored["registration"][:12] in text
    assert "Controls run: a static random mask of equal layer densities." in text
    assert str(study.folder / "verdict.json") in text
    assert "\n! " not in text


def test_json_is_what_the_file_holds(study, capsys) -> None:
    assert run(["verdict", str(study.folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == files.read_json(study.folder / "verdict.json")
    assert printed["schema"] == 1


def test_problems_come_before_any_number(study, capsys) -> None:
    (study.folder / "runs" / "a-s0.5-seed2.json").write_text("{")
    assert run(["verdict", str(study.folder)]) == 0
    text = capsys.readouterr().out
    assert text.index("! 1 run of 15 damaged: a-s0.5-seed2.") < text.index("Gain over dense")


def test_claims_of_one_s_own_are_exploratory_unless_registered(study, mine, capsys, tmp_path) -> None:
    assert run(["verdict", str(study.folder), "--claims", mine({"id": "mine", **CLAIM})]) == 0
    text = capsys.readouterr().out
    assert "mine  Clean accuracy rises: inconclusive (of this study only) (exploratory)" in text
    assert "by its numbers supported" in text
    registered = SimulatedStudy(tmp_path / "own", recipe_of(["a"], 5, {}, claims=[{"id": "mine", **CLAIM}]))
    rng = np.random.default_rng(1)
    dense = 60 + rng.normal(size=5)
    registered.fill({"dense": dense, "a": dense + 2 + 0.1 * rng.normal(size=5)})
    assert run(["verdict", str(registered.folder)]) == 0
    assert "mine  Clean accuracy rises: supported; 1 of 1 method supported" in capsys.readouterr().out


def test_several_files_of_claims_are_judged_together(study, mine, capsys) -> None:
    first = mine({"id": "one", **CLAIM}, name="one.yaml")
    second = mine({"id": "two", **CLAIM}, "C2", name="two.yaml")
    assert run(["verdict", str(study.folder), "--claims", first, "--claims", second, "--json"]) == 0
    assert [claim["id"] for claim in json.loads(capsys.readouterr().out)["claims"]] == ["gain", "one", "two", "C2"]


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ("C9", "unknown claim 'C9'"),
        ({"id": "x", **CLAIM, "colour": "red"}, "unknown key 'colour'"),
        ({"id": "x", **CLAIM, "groups": ["rigel"]}, "unknown arm 'rigel'"),
        ({"id": "x", **CLAIM, "against": ["nobody"]}, "unknown arm 'nobody'"),
        ({"id": "x", **CLAIM, "controls": ["wizard"]}, "controls"),
        ({"id": "x", **CLAIM, "metrics": [{"of": ["foggy"]}]}, "unknown corruption 'foggy'. Did you mean 'fog'?"),
        ({"id": "x", **CLAIM, "direction": "up"}, "direction"),
        ({"id": "gain", **CLAIM}, "the claim gain is there twice"),
        ({"title": "no id"}, "'id' is missing"),
        (None, "None is no claim"),
    ],
)
def test_a_wrong_claim_is_one_line_and_exit_code_two(study, mine, capsys, claim, says: str) -> None:
    assert run(["verdict", str(study.folder), "--claims", mine(claim)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert says in captured.err
    assert "Next:" in captured.err
    assert not (study.folder / "verdict.json").exists()


@pytest.mark.parametrize("what", ["nothing", "empty", "no study", "claims", "yaml", "registration"])
def test_what_cannot_be_read_is_one_line_and_exit_code_two(study, tmp_path, capsys, what: str) -> None:
    folder, more = study.folder, []
    if what == "nothing":
        folder = tmp_path / "none"
    elif what == "empty":
        folder = tmp_path / "empty"
        folder.mkdir()
    elif what == "no study":
        (folder / "study.yaml").unlink()
    elif what == "claims":
        more = ["--claims", str(tmp_path / "none.yaml")]
    elif what == "yaml":
        (folder / "study.yaml").write_text("recipe: [")
    else:
        content = yaml.safe_load((folder / "study.yaml").read_text())
        del content["registration"]["claims"]
        (folder / "study.yaml").write_text(yaml.safe_dump(content))
    assert run(["verdict", str(folder), *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_a_study_of_before_there_were_claims_is_exploratory(study, capsys) -> None:
    content = yaml.safe_load((study.folder / "study.yaml").read_text())
    del content["registration"]
    (study.folder / "study.yaml").write_text(yaml.safe_dump(content))
    assert run(["verdict", str(study.folder)]) == 0
    text = capsys.readouterr().out
    assert "! The claims were not registered before the first run: nothing counts as supported." in text
    assert "(exploratory)" in text
    assert "Registered" not in text
