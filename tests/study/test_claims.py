"""Claims as data: read strictly, registered with all that they rest on, stable over YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from regrow import corruptions, data, files
from regrow.corruptions import stand_ins, video
from regrow.errors import InputError, UnknownNameError
from regrow.study import recipe as recipes
from regrow.study.claims import (
    ClaimSettings,
    check_claims,
    load_claims,
    paper_claims,
    register,
    registration_of,
    require_known,
)
from regrow.study.kinds import ClipKind, ImageKind, kind_of
from regrow.study.recipe import EvaluationSettings, PublishedSettings, parse
from regrow.study.store import Store
from regrow.training.settings import Precision

MINE = {"id": "fog", "title": "Fog", "metrics": [{"of": ["fog"], "severities": [5, 4, 4]}], "groups": ["rigl"]}


def recipe(**more: Any) -> recipes.Recipe:
    values = {
        "name": "r",
        "data": {"name": "cues"},
        "model": {"name": "resnet8"},
        "methods": ["dense", "rigl", {"name": "static", "label": "still"}],
        "training": {"steps": 9},
        **more,
    }
    return parse(values, "r.yaml")


def registration(**more: Any) -> dict[str, Any]:
    return register(recipe(**more), corruptions.common_names(), [1, 2, 3, 4, 5])


# the paper's claims


def test_the_paper_s_claims_are_those_of_the_documentation() -> None:
    found = paper_claims()
    assert list(found) == ["C1", "C2", "C3", "C4", "C5a", "C5b", "C6", "C7"]
    assert {k for k, c in found.items() if c.direction == "greater"} == {"C1", "C3", "C4", "C5a", "C6", "C7"}
    assert (found["C2"].direction, found["C2"].margin) == ("not_below", 0.5)
    assert (found["C5b"].direction, found["C5b"].margin) == ("equal", 1.0)
    assert found["C1"].material == 0.5
    assert found["C4"].against == ["static", "pruned"]
    assert [m.kind for m in found["C5a"].metrics] == ["low_pass", "low_pass"]
    for claim in found.values():
        assert claim.statement
        assert claim.source
        assert claim.breaks


def test_a_recipe_without_claims_is_judged_by_the_paper_s() -> None:
    assert [claim.id for claim in recipe().claims] == list(paper_claims())
    assert recipe(claims=[]).claims == []


def test_an_id_stands_for_a_claim_and_may_be_changed() -> None:
    same, changed, own = recipe(claims=["C1", {"id": "C2", "margin": 0.3}, MINE]).claims
    assert same == paper_claims()["C1"]
    assert changed == paper_claims()["C2"].model_copy(update={"margin": 0.3})
    assert own.metrics[0].severities == [4, 5]
    assert (own.against, own.direction, own.seeds) == (["dense"], "greater", 5)


# what cannot be a claim

BAD: list[tuple[Any, str]] = [
    ("C9", r"unknown claim 'C9'\. Known: C1, C2, C3, C4, C5a, C5b, C6, C7"),
    ("C5", r"unknown claim 'C5'\. Did you mean 'C5[ab]'"),
    (7, "dictionary|7 is no claim"),
    (None, "dictionary|None is no claim"),
    ({**MINE, "colour": "red"}, r"unknown key '.*colour'"),
    ({**MINE, "direktion": "greater"}, r"unknown key '.*direktion'\. Did you mean 'direction'"),
    ({**MINE, "direction": "sideways"}, "direction"),
    ({**MINE, "direction": "equal"}, "direction equal needs a margin above 0"),
    ({**MINE, "direction": "not_below"}, "direction not_below needs a margin above 0"),
    ({**MINE, "margin": -1}, "margin"),
    ({**MINE, "margin": float("inf")}, "margin"),
    ({**MINE, "margin": "much"}, "margin"),
    ({**MINE, "seeds": 2}, "seeds"),
    ({**MINE, "sparsity": [0.5, 0.1]}, "sparsity must be a range within 0 to 1"),
    ({**MINE, "sparsity": [0.5]}, "sparsity"),
    ({**MINE, "groups": []}, "groups"),
    ({**MINE, "against": []}, "against"),
    ({**MINE, "controls": ["wizard"]}, "controls"),
    ({**MINE, "metrics": []}, "metrics"),
    ({**MINE, "metrics": [{"kind": "result"}]}, "metric result needs a path"),
    ({**MINE, "metrics": [{"kind": "volume"}]}, "kind"),
    ({**MINE, "metrics": [{"of": []}]}, "of must name at least one type or family"),
    ({**MINE, "metrics": [{"severities": [6]}]}, "severity must be in 1 to 5, got 6"),
    ({**MINE, "metrics": [{"of": ["fog"], "path": 3}]}, "path"),
    ({**MINE, "metrics": [{"off": ["fog"]}]}, r"unknown key '.*off'\. Did you mean 'of'"),
    ({**MINE, "id": "a b"}, "id"),
    ({"id": "x"}, "title"),
    ({"title": "x"}, "id"),
]


@pytest.mark.parametrize(("claim", "says"), BAD, ids=[str(claim) for claim, _ in BAD])
def test_a_wrong_claim_is_one_line_in_a_recipe_and_in_a_file(claim: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says) as of_recipe:
        recipe(claims=[claim])
    assert str(of_recipe.value).startswith("recipe r.yaml: ")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump([claim]))
    with pytest.raises(InputError, match=says) as of_file:
        load_claims(tmp_path / "mine.yaml")
    assert str(of_file.value).startswith(f"claims {tmp_path / 'mine.yaml'}: ")
    for error in (of_recipe, of_file):
        assert "\n" not in str(error.value)
        assert error.value.exit_code == 2
        assert error.value.next_step


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id: [", "line"),
        ("id: a\nid: b\ntitle: c", "line 2: key 'id' twice"),
        ("a: &x 1\nb: *x", "line 2: aliases are not allowed"),
        ("- 2026-13-45", "not readable as YAML"),
        ("", "None is no claim"),
        ("--- C1\n--- C2", "line"),
        ("id: mine\ntitle: yes please\ngroups: !!python/object:os.system x", "line 3"),
        ("[" * 5000, "not readable as YAML"),
        ("1: x", "key 1 is not a name"),
        ("- C1\n- C1", "the claim C1 is there twice"),
    ],
)
def test_a_file_that_is_no_yaml_of_claims_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        load_claims(path)
    assert str(error.value).startswith(f"claims {path}")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(InputError, match="cannot be read") as error:
            load_claims(path)
        assert str(path) in str(error.value)


def test_a_file_holds_one_claim_or_a_list_of_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINE))
    assert [claim.id for claim in load_claims(path)] == ["fog"]
    path.write_text(yaml.safe_dump(["C1", {"id": "C2", "margin": 0.1}, MINE]))
    assert load_claims(path) == recipe(claims=["C1", {"id": "C2", "margin": 0.1}, MINE]).claims
    path.write_text("C3")
    assert load_claims(path) == [paper_claims()["C3"]]


# names that nobody knows


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"groups": ["rigel"]}, "unknown arm 'rigel'. Did you mean 'rigl'?"),
        ({"against": ["denze"]}, "unknown arm 'denze'. Did you mean 'dense'?"),
        ({"metrics": [{"of": ["foggy"]}]}, "unknown corruption 'foggy'. Did you mean 'fog'?"),
        ({"metrics": [{"of": ["fog"], "minus": ["noize"]}]}, "unknown corruption 'noize'. Did you mean 'noise'?"),
    ],
)
def test_unknown_arms_and_corruptions_are_refused_before_anything_is_trained(change, says: str) -> None:
    wrong = recipe(claims=[{**MINE, **change}])
    for refuse in (check_claims, lambda r: register(r, ["fog"], [1])):
        with pytest.raises(UnknownNameError) as error:
            refuse(wrong)
        assert says in str(error.value)
        assert "claim fog" in str(error.value)


def test_a_plan_refuses_them_too() -> None:
    from regrow.study.run import plan_study

    with pytest.raises(UnknownNameError, match="unknown arm 'rigel'"):
        plan_study(recipe(claims=[{**MINE, "groups": ["rigel"]}]))


def test_roles_labels_families_and_all_types_are_known() -> None:
    names = [*corruptions.names(None), *video.names("kinetics"), *video.names("vitta"), *stand_ins.NAMES]
    metrics = [{"of": [name]} for name in [*names, "noise", "blur", "coding", "common", "clean"]]
    claim = {**MINE, "metrics": metrics, "groups": ["dst", "rigl", "still"], "against": ["pulse", "dense"]}
    check_claims(recipe(claims=[claim]))
    other = ClaimSettings.model_validate({**MINE, "metrics": [{"of": ["smoke"]}]})
    require_known([other], ["rigl"], ["smoke"])
    with pytest.raises(UnknownNameError):
        require_known([other], ["rigl"], [])


def test_types_of_a_published_set_are_known_by_their_list() -> None:
    published = {"folder": "x", "corruptions": ["smoke"]}
    claim = {**MINE, "metrics": [{"of": ["smoke"]}]}
    check_claims(recipe(claims=[claim], evaluation={"published": published}))


# registration


def test_a_registration_holds_all_that_a_verdict_rests_on() -> None:
    found = registration(seeds=[3, 4, 5], sparsity=[0.1, 0.5], claims=["C1", MINE])
    assert found["arms"] == {"dense": "dense", "rigl": "dst", "still": "static"}
    assert found["sparsities"] == {"dense": [0.0], "rigl": [0.1, 0.5], "still": [0.1, 0.5]}
    assert (found["seeds"], found["severities"]) == ([3, 4, 5], [1, 2, 3, 4, 5])
    assert found["corruptions"] == corruptions.common_names()
    assert [claim["id"] for claim in found["claims"]] == ["C1", "fog"]
    assert "worst value" in found["exclusions"]
    read = registration_of(found)
    assert read.whole
    assert list(read.claims) == recipe(claims=["C1", MINE]).claims
    assert read.digest == found["digest"] == files.value_digest({k: v for k, v in found.items() if k != "digest"})


def test_the_digest_is_stable_over_yaml_and_the_order_of_keys(tmp_path: Path) -> None:
    """Small, large and round floats, texts that YAML would take for something else."""
    odd = {**MINE, "title": "yes: no", "margin": 1e-05, "material": 1e20, "rivals": ["null", "1e3", "ä\u2028"]}
    found = registration(claims=["C1", "C5b", odd], sparsity=[0.1, 1 / 3, 1e-05])
    assert registration_of(yaml.safe_load(yaml.safe_dump(found))).whole
    assert registration_of(dict(reversed(found.items()))).digest == found["digest"]
    store = Store(tmp_path / "study")
    store.create(recipe(claims=["C1"]), Precision(), {}, {}, None, found)
    assert store.registration() == found
    assert registration_of(store.registration() or {}).whole


def test_the_digest_follows_everything_that_was_registered() -> None:
    digests = [
        registration()["digest"],
        registration(seeds=[1])["digest"],
        registration(sparsity=[0.4])["digest"],
        registration(claims=["C1"])["digest"],
        registration(claims=[{"id": "C1", "margin": 0.1}])["digest"],
        registration(methods=["dense", "rigl"])["digest"],
        registration(methods=["dense", {"name": "rigl", "training": {"lr": 0.3}}])["digest"],
        register(recipe(), ["fog"], [1])["digest"],
        register(recipe(), corruptions.common_names(), [1])["digest"],
    ]
    assert len(set(digests)) == len(digests)
    assert registration()["digest"] == digests[0]


def test_a_changed_value_is_found() -> None:
    found = registration()
    found["claims"][0]["margin"] = 0.2
    assert not registration_of(found).whole


# which cells a recipe is registered on


def of_images(*names: str, **more: Any) -> list[str]:
    return ImageKind().registered(EvaluationSettings(corruptions=list(names), **more))[0]


def test_one_common_type_asks_for_all_fifteen() -> None:
    common = corruptions.common_names()
    assert len(common) == 15
    assert of_images("fog") == of_images("fog", "speckle_noise", "plasma_noise") == of_images() == common
    assert ImageKind().registered(EvaluationSettings(corruptions=["fog"], severities=[3]))[1] == [1, 2, 3, 4, 5]


def test_a_set_that_is_there_whole_in_one_of_its_forms_is_that_form() -> None:
    """ImageNet-3DCC has twelve types, eleven without h265_crf; ImageNet-C-bar ten of the fifteen of C-bar."""
    made, read = corruptions.names("3dcc"), list(stand_ins.NAMES)
    published = PublishedSettings(folder="x", corruptions=read)
    assert sorted(of_images(*made, published=published)) == sorted([*made, *read])
    eleven = [name for name in made if name != "h265_crf"]
    assert sorted(of_images(*eleven, published=published)) == sorted([*eleven, *read])
    assert len(of_images(*eleven[:2])) == 12  # neither is there: all of it is asked for
    imagenet = [n for n in corruptions.names("c-bar") if "imagenet" in corruptions.get(n).settings]
    assert len(imagenet) == 10
    assert sorted(of_images(*imagenet)) == sorted(imagenet)
    assert len(of_images(*imagenet[:9])) == len(corruptions.names("c-bar")) == 15


def test_clips_ask_for_their_column_or_the_twelve_of_its_paper() -> None:
    def names(*chosen: str, column: str = "kinetics") -> list[str]:
        severities = [5] if column == "vitta" else [1, 3]
        chosen_ = EvaluationSettings(corruptions=list(chosen), column=column, severities=severities)
        return ClipKind().registered(chosen_)[0]

    every = video.names("kinetics")
    twelve = [name for name in every if name not in ("h264_abr", "h265_abr")]
    assert sorted(names()) == sorted(every)
    assert (len(every), len(twelve)) == (14, 12)
    assert sorted(names(*twelve)) == sorted(twelve)
    assert sorted(names(*twelve[:5])) == sorted(every)
    assert sorted(names(column="vitta")) == sorted(video.names("vitta"))


@pytest.mark.parametrize("name", recipes.names())
def test_every_packaged_recipe_registers_and_is_tested_on_what_it_registers(name: str) -> None:
    """But for those in small, which name their shortness: there, and there alone, cells are missing."""
    found = recipes.load(name)
    clips = found.data.name in ("ucf101", "video_folder")
    others = name in ("small/text", "small/audio")  # which are short, and tested on all that there is
    kind = kind_of(data.nominal_spec(found.data.name)) if others else ClipKind() if clips else ImageKind()
    types, severities = kind.registered(found.evaluation)
    read = registration_of(yaml.safe_load(yaml.safe_dump(register(found, types, severities))))
    assert read.whole
    assert {"dense", "dst"} <= set(read.arms.values())
    others_ = {label for label, role in read.arms.items() if role == "other"}
    assert others_ == ({"augmix", "rigl_augmix"} if name.startswith("gpu/") else set())  # two differences, no one cause
    published = found.evaluation.published
    tested = {*kind.names(found.evaluation), *(published.corruptions if published else [])}
    missing = set(types) - tested | set(severities) - set(found.evaluation.severities)
    assert bool(missing) == (name.startswith("small/") and not others)
