"""The model-risk pack: all that is known of a portfolio's pair in one page that needs nothing else.

Run as `python -m training.documents.risk_pack PORTFOLIO`; writes
build/<portfolio>/model-risk-pack.html.
"""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from finntelligence.portfolio import Capability
from training.documents import headings, lineage, monitoring
from training.documents.model_card import card, notices
from training.documents.policy_words import in_words
from training.documents.subject import Documented, documented
from training.evidence.fair_lending import fair_lending
from training.evidence.page import Section, Table, page
from training.stages import Paths, load_policy, run_stage

__all__ = ["main", "pack"]

log = logging.getLogger(__name__)

_SCOPE = (
    "What the project itself can show of one pair of models, collected by machine from its "
    "registry, its evaluation and its promotion history. It is no validation report: that takes "
    "people who did not build the models.",
    "It holds figures of groups of applicants, and nothing of any one of them.",
)


def pack(portfolio_name: str, root: Path = Path()) -> str:
    """Return the pack of the pair that is served, or was trained last, as one HTML page.

    Raises:
        ModelMismatchError: when there is no model to document.
    """
    about = documented(portfolio_name, root)
    sections = [
        _about(about),
        *(part for model in about.responses for part in _card(about, model)),
        *_gate(about),
        _lineage(about),
        _policy(about, root),
        *_fairness(about),
        *monitoring.plan(about),
    ]
    titles = [each.title for each in sections if each.level == 2]
    cards = [title for title in titles if title.startswith(_CARD)]
    parts = {title: [_link(title)] for title in [*titles, headings.REPORT]}
    parts[headings.CARDS] = [_link(title) for title in cards]
    sections.append(headings.mapped(parts))
    html = page(f"Model-risk pack: {about.portfolio.title}", notices(about), sections)
    body = html.removesuffix("</html>\n") + _report(about) + "</html>\n"
    return _navigable(body)


_CARD = "Model card: "


def _about(about: Documented) -> Section:
    rows = [
        ["portfolio", f"{about.portfolio.name}, {about.portfolio.currency}"],
        ["pair", f"{about.pair} ({about.alias})"],
        ["models", ", ".join(about.responses)],
        ["declaration, SHA-256", about.portfolio.digest],
    ]
    return Section(headings.ABOUT, texts=_SCOPE, tables=[Table(["", ""], rows)])


def _card(about: Documented, model: str) -> list[Section]:
    """Return a card one level down; the lineage, alike for both models, has a part of its own."""
    inner = [each for each in card(about, model, level=3) if each.title != headings.LINEAGE]
    return [Section(f"{_CARD}{model}"), *inner]


def _gate(about: Documented) -> list[Section]:
    verdicts = about.lineage.verdicts if about.lineage else ()
    told = [] if verdicts else ["No gate has judged this pair: there is no verdict to show."]
    history = [_entry(line) for line in about.history]
    header = ["when", "what", "alias", "pair", "former pair", "signed off"]
    past = "Every pair of this portfolio, oldest first."
    none = "No promotion, refusal or rollback is recorded on this machine."
    return [
        Section(
            headings.GATE, texts=told, tables=[lineage.verdict_table(verdicts)] if verdicts else []
        ),
        Section(
            "Promotion history",
            level=3,
            texts=[past if history else none],
            tables=[Table(header, history)] if history else [],
        ),
    ]


def _entry(line: Mapping[str, Any]) -> list[str]:
    names = ("at", "action", "alias", "pair", "former_pair")
    return [*(str(line.get(name) or "") for name in names), lineage.signatures(line)]


def _lineage(about: Documented) -> Section:
    if about.lineage is None:
        return Section(headings.LINEAGE, texts=["None: this registry has no version of the pair."])
    found = lineage.section(about.lineage)
    decided = (
        "A decision's id begins with its pair; `finnt lineage ID` leads from one to the other."
    )
    return replace(found, texts=[*found.texts, decided])


def _policy(about: Documented, root: Path) -> Section:
    if about.portfolio.capabilities != set(Capability):
        nothing = "None: the book teaches risk alone, so the engine prices nothing by it."
        return Section(headings.POLICY, texts=[nothing])
    return Section(
        headings.POLICY, texts=in_words(load_policy(about.portfolio, root), about.portfolio)
    )


def _fairness(about: Documented) -> list[Section]:
    if "fairness" not in about.evaluation:
        return [Section(headings.FAIRNESS, texts=["Not screened: no evaluation on this machine."])]
    return fair_lending(about.evaluation["fairness"])


def _report(about: Documented) -> str:
    """Return the evaluation's own page as a part of this one, its headings a level down."""
    title = f"<h2>{headings.REPORT}</h2>\n"
    body = re.search(r"<h1>.*(?=</html>)", about.report or "", re.DOTALL)
    if body is None:
        return f"{title}<p>The report of this pair is not on this machine.</p>\n"
    inner = re.sub(r"<(/?)h([1-5])>", lambda h: f"<{h[1]}h{int(h[2]) + 2}>", body[0])
    return title + re.sub(r"<(/?)h[67]>", r"<\1h6>", inner)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _link(title: str) -> Markup:
    return Markup('<a href="#{}">{}</a>').format(_slug(title), title)


def _navigable(html: str) -> str:
    """Give parts an address and a list of contents, and headers of columns their scope."""
    titles: Sequence[str] = re.findall(r"<h2>(.*?)</h2>", html)
    listed = "".join(f'<li><a href="#{_slug(title)}">{title}</a></li>\n' for title in titles)
    contents = f'</h1>\n<nav aria-label="Contents"><ol>\n{listed}</ol></nav>\n'
    html = re.sub(r"<h2>(.*?)</h2>", lambda h: f'<h2 id="{_slug(h[1])}">{h[1]}</h2>', html)
    html = html.replace("<th>", '<th scope="col">')
    return html.replace("</h1>\n", contents, 1)


def main(portfolio_name: str) -> None:
    """Write one portfolio's pack."""
    path = Paths(portfolio_name).build / "model-risk-pack.html"
    text = pack(portfolio_name)
    path.write_text(text, encoding="utf-8")
    log.info("%s: wrote %s (%.1f MB)", portfolio_name, path, len(text) / 1e6)


if __name__ == "__main__":
    run_stage(main, sys.argv[1])
