import numpy as np
import pytest

from training.evidence import figures

ROW = {"value": 0.1, "predicted": 0.1, "observed": 0.12, "low": 0.1, "high": 0.15, "rows": 9}
CURVE = {"offset": [-1, 0, 1], "mean": [0.3, 0.2, 0.1]}
CURVE |= {name: CURVE["mean"] for name in ("low", "median", "high")}
ESTIMATE = {"value": -0.1, "low": -0.2, "high": 0.0}
PARTS = {"fico": np.array([0.1, -0.4, 0.1]), "home": np.array([0.0, 0.2, 0.1]), "gap": np.zeros(3)}
DEPENDENCE = {
    "fico": [{"value": v, "mean": v, "low": 0.0, "high": 0.1} for v in (0.05, 0.2, "absent")],
    "home": [{"value": v, "mean": 0.2, "low": 0.0, "high": 0.1} for v in ("own", "rent")],
    "age": [{"value": 30.0, "mean": 0.1, "low": 0.0, "high": 0.2}],
}
LEARNED = [{"rows": n, "log_loss": {"value": 0.5, "low": 0.4, "high": 0.6}} for n in (100, 200)]
DRAWN = {
    "reliability": (figures.draw_reliability, [ROW, ROW | {"value": 0.2}], "x"),
    "price_curves": (figures.draw_price_curves, {"low": CURVE, "high": CURVE}, {"low": [ROW]}),
    "price_curves_unobserved": (figures.draw_price_curves, {"low": CURVE}, {"absent": "none"}),
    "elasticities": (
        figures.draw_elasticities,
        {
            "all": {"rows": 9, "events": 3, "randomised": ESTIMATE, "model": -0.1, "logit": -0.2},
            "few": {"absent": "only 3 events"},
        },
    ),
    "contributions": (figures.draw_contributions, PARTS, {"fico": np.array([0.3, 0.6, 1])}),
    "dependence": (figures.draw_dependence, DEPENDENCE),
    "bars": (figures.draw_bars, {f"field {i}": float(i) for i in range(30)}, "x"),
    "policies": (figures.draw_policies, {"list": ESTIMATE, "engine": ESTIMATE}, "USD"),
    "densities": (figures.draw_densities, {f"s {i}": [[-0.01, 9], [0, 8]] for i in range(7)}),
    "learning_curve": (figures.draw_learning_curve, LEARNED),
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_same_figures_are_the_same_bytes_in_any_style(name, tmp_path):
    draw, *given = DRAWN[name]
    import matplotlib as mpl

    draw(*given, "A title with $ and _", tmp_path / "first.png")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "figure.dpi": 50}):
        draw(*given, "A title with $ and _", tmp_path / "again.png")
    first = (tmp_path / "first.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert first == (tmp_path / "again.png").read_bytes()


def test_other_figures_are_another_picture(tmp_path):
    for name, rows in (("one", [ROW]), ("other", [ROW | {"observed": 0.14}])):
        figures.draw_reliability(rows, "x", "title", tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "other.png").read_bytes()
