"""The report of `training.simulator.attainment`: numbers for machines, and one page for people."""

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.simulator.contest import REGIONS

__all__ = ["page", "report"]

Array = NDArray[np.float64]
Found = Mapping[str, Any]

_DRAWS = 1000
_NAMES = {
    "engine": "engine: price-response boosters",
    "logit": "varying-slope logit pair",
    "classifiers": "two monotone classifiers",
    "incumbent": "list price, PD cut-off",
}
_REGIONS = {
    "trust": "rates within the trust region",
    "free": "all quotable rates",
    "asked": "the requested amount and term at rates within the trust region",
}
_WORLDS = {
    "W1": "W1 linear risk and demand",
    "W2": "W2 kinked demand",
    "W3": "W3 no randomised price",
    "W4": "W4 non-linear risk and demand",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
caption { text-align: left; font-weight: 600; padding: .3rem 0 }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .8rem; text-align: right }
th:first-child { text-align: left } small { color: #555 } img { max-width: 100% }
.label { background: #fff3cd; padding: .5rem 1rem }
"""


def report(parts: Sequence[Found]) -> dict[str, Any]:
    """Return `<world>.<form>.<region>`, `.uplift` and `.regret`, from parts of equal sizes.

    Shares are per cent of what is attainable in the region: `mean`, and `seeds` in their order.
    `uplift` is per cent over the incumbent in the same region, with a 95 % bootstrap interval over
    seeds and applicants. `regret` is per cent of the shared grid's best, lost to one model or both.
    """
    found: dict[str, Any] = {}
    for world in sorted({part["contest"]["world"] for part in parts}):
        of_world = [part for part in parts if part["contest"]["world"] == world]
        of_world.sort(key=lambda part: part["contest"]["seed"])
        found[world] = {"seeds": [part["contest"]["seed"] for part in of_world]}
        forms = [part["forms"] for part in of_world]
        found[world] |= {name: _form(name, forms) for name in ("attainable", *_NAMES)}
    sizes = {name: parts[0]["contest"][name] for name in ("quotes", "applicants")}
    return {"simulated": True, **sizes, **found}


def _form(name: str, forms: Sequence[Found]) -> dict[str, Any]:
    """Sum up one form over the seeds of a world."""
    found: dict[str, Any] = {region: _region(name, region, forms) for region in REGIONS}
    if name in ("attainable", "incumbent"):
        return found
    found["uplift"] = {region: _uplift(name, region, forms) for region in REGIONS}
    found["regret"] = _mean([form[name]["regret"] for form in forms])
    return found


def _region(name: str, region: str, forms: Sequence[Found]) -> dict[str, Any]:
    dollars, best = (_earned(each, region, forms).mean(axis=1) for each in (name, "attainable"))
    shares = 100 * dollars / best
    placed = ("declined", "at_cap", "at_edge", "move")
    rest = [{key: form[name][region][key] for key in placed} for form in forms]
    return {
        "mean": float(shares.mean()),
        "seeds": shares.tolist(),
        "dollars": float(dollars.mean()),
        **_mean(rest),
    }


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _earned(name: str, region: str, forms: Sequence[Found]) -> Array:
    """Return dollars, shape (seeds, applicants)."""
    return np.array([form[name][region]["earned"] for form in forms])


def _uplift(name: str, region: str, forms: Sequence[Found]) -> dict[str, float]:
    """Return the gain over the incumbent; seeds are resampled, then their applicants."""
    ours, theirs = (_earned(each, region, forms) for each in (name, "incumbent"))
    rng, (seeds, applicants) = np.random.default_rng(7), ours.shape
    gains = []
    for _ in range(_DRAWS):
        drawn = rng.integers(0, seeds, (seeds, 1))
        who = rng.integers(0, applicants, (seeds, applicants))
        gains.append(ours[drawn, who].sum() / theirs[drawn, who].sum() - 1)
    low, high = np.quantile(gains, [0.025, 0.975])
    gain = ours.sum() / theirs.sum() - 1
    return {"mean": float(100 * gain), "low": float(100 * low), "high": float(100 * high)}


def page(found: Found) -> str:
    """Return a report as one self-contained page."""
    worlds = [world for world in _WORLDS if world in found]
    tables = [
        _table(f"Per cent of the profit attainable with {text}", found, worlds, _share(region))
        for region, text in _REGIONS.items()
    ]
    tables += [
        _table(f"Per cent gained over the list price, {text}", found, worlds, _gain(region))
        for region, text in _REGIONS.items()
    ]
    tables.append(
        _table(
            "Per cent lost to both models; to the risk model alone; to the acceptance model alone",
            *(found, worlds, _lost),
        )
    )
    tables += [
        _table(
            "Offers at a cap / at the trust region's edge / declined, per cent; mean move from list"
            f" in points: {_REGIONS[region]}",
            *(found, worlds, _placed(region)),
            names=_NAMES | {"attainable": "who knows the truth"},
        )
        for region in ("trust", "free")
    ]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Attainment in simulated worlds</title><style>{_STYLE}</style>
<h1>How much of the attainable profit each form of model captures</h1>
<p class="label"><b>Simulated.</b> Applicants, quotes and outcomes are drawn from declared laws, so
that the profit of any offer is known. Nothing here was observed at a lender.</p>
<img alt="Share of attainable profit by world and form" src="data:image/png;base64,{_plot(found)}">
{"".join(tables)}
<h2>How it was measured</h2>
<ul>
<li>Each seed of a world gives a log of {found["quotes"]:,} quotes, on all of which every form is
fitted (risk on the booked loans), and {found["applicants"]:,} fresh applicants who are not in it:
one best offer each, or a decline where no offer is worth more than nothing.</li>
<li>Offers are the principals, terms and rates of the portfolio's default policy. Its caps on APR,
PTI, DTI and PD are off: the truth does not know them. Funds cost the fresh applicants' lender what
the policy says; in the log, every quote carries its own month's cost.</li>
<li>Earned is the expected profit under the truth, given what the lender cannot see; a decline earns
0. Attainable is the most that a lender could earn who knows the truth, with the same offers.</li>
<li>Engine and logit choose with the exact optimiser, the classifiers by an exact search of every
tick. The incumbent quotes the list price for what was asked, and declines applicants whose true PD
at average private risk is above 45 %: no estimate stands in its way.</li>
<li>With two numbers in brackets: the lowest and the highest seed. Intervals are 95 % bootstrap
intervals over seeds and applicants.</li>
<li>The loss to one model alone: offers chosen with that model and the truth for the other, among
offers every 25 ticks in the trust region.</li>
<li>In W3 prices were never randomised: its log cannot tell what staff knew from what the price did.
No claim rests on it.</li>
</ul></html>
"""


_Cell = Callable[[Found], str]


def _share(region: str) -> _Cell:
    def cell(form: Found) -> str:
        seeds = form[region]["seeds"]
        spread = f" <small>({min(seeds):.1f} to {max(seeds):.1f})</small>" if len(seeds) > 1 else ""
        return f"{form[region]['mean']:.1f}{spread}"

    return cell


def _gain(region: str) -> _Cell:
    def cell(form: Found) -> str:
        if "uplift" not in form:
            return "0"
        gain = form["uplift"][region]
        return f"{gain['mean']:+.1f} <small>({gain['low']:+.1f} to {gain['high']:+.1f})</small>"

    return cell


def _lost(form: Found) -> str:
    lost = form.get("regret")
    return " / ".join(f"{lost[k]:.1f}" for k in ("both", "risk", "acceptance")) if lost else ""


def _placed(region: str) -> _Cell:
    def cell(form: Found) -> str:
        placed = form[region]
        shares = " / ".join(f"{100 * placed[k]:.0f}" for k in ("at_cap", "at_edge", "declined"))
        return f"{shares}; {placed['move']:+.1f}"

    return cell


def _table(
    caption: str,
    found: Found,
    worlds: Sequence[str],
    cell: _Cell,
    names: Mapping[str, str] = _NAMES,
) -> str:
    head = "".join(f"<th>{html.escape(_WORLDS[world])}" for world in worlds)
    rows = "".join(
        f"<tr><th>{html.escape(text)}" + "".join(f"<td>{cell(found[w][name])}" for w in worlds)
        for name, text in names.items()
    )
    return f"<table><caption>{html.escape(caption)}</caption><tr><th>{head}{rows}</table>\n"


def _plot(found: Found) -> str:
    """Draw the shares of all forms, every seed a dot, as a PNG in base64."""
    worlds = [world for world in _WORLDS if world in found]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    for axes, region in zip(figure.subplots(1, 2, sharey=True), ("trust", "free"), strict=True):
        for place, (name, text) in enumerate(_NAMES.items()):
            x = np.arange(len(worlds)) + 0.2 * (place - 1.5)
            shown = [found[world][name][region] for world in worlds]
            axes.bar(x, [each["mean"] for each in shown], 0.18, label=text)
            for at, each in zip(x, shown, strict=True):
                axes.plot([at] * len(each["seeds"]), each["seeds"], "k.", markersize=3)
        axes.set_xticks(range(len(worlds)), worlds)
        axes.set_title(_REGIONS[region])
        axes.axhline(100, color="0.5", linewidth=0.8)
        axes.axhline(0, color="0.5", linewidth=0.8)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.supylabel("per cent of attainable profit (simulated)")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return base64.b64encode(stream.getvalue()).decode()
