"""A study that was really run: judged from its store and from its summaries, whole, damaged and mixed up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from regrow import files
from regrow.errors import InputError
from regrow.evaluation.records import load_record
from regrow.study.load import load_study
from regrow.study.store import Store
from regrow.study.summaries import write_summaries
from regrow.verdict import judge
from regrow.verdict.write import write_verdict

pytestmark = pytest.mark.system


def published(folder: Path) -> Path:
    store, out = Store(folder), folder.parent / "published"
    write_summaries(load_study(folder), store.load(), out, store)
    return out


def accuracy(folder: Path, run: str, cell: str) -> float:
    record, _ = load_record(folder / "runs" / run / "records" / f"cues.{cell}.npz")
    return 100 * float(record.correct.mean())


def test_the_verdict_is_that_of_the_records(whole: Path) -> None:
    """C1 and C2 written out from the records; three seeds: shown, and not judged."""
    from regrow import corruptions

    found = judge(load_study(whole))
    assert found.problems == []
    by_id = {claim.id: claim for claim in found.claims}
    assert list(by_id) == ["C1", "C2", "C3", "C4", "C5a", "C5b", "C6", "C7"]
    assert all(claim.registered for claim in found.claims)
    cells = [f"{name}.{severity}" for name in corruptions.common_names() for severity in (1, 2, 3, 4, 5)]
    for claim, wanted in (("C1", cells), ("C2", ["clean.0"])):
        (arm,) = by_id[claim].arms
        (one,) = arm.comparisons
        differences = [
            np.mean([accuracy(whole, f"set-s0.5-seed{k}", c) - accuracy(whole, f"dense-s0-seed{k}", c) for c in wanted])
            for k in range(3)
        ]
        assert list(one.by_seed) == pytest.approx(differences)
        if np.std(differences) > 1e-9:
            assert [one.low, one.high] == pytest.approx([*stats.ttest_1samp(differences, 0).confidence_interval()])
        assert arm.value == "inconclusive"
    assert by_id["C1"].arms[0].comparisons[0].crossed.n == 16


def test_masks_curves_and_heat_maps_reach_the_verdict(whole: Path) -> None:
    by_id = {claim.id: claim for claim in judge(load_study(whole)).claims}
    concentration = by_id["C4"].arms[0]
    spatial = [files.read_json(whole / "runs" / f"set-s0.5-seed{k}" / "analysis" / "spatial.json") for k in range(3)]
    static = [files.read_json(whole / "runs" / f"static-s0.5-seed{k}" / "analysis" / "spatial.json") for k in range(3)]
    assert concentration.comparisons[0].n == 3
    assert list(concentration.comparisons[0].by_seed) == pytest.approx(
        [a["concentration"]["output"] - b["concentration"]["output"] for a, b in zip(spatial, static, strict=True)]
    )
    assert concentration.not_run == ("magnitude pruning after dense training",)
    (z,) = [found for found in by_id["C4"].evidence if found.name == "z against random masks"]
    rows = [row for one in spatial for row in one["network"] if (row["of"], row["by"]) == ("count", "output")]
    assert z.numbers["z"] == pytest.approx(np.mean([row["z"] for row in rows]))
    names = {found.name for found in by_id["C5a"].evidence}
    assert {"heat map, high frequencies", "input gradient"} <= names
    assert len(by_id["C5a"].arms[0].comparisons) == 2
    assert by_id["C3"].arms[0].comparisons[0].n == 3


def test_summaries_give_the_verdict_of_the_store(whole: Path) -> None:
    assert judge(load_study(published(whole))).as_json() == judge(load_study(whole)).as_json()


def test_summaries_without_what_was_evaluated_are_refused(whole: Path) -> None:
    folder = published(whole)
    (folder / "study.json").unlink()
    with pytest.raises(InputError, match=r"without study\.json"):
        load_study(folder)


def test_the_file_holds_the_whole_verdict(whole: Path) -> None:
    found = write_verdict(whole)
    stored = files.read_json(whole / "verdict.json")
    assert stored == json.loads(json.dumps(found.as_json())) == found.as_json()
    assert stored["schema"] == 1
    assert stored["registration"] == Store(whole).registration()["digest"]
    assert [claim["id"] for claim in stored["claims"]] == [claim.id for claim in found.claims]
    one = stored["claims"][0]["arms"][0]["comparisons"][0]
    assert {"by_seed", "low", "high", "p", "p_holm", "low_90", "welch", "crossed", "p_sign_flip", "value"} <= one.keys()
    write_verdict(whole)
    assert files.read_json(whole / "verdict.json") == stored


def test_runs_know_what_they_were_begun_under(whole: Path) -> None:
    digest = Store(whole).registration()["digest"]
    assert {run.registration for run in load_study(whole).runs} == {digest}
    files.write_json(
        whole / "runs" / "set-s0.5-seed1" / "run.json",
        {**files.read_json(whole / "runs" / "set-s0.5-seed1" / "run.json"), "registration": "0" * 64},
    )
    found = judge(load_study(whole))
    assert "set-s0.5-seed1" in found.problems[0]
    assert not any(claim.registered for claim in found.claims)


def corrupt(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def said_of(folder: Path) -> tuple[str, dict[str, tuple[int, ...]]]:
    """All problems as one text, and the seeds that C1 still rests on (where it rests on any)."""
    found = judge(load_study(folder))
    rests = {c.id: c.arms[0].comparisons[0].seeds for c in found.claims if c.arms and c.arms[0].comparisons}
    return " ".join(found.problems), rests


def test_a_damaged_record_is_named_and_its_mean_left_out(whole: Path) -> None:
    corrupt(whole / "runs" / "set-s0.5-seed1" / "records" / "cues.fog.3.npz")
    for folder in (whole, published(whole)):
        said, rests = said_of(folder)
        assert "set-s0.5-seed1: " in said
        assert "cues.fog.3.npz cannot be read" in said
        assert "set-s0.5-seed1 (75 of 76)" in said
        assert rests["C1"] == (0, 2)
        assert rests["C2"] == (0, 1, 2)


def test_a_record_of_another_checkpoint_is_named_and_left_out(whole: Path) -> None:
    """All of seed 2 was overwritten by a copy of another run's weights."""
    runs = whole / "runs"
    shutil.copy(runs / "static-s0.5-seed2" / "model.safetensors", runs / "set-s0.5-seed2" / "model.safetensors")
    said, rests = said_of(whole)
    assert "cues.clean.0.npz was made from another checkpoint" in said
    assert "its analyses were made from another checkpoint" in said
    assert rests["C1"] == rests["C2"] == rests["C4"] == (0, 1)


def test_a_record_of_other_images_is_named_and_left_out(whole: Path) -> None:
    records = whole / "runs" / "dense-s0-seed0" / "records"
    shutil.copy(records / "cues.fog.1.npz", records / "cues.fog.2.npz")
    said, rests = said_of(whole)
    assert "dense-s0-seed0: record cues.fog.2.npz was made from other test images" in said
    assert rests["C1"] == (1, 2)


@pytest.mark.parametrize(
    ("name", "content"),
    [("result.json", b'{"updates": 2'), ("plan.json", b"\xff\xfe"), ("state.json", b"[]"), ("run.json", b"[]")],
)
def test_a_run_whose_files_cannot_be_read_counts_as_missing(whole: Path, name: str, content: bytes) -> None:
    path = whole / "runs" / "set-s0.5-seed0" / name
    path.write_bytes(content)
    said, rests = said_of(whole)
    assert "1 run of 9 damaged: set-s0.5-seed0. They count as missing." in said
    assert f"set-s0.5-seed0: {path}" in said
    assert rests["C1"] == (1, 2)


@pytest.mark.parametrize(
    ("name", "claim"), [("spatial.json", "C4"), ("radius_curves.json", "C5a"), ("made_from.json", "C4")]
)
def test_an_analysis_that_cannot_be_read_is_missing_alone(whole: Path, name: str, claim: str) -> None:
    (whole / "runs" / "set-s0.5-seed0" / "analysis" / name).write_text("{")
    said, rests = said_of(whole)
    assert f"analysis/{name} is not readable as JSON" in said
    assert rests[claim] == (1, 2)
    assert rests["C1"] == (0, 1, 2)


def test_kernel_maps_that_cannot_be_read_are_named(whole: Path) -> None:
    corrupt(whole / "runs" / "set-s0.5-seed0" / "analysis" / "kernels.npz")
    assert "kernels.npz cannot be read" in said_of(whole)[0]


def test_analyses_of_the_study_that_cannot_be_read_are_named(whole: Path) -> None:
    (whole / "analysis" / "corruption_spectra.json").write_text("{")
    assert "corruption_spectra.json is not readable as JSON" in said_of(whole)[0]


def test_weights_that_are_gone_leave_nothing_to_go_by(whole: Path) -> None:
    (whole / "runs" / "set-s0.5-seed0" / "model.safetensors").unlink()
    said, rests = said_of(whole)
    assert "set-s0.5-seed0: model.safetensors is not there" in said
    assert rests["C1"] == rests["C4"] == (1, 2)


def test_a_study_that_was_only_planned_is_judged_without_an_error(whole: Path) -> None:
    for run in (whole / "runs").iterdir():
        shutil.rmtree(run)
    found = judge(load_study(whole))
    assert "9 runs of 9 not started" in " ".join(found.problems)
    assert {claim.value for claim in found.claims} == {"not testable"}


def test_an_unfinished_study_says_what_is_missing(whole: Path) -> None:
    states = {"set-s0.5-seed0": "running", "set-s0.5-seed1": "failed", "static-s0.5-seed2": "planned"}
    for name, state in states.items():
        files.write_json(whole / "runs" / name / "state.json", {"state": state, "reason": "", "attempts": 1})
    said, rests = said_of(whole)
    assert "1 run of 9 failed: set-s0.5-seed1." in said
    assert "1 run of 9 not finished: set-s0.5-seed0." in said
    assert "1 run of 9 not started: static-s0.5-seed2." in said
    assert "Arms without all seeds:" in said
    assert "set 0.5 (1 of 3)" in said
    assert "static 0.5 (2 of 3)" in said
    assert rests["C1"] == (2,)
