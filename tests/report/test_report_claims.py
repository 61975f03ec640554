"""The verdict on the page: read first, complete, and never more than the judge said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from regrow.report import render
from regrow.report.blocks import Claim
from regrow.report.page import sections_of
from regrow.study.view import StudyView
from regrow.verdict.model import VALUES, ClaimVerdict, Verdict

Study = Callable[..., StudyView]
Maker = Callable[..., Verdict]
EVIL = "</script><img src=x onerror=alert(1)>&\"'{{7*7}}"
REGISTERED = {"claims": [{"id": "C1", "material": 0.5, "equivalence": 0.4}, {"id": "C6", "equivalence": 0.5}]}


def text_of(html: str) -> str:
    body = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", html, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def card(html: str, name: str) -> str:
    found = re.search(rf'<article class="claim" id="claim-{name}".*?</article>', html, re.S)
    assert found
    return found[0]


def specs_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="json-specs">(.*?)</script>', html, re.S)
    assert found
    return dict(json.loads(found[1]))


@pytest.fixture(scope="module")
def verdict(verdict_maker: Maker) -> Verdict:
    """A verdict with claims of every value."""
    return verdict_maker()


@pytest.fixture(scope="module")
def page(study: Study, verdict: Verdict) -> str:
    """Its page."""
    return render(study(n_seeds=5, tier="T0c", registration=REGISTERED, problems=("a file is damaged",)), verdict)


def test_problems_come_before_the_values_and_these_before_every_other_number(page: str, verdict: Verdict) -> None:
    text = text_of(page.partition("<main")[2])
    places = [text.index(t) for t in ("a file is damaged", *verdict.problems)]
    first = text.index("C1 Robust gain")
    assert max(places) < first < text.index("Of 6 claims") < text.index("runs done") < text.index("Summary by arm")


def test_each_claim_has_a_tile_with_its_value_as_a_word_and_a_shape(page: str, verdict: Verdict) -> None:
    assert {c.value for c in verdict.claims} == set(VALUES)
    tiles = re.findall(r'<li><a class="tile v-([a-z-]+)" href="#claim-([a-z0-9-]+)">(.*?)</a></li>', page, re.S)
    assert [name for _, name, _ in tiles] == [c.id.lower() for c in verdict.claims]
    shapes = {}
    for (kind, _, body), claim in zip(tiles, verdict.claims, strict=True):
        assert kind == claim.value.replace(" ", "-")
        assert claim.value in text_of(body)
        shapes[claim.value] = re.findall(r"<(?:path|circle|rect)[^>]*>", body)[0]
    assert len({json.dumps(s) for s in shapes.values()}) == len(VALUES)  # not by colour alone


def test_a_card_says_everything_that_the_judge_said(page: str, verdict: Verdict) -> None:
    for claim in verdict.claims:
        text = text_of(card(page, claim.id.lower()))
        said = [claim.title, claim.statement, claim.source, claim.value, claim.headline, claim.scope, claim.paper]
        said += [claim.settle, claim.breaks, claim.why_not, *claim.rivals, *(e.text for e in claim.evidence)]
        said += [words for arm in claim.arms for words in (arm.sentence, arm.reason, arm.size, arm.cause, *arm.not_run)]
        said += [words for arm in claim.arms for words in arm.same_effect]
        assert [s for s in said if s and s not in text] == []
        assert ("exploratory" in text) == (not claim.registered)


def test_the_numbers_of_a_card_are_those_of_the_judge(study: Study, verdict: Verdict) -> None:
    cards = {c.name: c for s in sections_of(study(n_seeds=5), verdict) for c in s.blocks if isinstance(c, Claim)}
    for claim in verdict.claims:
        comparisons = [c for arm in claim.arms for c in arm.comparisons]
        tables = cards[claim.id].tables
        if not comparisons:
            assert tables == ()
            continue
        last = tables[-1]
        assert last.column("mean") == [c.mean for c in comparisons]
        assert last.column("low") == [c.low for c in comparisons]
        assert last.column("n") == [c.n for c in comparisons]
        assert last.column("p_holm") == [c.p_holm for c in comparisons]
        drawn = [r for f in cards[claim.id].figures for rows in f.spec["datasets"].values() for r in rows if "low" in r]
        ends = {(round(r["low"], 3), round(r["high"], 3)) for r in drawn if "label" in r}
        assert ends == {(round(float(f"{c.low:.6g}"), 3), round(float(f"{c.high:.6g}"), 3)) for c in comparisons}


def test_margins_are_drawn_where_the_claim_has_them(page: str) -> None:
    specs = specs_of(page)

    def band(id: str) -> list[tuple[float, float]]:
        rows = [r for rows in specs[id]["datasets"].values() for r in rows if "words" in r]
        return [(r["low"], r["high"]) for r in rows]

    assert band("fig-claim-c1") == [(-0.4, 0.4)]
    assert lines_of(page, "fig-claim-c1") == {"material margin": 0.5}
    assert lines_of(page, "fig-claim-c2") == {"non-inferiority margin": -0.5}
    assert band("fig-claim-c5b") == band("fig-claim-c5b-2") == [(-1.0, 1.0)]
    assert band("fig-claim-c3") == []  # nothing was registered about it
    assert "fig-claim-c4" not in specs


def test_the_judges_own_verdict_on_the_papers_claims_makes_a_page(study: Study) -> None:
    from regrow import files
    from regrow.study.claims import paper_claims
    from regrow.verdict import judge

    view = study(n_seeds=5, tier="T1")
    content = {
        "schema": 1,
        "claims": [c.model_dump(mode="json") for c in paper_claims().values()],
        "arms": {"dense": "dense", "static": "static", "set": "dst", "rigl": "dst"},
        "sparsities": {"dense": [], "static": [0.5], "set": [0.5], "rigl": [0.5]},
        "corruptions": list(view.common),
        "severities": list(view.severities),
        "seeds": list(range(5)),
        "exclusions": "",
    }
    view = replace(view, registration={**content, "digest": files.value_digest(content)}, registered_at="some day")
    verdict = judge(view)
    page = render(view, verdict)
    for claim in verdict.claims:
        text = text_of(card(page, claim.id.lower()))
        assert [a.sentence for a in claim.arms if " ".join(a.sentence.split()) not in text] == []
        assert claim.headline in text
    assert verdict.registration in page
    assert lines_of(page, "fig-claim-c1") == {"material margin": 0.5}


def lines_of(page: str, id: str) -> dict[str, float]:
    """Margins that a forest draws."""
    rows = [r for rows in specs_of(page)[id]["datasets"].values() for r in rows if "name" in r]
    return {r["name"]: r["value"] for r in rows}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_seeds_have_dots_and_no_interval(study: Study, verdict_maker: Maker, n: int) -> None:
    page = render(study(n_seeds=max(n, 1)), verdict_maker(n=n))
    for id, spec in specs_of(page).items():
        if id.startswith("fig-claim"):
            assert "intervals" not in [layer.get("name") for layer in spec["layer"]]
            assert len([r for rows in spec["datasets"].values() for r in rows if "seed" in r]) % max(n, 1) == 0
    if n == 0:
        assert not [id for id in specs_of(page) if id.startswith("fig-claim")]


def test_registration_and_what_was_not_registered_are_said(study: Study, verdict: Verdict, claim_maker: Any) -> None:
    page = text_of(render(study(), verdict))
    assert verdict.registration in page
    assert verdict.registered_at in page
    assert "partly exploratory" in page
    claims = tuple(replace(c, registered=False) for c in verdict.claims)
    none = text_of(render(study(), replace(verdict, claims=claims, registration="", registered_at="")))
    assert "No claim was registered before the first run: every value here is exploratory." in none
    one = replace(verdict, claims=(claim_maker("C4", "Weights", "not testable"),))
    assert "The one claim is not testable." in text_of(render(study(), one))
    assert "No claim was made, so nothing is judged." in text_of(render(study(), replace(verdict, claims=())))


def test_a_page_without_a_verdict_says_why(study: Study) -> None:
    assert "no claim was registered before the first run" in text_of(render(study()))
    assert "regrow verdict STUDY" in text_of(render(study(registration=REGISTERED)))
    assert "a file is damaged" in text_of(render(study(problems=("a file is damaged",))))
    assert 'class="tile' not in render(study())


def test_a_users_claim_cannot_become_markup(study: Study, verdict: Verdict) -> None:
    def evil(claim: ClaimVerdict, i: int) -> ClaimVerdict:
        arms = tuple(
            replace(
                a,
                **dict.fromkeys(("sentence", "reason", "size", "cause"), EVIL),  # type: ignore[arg-type]
                arm=EVIL + a.arm,
                not_run=(EVIL,),
                comparisons=tuple(
                    replace(c, arm=EVIL + c.arm, reference=EVIL, metric=EVIL, unit=EVIL) for c in a.comparisons
                ),
            )
            for a in claim.arms
        )
        words = dict.fromkeys(
            ("title", "statement", "source", "headline", "scope", "paper", "metric", "breaks", "settle"), EVIL
        )
        return replace(claim, **words, id=f"{EVIL}{i}", why_not=EVIL, rivals=(EVIL,), arms=arms)  # type: ignore[arg-type]

    claims = tuple(evil(c, i) for i, c in enumerate(verdict.claims))
    page = render(study(), replace(verdict, claims=claims, problems=(EVIL,), registration=EVIL, controls_run=(EVIL,)))
    assert page.count("<script") == 5
    assert "<img src=x" not in page
    assert EVIL in text_of(page) or "alert(1)" in text_of(page)
    assert "49" not in re.findall(r"<h3[^>]*>(.*?)</h3>", page, re.S)[0]


def test_charts_of_claims_are_valid_vega_lite(page: str) -> None:
    import altair as alt

    claims = [spec for id, spec in specs_of(page).items() if id.startswith("fig-claim")]
    assert claims
    for spec in claims:
        alt.LayerChart.from_dict(spec)  # raises where a spec does not hold to the schema
