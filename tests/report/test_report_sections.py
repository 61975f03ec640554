"""Sections of analyses: their numbers against the runs they are made from, and the reason where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from regrow import literature
from regrow.report import agreement, attribution, published, spatial, spectral
from regrow.report.blocks import Prose, Section, StripRow, TableBlock
from regrow.report.table import Table
from regrow.study.view import StudyView
from regrow.verdict.arms import arms_of


@pytest.fixture
def analysed(study, with_analyses) -> StudyView:
    """Three seeds of dense, static and set with analyses, and spectra of three corruptions."""
    view: StudyView = with_analyses(study(n_seeds=3, methods=("static", "set"), data="cifar10"))
    return view


def table_of(section: Section, title: str) -> Table:
    (found,) = [t for _, t in section.tables if title in t.title]
    return found


def test_gains_stand_against_the_ratio_of_high_frequency_power(analysed: StudyView) -> None:
    section = spectral.corruption_spectra(analysed, arms_of(analysed))
    rows = {(row[0], row[1]): row[3:] for row in table_of(section, "Gain over dense").rows}
    assert {corruption for _, corruption in rows} == {"gaussian_noise", "defocus_blur", "contrast"}
    runs = {(r.method, r.seed): r for r in analysed.runs}
    for (arm, corruption), (ratio, gain) in rows.items():
        method = arm.split()[0]
        want = np.mean(
            [
                runs[method, s].scores[corruption, k].accuracy - runs["dense", s].scores[corruption, k].accuracy
                for s in range(3)
                for k in analysed.severities
            ]
        )
        assert gain == pytest.approx(100 * want)
        assert ratio == pytest.approx({"gaussian_noise": 4.0, "defocus_blur": 0.25, "contrast": 1.0}[corruption])


def test_both_conventions_and_every_edge_have_their_curves(analysed: StudyView) -> None:
    figures = spectral.frequencies(analysed, arms_of(analysed)).figures
    assert [f.id for f in figures] == [
        f"fig-frequencies-{keep}{way}" for way in ("", "-keep-dc", "-follow-soft-2-edge") for keep in ("low", "high")
    ]
    follow = next(c for c in analysed.runs[0].analyses["radius_curves"]["curves"] if c["convention"] == "follow")
    assert figures[0].table is not None
    assert [row[0] for row in figures[0].table.rows] == [2.0, 4.0]
    of_dense = [
        next(
            c
            for c in r.analyses["radius_curves"]["curves"]
            if (c["convention"], c["edge"]) == (follow["convention"], "hard")
        )
        for r in analysed.runs
        if r.method == "dense"
    ]
    assert figures[0].table.rows[1][1] == pytest.approx(np.mean([c["low"][1]["accuracy"] for c in of_dense]))


def test_curves_of_earlier_studies_are_still_shown(study) -> None:
    view = study()
    figures = spectral.frequencies(view, arms_of(view)).figures
    assert [f.id for f in figures] == ["fig-frequencies-low", "fig-frequencies-high"]


def test_heat_maps_are_differences_to_dense_by_seed(analysed: StudyView) -> None:
    section = spectral.single_frequencies(analysed, arms_of(analysed))
    ring, dense, *others = section.figures
    assert ring.id == "fig-heat-rings"
    maps = {(r.method, r.seed): np.array(r.analyses["heat_map"]["error"]) for r in analysed.runs}
    assert dense.table is not None
    shown = np.array([row[1:] for row in dense.table.rows], dtype=float)
    np.testing.assert_allclose(shown, 100 * np.mean([maps["dense", s] for s in range(3)], axis=0))
    for figure, method in zip(others, ("static", "set"), strict=True):
        assert figure.table is not None
        shown = np.array([row[1:] for row in figure.table.rows], dtype=float)
        want = np.mean([maps[method, s] - maps["dense", s] for s in range(3)], axis=0)
        np.testing.assert_allclose(shown, 100 * want)
        assert [row[0] for row in figure.table.rows] == [str(k) for k in range(-4, 4)]
    costs = [b.text for b in section.blocks if isinstance(b, Prose)]
    assert any(f"{16 * 34:,} passes" in text for text in costs)  # (64 + 4) / 2 distinct frequencies of 8 x 8


def test_the_profile_of_the_gradient_is_in_shares_of_its_power(analysed: StudyView) -> None:
    profile = spectral.loss_gradient(analysed, arms_of(analysed)).figures[0]
    assert profile.table is not None
    assert [row[1] for row in profile.table.rows] == pytest.approx([0.75, 0.25])


def test_layers_stand_in_the_order_of_the_network(analysed: StudyView) -> None:
    section = spectral.kernels(analysed, arms_of(analysed))
    by_layer = section.figures[0].table
    assert by_layer is not None
    assert [row[1] for row in by_layer.rows] == pytest.approx([0.1, 0.5, 0.9])
    relation = table_of(section, "Density of filters")
    assert [row[0] for row in relation.rows] == ["static 0.5", "set 0.5"]
    assert relation.rows[0][5] == pytest.approx(-2.0)


def test_a_layer_that_nothing_passes_has_no_share_of_aliasing(analysed: StudyView) -> None:
    section = spectral.aliasing(analysed, arms_of(analysed))
    rows = table_of(section, "Nyquist").rows
    assert rows[0][4] == pytest.approx(0.26)
    assert rows[1][3:] == (None,) * 4
    assert "1 strided layer" in section.figures[0].caption or "2 strided layers" in section.figures[0].caption


def test_placement_counts_runs_beyond_chance_and_dead_filters(analysed: StudyView) -> None:
    section = spatial.placement(analysed, arms_of(analysed))
    row = table_of(section, "Concentration of weights").rows[0]
    assert row[3:] == pytest.approx((1.5, 0.0, 7.0, 3, 3))
    assert table_of(section, "Dead filters").rows[0][1:] == pytest.approx((48, 3, 0, 15, 7.5))
    by_layer = table_of(section, "Evenness by layer").rows
    assert [row[1] for row in by_layer[:3]] == ["conv1", "block1.conv", "block3.conv"]
    assert by_layer[0][4:] == pytest.approx((0.5, 3.0, 0.2, 15.0, 4.0))
    assert table_of(section, "share").rows == (("set 0.5", 3, 0.4, 0.33),)


def test_attribution_shows_images_and_maps_of_one_seed(analysed: StudyView) -> None:
    section = attribution.attribution(analysed, arms_of(analysed))
    agreement = section.figures[0].table
    assert agreement is not None
    assert [row[2] for row in agreement.rows if row[0] == "dense"] == pytest.approx([0.5, 0.6, 0.7])
    strip = section.blocks[-1]
    assert len(strip.panels) == 2
    rows: tuple[StripRow, ...] = strip.panels[0][1]
    assert [row.label for row in rows] == ["image", "dense", "static 0.5", "set 0.5"]
    assert all(picture is not None for row in rows for _, picture in row.cells)
    assert strip.columns == ("clean", "contrast 3")


def test_four_measures_are_held_against_dense_training(analysed: StudyView) -> None:
    section = agreement.agreement(analysed, arms_of(analysed))
    rows = {(row[0], row[1]): row[2:] for row in table_of(section, "Against dense").rows}
    assert len(rows) == 2 * 3  # no conflict of cues in this data set
    shares = {(r.method, r.seed): r.analyses["gradients"]["input_gradient"]["share"] for r in analysed.runs}
    differences = [-2 * (shares["set", s] - shares["dense", s]) for s in range(3)]
    difference, low, high, n, statement = rows["set 0.5", "power of the loss gradient"]
    assert difference == pytest.approx(np.mean(differences))
    half = 4.302652729911275 * np.std(differences, ddof=1) / 3**0.5
    assert (low, high) == pytest.approx((difference - half, difference + half))
    assert n == 3
    assert statement == ("undecided" if low < 0 < high else "low" if low > 0 else "high")
    balances = table_of(section, "Balance of low").rows
    assert balances[0][-1] == pytest.approx(1 - 2 * np.mean([shares["dense", s] for s in range(3)]))


def test_published_figures_are_kept_apart_and_say_where_they_are_from(analysed: StudyView) -> None:
    section = published.published(analysed, arms_of(analysed))
    tables = [block.table for block in section.blocks if isinstance(block, TableBlock)]
    ours, theirs, works = tables
    assert [row[0] for row in ours.rows] == ["dense", "static 0.5", "set 0.5"]
    assert len(theirs.rows) == len(literature.beside("cifar10"))
    assert all(row[6] for row in theirs.rows)
    assert len(works.rows) == len(literature.findings())


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (spectral.corruption_spectra, "Not measured"),
        (spectral.single_frequencies, "Not measured"),
        (spectral.loss_gradient, "Not measured"),
        (spectral.kernels, "Not measured"),
        (spectral.aliasing, "Not measured"),
        (attribution.attribution, "Not measured"),
        (spatial.placement, "No finished sparse run has been analysed"),
        (spatial.film, "No film at hand"),
        (spatial.sharpness, "Not measured"),
        (published.published, "No published figure"),
    ],
)
def test_a_section_without_numbers_says_why(study, make, word: str) -> None:
    view = study()
    section = make(view, arms_of(view))
    assert not section.figures
    assert not section.tables
    (block,) = section.blocks
    assert isinstance(block, Prose)
    assert block.tone == "empty"
    assert block.text.startswith(word)
    assert section.intro


def test_measures_that_were_not_made_are_no_agreement(study) -> None:
    view = study(data="cifar10")
    (block,) = agreement.agreement(view, arms_of(view)).blocks
    assert isinstance(block, Prose)
    assert block.text == "No finished run has a measure of it."


def test_large_images_name_the_key_that_asks_for_more(study) -> None:
    view = study(size=64)
    (block,) = spectral.single_frequencies(view, arms_of(view)).blocks
    assert "analysis.heat_map.images" in block.text
