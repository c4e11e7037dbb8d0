"""Recorded scores as a table shows them."""

from __future__ import annotations

from core.registry import read_scores


def test_an_accuracy_comes_with_its_interval_where_there_is_one() -> None:
    within = {"accuracy": {"low": 0.871, "high": 0.9449}, "macro_f1": {"low": 0, "high": 1}}
    found = read_scores(
        {
            "validation": {"accuracy": 0.9324, "matrix": [[1]]},
            "pbc8_test": {"scores": {"accuracy": 0.9}, "intervals": within},
        }
    )
    said = [(one.images, str(one)) for one in found]
    assert said == [("validation", "93.2 %"), ("pbc8 test", "90.0 % [87.1–94.5]")]  # noqa: RUF001


def test_what_is_no_score_is_passed_over() -> None:
    odd = {"note": "none", "a": {}, "b": {"accuracy": "high"}, "c": {"scores": 3}, "d": [0.5]}
    assert read_scores(odd) == []
    kept = read_scores({"e": {"accuracy": 1, "intervals": {"accuracy": {"low": 0.1}}}})
    assert [str(one) for one in kept] == ["100.0 %"]
