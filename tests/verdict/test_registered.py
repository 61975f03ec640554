"""What counts: registered before the first run, untouched since, of a tier, after updates enough."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from regrow import files
from regrow.errors import DataError
from regrow.study.claims import ClaimSettings, paper_claims
from regrow.study.load import load_study
from regrow.verdict import judge

GOOD = {"a": (2.0, 0.2)}


@pytest.fixture
def rewrite():
    """Change a study's study.yaml by a function of its values."""

    def change(study, how) -> None:
        content = yaml.safe_load((study.folder / "study.yaml").read_text())
        how(content)
        (study.folder / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    return change


def test_a_registered_claim_says_so(filled, verdict) -> None:
    found = verdict(filled(GOOD))
    (claim,) = found.claims
    assert (claim.value, claim.registered) == ("supported", True)
    assert len(found.registration) == 64
    assert found.registered_at == "simulated"
    assert list(found.problems) == []


def test_without_a_registration_nothing_is_supported(filled, verdict, rewrite) -> None:
    study = filled({**GOOD, "b": (-2.0, 0.2)})
    rewrite(study, lambda content: content.pop("registration"))
    found = verdict(study)
    (claim,) = found.claims
    assert not claim.registered
    assert [arm.value for arm in claim.arms] == ["inconclusive", "refuted"]
    assert "exploratory: not registered before the first run" in claim.arms[0].reason
    assert (claim.arms[0].size, claim.arms[0].cause) == ("", "")
    assert "registers the claim before its first run" in claim.settle
    assert (found.registration, found.registered_at) == ("", "")
    assert found.problems[0] == "The claims were not registered before the first run: nothing counts as supported."


@pytest.mark.parametrize(
    "how",
    [
        lambda r: r["claims"][0].update(margin=0.1),
        lambda r: r["claims"][0].update(seeds=3),
        lambda r: r["arms"].update(a="static"),
        lambda r: r["seeds"].pop(),
        lambda r: r["severities"].pop(),
        lambda r: r.update(exclusions="Those that I do not like."),
        lambda r: r.update(digest="0" * 64),
        lambda r: r.pop("digest"),
    ],
)
def test_of_an_edited_registration_nothing_is_registered(filled, verdict, rewrite, how) -> None:
    study = filled(GOOD)
    rewrite(study, lambda content: how(content["registration"]))
    found = verdict(study)
    assert not found.claims[0].registered
    assert found.claims[0].value != "supported"
    assert found.registration == ""
    assert found.problems[0].startswith("The registration was edited after it was made")


def test_an_edit_that_mends_the_digest_is_found_by_the_runs(filled, verdict, rewrite) -> None:
    """Whoever computes the digest anew cannot change what the runs were begun under."""
    study = filled(GOOD)

    def how(content) -> None:
        registration = content["registration"]
        registration["claims"][0]["seeds"] = 3
        registration["digest"] = files.value_digest({k: v for k, v in registration.items() if k != "digest"})

    rewrite(study, how)
    found = verdict(study)
    assert not found.claims[0].registered
    assert found.claims[0].value == "inconclusive"
    assert found.problems[0].startswith("Runs begun under another registration than study.yaml holds, or under none:")
    assert "dense-s0-seed0" in found.problems[0]


def test_one_run_begun_under_another_registration_is_named_and_ends_it(filled, verdict, edit) -> None:
    study = filled(GOOD)
    edit(study.folder / "runs" / "a-s0.5-seed3.json", lambda run: run.update(registration="f" * 64))
    found = verdict(study)
    assert "holds, or under none: a-s0.5-seed3. Nothing counts as supported." in found.problems[0]
    assert found.claims[0].value == "inconclusive"


@pytest.mark.parametrize(
    "how",
    [
        lambda r: r.pop("claims"),
        lambda r: r.update(claims=7),
        lambda r: r.update(claims=["C1"]),
        lambda r: r["claims"][0].update(direction="sideways"),
        lambda r: r["arms"].update(a="wizard"),
        lambda r: r.update(schema=99),
    ],
)
def test_a_registration_that_cannot_be_read_is_one_line(filled, verdict, rewrite, how) -> None:
    study = filled(GOOD)
    rewrite(study, lambda content: how(content["registration"]))
    with pytest.raises(DataError, match=r"registration in study\.yaml cannot be read .*Next: undo the edit"):
        verdict(study)


def test_further_claims_are_exploratory_beside_registered_ones(filled) -> None:
    study = filled(GOOD, tier="T0", claim={"id": "C1"})
    extra = ClaimSettings.model_validate({"id": "mine", "title": "Mine", "metrics": [{"of": ["clean"]}]})
    registered, mine = judge(load_study(study.folder), [extra]).claims
    assert (registered.value, registered.registered) == ("supported", True)
    assert (mine.value, mine.registered) == ("inconclusive", False)
    assert "by its numbers supported" in mine.arms[0].reason
    # a study of tier T0 says how far it is from the paper's claims, and nothing of the paper where a claim is another's
    assert (registered.paper, mine.paper) == ("not testable at this tier", "")
    assert ("The paper's claim" in registered.settle, "paper" in mine.settle) == (True, False)


@pytest.mark.parametrize(
    ("tier", "scope", "paper"),
    [
        ("T0", "of this study only", "not testable at this tier"),
        ("T0c", "of this study only", "not testable at this tier"),
        ("T1", "", "supported"),
        ("T3", "", "supported"),
    ],
)
def test_below_tier_one_a_study_speaks_of_itself(filled, verdict, tier, scope, paper) -> None:
    found = verdict(filled(GOOD, tier=tier, claim={"id": "C1"}))
    (claim,) = found.claims
    assert (claim.value, claim.scope, claim.paper) == ("supported", scope, paper)
    assert f"tier {tier}" in claim.arms[0].sentence
    assert found.tier_words.startswith(f"tier {tier}")
    assert ("tier T1 or longer" in claim.settle) == bool(scope)


@pytest.mark.parametrize(("updates", "value"), [(24, "supported"), (23, "not testable"), (0, "not testable")])
def test_a_dynamic_arm_needs_its_updates(made, claim_of, around, updates, value) -> None:
    study = made(claim={"updates": 24}, seeds=5)
    gains = 2 + around(0, 0.2)
    for run in study.runs:
        seed = run.settings.seeds.init
        result = {"updates": updates if run.label == "a" and seed == 4 else 48 if run.label == "a" else 0}
        study.write(run, dict.fromkeys(study.cells, 60 + (run.label == "a") * gains[seed]), result=result)
    claim = claim_of(study)
    assert claim.value == value
    assert ("24 are asked for" in claim.why_not) == (value == "not testable")


@pytest.mark.parametrize("result", [{}, {"updates": None}])
def test_updates_that_nobody_knows_are_not_enough(made, claim_of, result) -> None:
    study = made(claim={"updates": 24})
    for run in study.runs:
        study.write(run, dict.fromkeys(study.cells, 60.0 + run.settings.seeds.init), result=result)
    claim = claim_of(study)
    assert claim.value == "not testable"
    assert "is not known" in claim.why_not


def test_of_a_static_arm_no_updates_are_asked(made, claim_of, around) -> None:
    study = made(claim={"groups": ["static"], "updates": 24}, controls=["static"])
    gains = 2 + around(0, 0.2)
    for run in study.runs:
        value = 60 + (run.label == "static") * gains[run.settings.seeds.init]
        study.write(run, dict.fromkeys(study.cells, value), result={"updates": 0})
    assert claim_of(study).value == "supported"


def test_all_claims_of_the_paper_ask_for_updates_and_their_range() -> None:
    for claim in paper_claims().values():
        assert (claim.updates, claim.sparsity) == (24, (0.1, 0.5))
        assert claim.seeds == (3 if claim.id == "C4" else 5)


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ({"groups": ["pulse"]}, "the study has no arm of pulse"),
        ({"against": ["narrow"]}, "nothing to compare with: a narrower dense network of equal weights was not run"),
        ({"metrics": [{"of": ["fog"]}]}, "types fog"),
        ({"metrics": [{"of": ["gaussian_noise"], "severities": [1, 3]}]}, "severities 1"),
        ({"metrics": [{"kind": "result", "path": "no.such"}]}, "no finished run has the no such"),
        ({"metrics": [{"kind": "low_pass"}]}, "no finished run has the accuracy without high frequencies"),
        ({"metrics": [{"kind": "concentration"}]}, "no finished run has the weighted mean log D over output filters"),
    ],
)
def test_what_cannot_be_judged_says_what_is_missing(filled, claim_of, claim, why) -> None:
    found = claim_of(filled(GOOD, claim=claim))
    assert found.value == "not testable"
    assert why in found.why_not
    assert (found.arms, found.evidence, found.scope) == ((), (), "")


def test_a_number_of_the_result_or_of_an_analysis_can_be_judged(made, claim_of) -> None:
    metrics = [{"kind": "result", "path": "itop_rate"}, {"kind": "analysis", "path": "heat_map.summary.error.low.mean"}]
    study = made(claim={"metrics": metrics, "against": ["static"]}, controls=["static"])
    rng = np.random.default_rng(0)
    own = {run.name: (run.label == "a") + 0.01 * rng.normal(size=2) for run in study.runs}
    for run in study.runs:
        rate, low = own[run.name]
        analyses = {"heat_map": {"summary": {"error": {"low": {"mean": low}}}}}
        study.write(run, dict.fromkeys(study.cells, 60.0), result={"updates": 48, "itop_rate": rate}, analyses=analyses)
    claim = claim_of(study)
    assert claim.value == "supported"
    for k, one in enumerate(claim.arms[0].comparisons):
        expected = [own[f"a-s0.5-seed{s}"][k] - own[f"static-s0.5-seed{s}"][k] for s in range(5)]
        assert list(one.by_seed) == pytest.approx(expected)


def test_stand_ins_are_part_of_no_judged_mean(made, claim_of) -> None:
    """ImageNet-3DCC with pictures that only show that the path works in place of six of its types."""
    from regrow import corruptions
    from regrow.corruptions import stand_ins

    evaluation = {"corruptions": corruptions.names("3dcc"), "stand_ins": list(stand_ins.NAMES)}
    study = made(claims=["C1"], evaluation=evaluation)
    content = files.read_json(study.folder / "study.json")
    content["corruptions"] += stand_ins.NAMES
    content["families"] |= dict.fromkeys(stand_ins.NAMES, "stand-in")
    files.write_json(study.folder / "study.json", content)
    study.cells += [(name, severity) for name in stand_ins.NAMES for severity in (1, 2, 3, 4, 5)]
    study.fill({"dense": np.arange(5.0), "a": np.arange(5.0)})
    claim = claim_of(study)
    assert claim.value == "not testable"
    assert "fog_3d" in claim.why_not
    assert "iso_noise" not in claim.why_not
