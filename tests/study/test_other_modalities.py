"""Studies of texts and of sounds: the same engine, store, records, verdict and page as those of images."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regrow import data, files
from regrow.corruptions import audio, text
from regrow.data.texts import decode
from regrow.errors import InputError, RegrowError
from regrow.evaluation.records import load_record
from regrow.report.sequences import spectrogram
from regrow.report.write import publish_results, write_report
from regrow.study import recipe as recipes
from regrow.study.kinds import kind_of
from regrow.study.load import load_study
from regrow.study.rehearsal import rehearse
from regrow.study.run import plan_study, run_study
from regrow.verdict.judge import judge

TRAINING: dict[str, Any] = {
    "steps": 24,
    "batch": 8,
    "lr": 1e-3,
    "optimizer": "adamw",
    "augment": {"flip": False},
    "precision": "fp32",
    "log_every": 6,
}
OWN = {"id": "T1", "title": "gain", "metrics": [{"kind": "accuracy", "of": ["common"]}], "seeds": 3}
SMALL: dict[str, dict[str, Any]] = {
    "text": {
        "data": {"name": "phrases", "train_images": 64, "test_images": 24},
        "model": {"name": "byte_transformer", "width": 8, "options": {"depth": 1}},
        "evaluation": {"corruptions": ["keyboard", "ocr"], "severities": [1, 5]},
    },
    "audio": {
        "data": {"name": "tones", "train_images": 40, "test_images": 20},
        "model": {"name": "spectrogram_cnn", "width": 4},
        "evaluation": {"corruptions": ["white_noise", "mu_law"], "severities": [1, 5]},
    },
}


def small(modality: str, **changes: Any) -> recipes.Recipe:
    shared = {"schema": 1, "name": f"tiny-{modality}", "methods": ["dense", "rigl"], "sparse": {"updates": 4}}
    claims = ["C1", "C2", "C3", "C4", "C5a", "C5b", "C6", "C7", OWN]
    return recipes.parse({**shared, "training": TRAINING, "claims": claims, **SMALL[modality], **changes}, "tiny")


@pytest.fixture(
    scope="module",
    params=[pytest.param("text", marks=pytest.mark.system), pytest.param("audio", marks=pytest.mark.slow)],
)
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A small study of each, run to its end once for all tests."""

    class Quiet:
        def say(self, text: str) -> None: ...

        def stage(self, text: str, done: int, total: int) -> None: ...

        def event(self, event: object) -> None: ...

    folder = tmp_path_factory.mktemp(request.param) / "study"
    run_study(small(request.param), folder, Quiet(), jobs=1)
    return request.param, folder


def content(folder: Path) -> dict[str, bytes]:
    paths = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def test_a_study_is_complete_and_a_second_call_does_nothing(study: tuple[str, Path], quiet) -> None:
    modality, folder = study
    view = load_study(folder)
    assert [run.state for run in view.runs] == ["done", "done"]
    assert view.modality == modality
    cells = {("clean", 0), *((name, s) for name in view.corruptions for s in (1, 5))}
    for run in view.runs:
        assert set(run.scores) == cells
        assert not run.damaged
        assert run.result["updates"] == run.plan["updates"]
    before = content(folder)
    run_study(small(modality), folder, quiet, jobs=1)
    assert content(folder) == before


def test_stored_cells_are_those_of_corrupt_and_records_are_those_of_the_cells(study: tuple[str, Path]) -> None:
    modality, folder = study
    chosen, room = SMALL[modality], {"text": text, "audio": audio}[modality]
    name, n = chosen["data"]["name"], chosen["data"]["test_images"]
    test = data.load_images(name, "test", n=n)
    np.testing.assert_array_equal(np.load(folder / "cells" / f"{name}.clean.0.npy"), test.images)
    for corruption in chosen["evaluation"]["corruptions"]:
        path = folder / "cells" / f"{name}.{corruption}.5.npy"
        expected = room.corrupt(test.images, corruption, 5, seed=0)
        stored = np.load(path)
        assert stored.dtype == expected.dtype
        np.testing.assert_array_equal(stored, expected)
        record, inputs = load_record(folder / "runs" / "rigl-s0.5-seed0" / "records" / f"{name}.{corruption}.5.npz")
        assert inputs["cell"] == files.file_digest(path)
        np.testing.assert_array_equal(record.correct, record.prediction == test.labels)


def test_analyses_of_images_are_not_made(study: tuple[str, Path]) -> None:
    folder = study[1]
    view = load_study(folder)
    assert not {"radius_curves", "heat_map", "gradients", "aliasing"} & set(view.runs[0].analyses)
    assert "corruption_spectra" not in view.analyses
    sparse = next(run for run in view.runs if run.method == "rigl")
    assert sparse.analyses["spatial"]["concentration"]["output"] is not None
    counts = {name: int(kernel.sum()) for name, kernel in sparse.kernels.items()}
    assert counts == {row["name"]: row["n_active"] for row in sparse.plan["layers"]}


def test_claims_on_images_are_not_testable_and_own_claims_are_judged(study: tuple[str, Path]) -> None:
    modality, folder = study
    verdict = judge(load_study(folder))
    noun = {"text": "texts", "audio": "sounds"}[modality]
    *papers, own = verdict.claims
    assert [claim.id for claim in papers] == ["C1", "C2", "C3", "C4", "C5a", "C5b", "C6", "C7"]
    for claim in papers:
        assert claim.value == "not testable"
        assert f"speaks of images, and {SMALL[modality]['data']['name']} holds {noun}" in claim.why_not
    assert "speaks of images" not in own.why_not
    assert "were not evaluated" in own.why_not  # the mean must be over all types and severities


def test_the_page_shows_what_the_networks_saw_and_says_how_far_to_trust_it(study: tuple[str, Path]) -> None:
    modality, folder = study
    write_report(folder)
    page = (folder / "report.html").read_text()
    noun, room = ({"text": "texts", "audio": "sounds"}[modality], {"text": text, "audio": audio}[modality])
    assert f"Example {noun}" in page
    assert f"{noun} a cell" in page
    assert "images a cell" not in page
    assert room.NOTE[:60] in page
    assert data.spec(SMALL[modality]["data"]["name"]).caveat in page
    assert f"generated data, {SMALL[modality]['data']['train_images']} training {noun}" in page
    assert f"it is of images, and this study is of {noun}" in page
    view = load_study(folder)
    if modality == "text":
        for row in view.examples["keyboard", 5]:
            assert decode(row).replace("'", "&#39;").replace("&", "&amp;").replace("&amp;#39;", "&#39;") in page
    else:
        assert page.count("data:image/png;base64,") > 2 * len(view.examples)


class _Controls(HTMLParser):
    """What a page calls its pictures and the buttons that choose among them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag in ("button", "h2", "figcaption")
        self.words += [value for key, value in attrs if key in ("alt", "aria-label") and value]

    def handle_data(self, data: str) -> None:
        if self._inside and data.strip():
            self.words.append(data.strip())

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


def test_examples_of_texts_and_sounds_are_called_so(study: tuple[str, Path]) -> None:
    modality, folder = study
    write_report(folder)
    page = (folder / "report.html").read_text()
    words = _Controls(page).words
    assert [text for text in words if re.search(r"image|picture|pixel", text, re.IGNORECASE)] == []
    if modality == "audio":
        assert {"Sound 1, clean.", "Sound 1, mu law, severity 5.", "Sound 2", "Clean and corrupted sounds"} <= {*words}
    for wrong in ("or images: 0", "images of up to", "training images", "seeds and images"):
        assert wrong not in page, wrong


def test_published_summaries_are_judged_alike(study: tuple[str, Path], tmp_path: Path) -> None:
    modality, folder = study
    publish_results(folder, tmp_path / "published")
    verdicts = [judge(load_study(place)) for place in (folder, tmp_path / "published")]
    assert [claim.why_not for claim in verdicts[0].claims] == [claim.why_not for claim in verdicts[1].claims]
    assert load_study(tmp_path / "published").modality == modality


@pytest.mark.parametrize("modality", ["text", "audio"])
def test_all_types_of_a_recipe_without_names_and_a_rehearsal(modality: str) -> None:
    recipe = small(modality, evaluation={})
    spec, room = data.spec(recipe.data.name), {"text": text, "audio": audio}[modality]
    assert kind_of(spec).names(recipe.evaluation) == room.names()
    assert kind_of(spec).registered(recipe.evaluation) == (room.names(), [1, 2, 3, 4, 5])
    assert set(kind_of(spec).families(recipe.evaluation).values()) == set(room.families().values())
    done = rehearse(recipe)
    assert done.exact
    assert done.updates == 1


@pytest.mark.parametrize(
    ("modality", "changes", "words"),
    [
        ("text", {"model": {"name": "resnet8"}}, "phrases holds texts, resnet8 takes images"),
        ("audio", {"model": {"name": "byte_transformer"}}, "tones holds sounds, byte_transformer takes texts"),
        ("text", {"data": {"name": "cues"}}, "cues holds images, byte_transformer takes texts"),
        ("text", {"training": {**TRAINING, "augment": {}}}, "augment.flip is for images, phrases holds texts"),
        ("audio", {"training": {**TRAINING, "augment": {"flip": False, "crop": 2}}}, "augment.crop is for images"),
        ("text", {"training": {**TRAINING, "augment": {"flip": False, "mixup": 0.2}}}, "augment.mixup is for images"),
        ("text", {"training": {**TRAINING, "supcon": {}}}, "supcon compares two views"),
        ("text", {"evaluation": {"on_the_fly": True}}, "on_the_fly is of images, phrases holds texts"),
        ("text", {"evaluation": {"mode": "fast"}}, "evaluation.mode is of images"),
        ("audio", {"evaluation": {"stand_ins": ["near_focus"]}}, "stand_ins are of images, tones holds sounds"),
        ("text", {"evaluation": {"corruptions": ["gaussian_noise"]}}, "unknown text corruption 'gaussian_noise'"),
        ("audio", {"evaluation": {"corruptions": ["white_nose"]}}, "Did you mean 'white_noise'"),
    ],
)
def test_what_a_study_cannot_have_is_refused_in_one_line(modality: str, changes: dict[str, Any], words: str) -> None:
    def plan() -> None:
        values = {**changes}
        if changes.get("data", {}).get("name") == "cues":
            values["evaluation"] = {"corruptions": ["contrast"]}
        plan_study(small(modality, claims=[], **values))

    with pytest.raises(RegrowError, match=words.replace(".", r"\.")) as caught:
        plan()
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)
    assert "Next: " in str(caught.value)


def test_a_spectrogram_shows_a_tone_as_a_line_at_its_height() -> None:
    time = np.arange(8000) / 8000
    picture = spectrogram(np.rint(20_000 * np.sin(2 * np.pi * 1000 * time)).astype(np.int16))
    assert picture.shape == (64, 96, 3)
    bright = picture.astype(int).sum(2)
    assert (np.abs(bright.argmax(0) - (64 - 16)) <= 1).all()  # bin 16 of 64, counted from below
    silent = spectrogram(np.zeros(8000, np.int16))
    assert len(np.unique(silent.reshape(-1, 3), axis=0)) == 1
