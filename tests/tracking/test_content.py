"""What trackers are told is what the study's page says, and a run is the same run wherever its study lies."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from regrow.errors import InputError, UnknownNameError
from regrow.study.view import CLEAN, CellScore
from regrow.tracking.content import Point, final_scores, training_seconds
from regrow.tracking.target import Target, parse_target


def test_scores_are_means_over_severities_and_the_mean_is_over_the_common_types(view, run_of) -> None:
    scores = final_scores(view, run_of(0.5))
    fog, contrast, speckle = (0.1 + 0.5) / 2, (0.2 + 0.6) / 2, (0.3 + 0.7) / 2
    assert scores == pytest.approx(
        {
            "test/clean": 0.75,
            "test/mean2": (fog + contrast) / 2,
            "corruption/fog": fog,
            "corruption/contrast": contrast,
            "corruption/speckle_noise": speckle,
            "result/train_accuracy": 0.875,
        }
    )


def test_a_mean_of_which_a_cell_is_missing_is_no_score(view, run_of) -> None:
    scores = {CLEAN: CellScore(0.75, 8), ("fog", 1): CellScore(0.5, 8)}
    assert set(final_scores(view, run_of(0.5, scores=scores))) == {"test/clean", "result/train_accuracy"}


@pytest.mark.parametrize("state", ["running", "failed", "damaged"])
def test_only_a_run_that_is_done_has_scores(sent_of, state: str) -> None:
    assert sent_of(0.5, state=state).scores == {}


def test_series_are_the_log_with_the_seconds_behind_each_line(sent_of) -> None:
    run = sent_of(0.5, 0.25)
    assert run.series["train/loss"] == [Point(10, 2.0, 0.5), Point(20, 4.0, 0.25)]
    assert set(run.series) == {f"train/{name}" for name in ("loss", "accuracy", "lr", "density", "images_per_s")}
    assert run.began == 1_700_000_000.0 - 4.0
    assert run.last_step == 20


def test_values_that_are_no_numbers_are_left_out(sent_of) -> None:
    odd = [{"step": 10, "loss": float("nan"), "accuracy": None, "lr": True, "density": 0.5}]
    run = sent_of(metrics=odd)
    assert run.series == {"train/density": [Point(10, 0.0, 0.5)]}


def test_a_run_that_starts_later_has_trained_for_the_lines_it_has() -> None:
    late = [{"step": step, "images_per_s": 10.0} for step in (60, 70, 75)]
    assert training_seconds(late, batch=2) == pytest.approx([1.0, 3.0, 4.0])
    assert training_seconds([{"step": 5, "images_per_s": 10.0}], batch=2) == [1.0]
    assert training_seconds([], batch=2) == []


def test_settings_have_dotted_names_and_what_is_not_set_is_left_out(sent_of) -> None:
    assert sent_of(0.5).parameters == {"training.batch": "4", "training.lr": "0.1", "method.name": "rigl"}


def test_a_run_is_known_by_the_recipe_and_its_name_alone(view, run_of, sent_of) -> None:
    from regrow.tracking.content import tracked_run

    run = sent_of(0.5)
    elsewhere = dataclasses.replace(view, folder=Path("elsewhere"), title="another")
    assert tracked_run(elsewhere, run_of(0.125, 0.1), 0.0).key == run.key
    other = dataclasses.replace(view, recipe={**view.recipe, "seeds": [7]})
    keys = {run.key, sent_of(0.5, seed=1).key, tracked_run(other, run_of(0.5), 0.0).key}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("tensorboard", "tensorboard", ""),
        ("tensorboard:logs/a:b", "tensorboard", "logs/a:b"),
        ("mlflow:http://127.0.0.1:5000", "mlflow", "http://127.0.0.1:5000"),
        ("mlflow:sqlite:///runs.db", "mlflow", "sqlite:///runs.db"),
    ],
)
def test_targets_are_read_and_said_as_they_are_given(text: str, kind: str, place: str) -> None:
    assert parse_target(text) == Target(kind, place)
    assert str(parse_target(text)) == text


def test_names_and_passwords_are_not_said() -> None:
    target = parse_target("mlflow:https://me:secret@host:5000/x")
    assert "secret" in target.place
    assert str(target) == "mlflow:https://host:5000/x"


def test_a_wrong_target_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownNameError, match=r"'tensorbord'. Did you mean 'tensorboard'"):
        parse_target("tensorbord")
    with pytest.raises(InputError, match="without an address"):
        parse_target("mlflow")
