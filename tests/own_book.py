"""A made-up Mexican lender's export: `python -m tests.own_book FOLDER` writes its two CSV files.

Half of the prices were drawn at random, evenly from a point below the list price to 0.8 above it.
Figures are invented; nothing here describes real borrowers.
"""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import yaml

PAGE = Path(__file__).parents[1] / "docs" / "bring-your-own-data.md"
QUOTES, LOANS = "cotizaciones.csv", "creditos.csv"
SECTORS = {"comercio": 0.0, "manufactura": -0.1, "servicios": 0.1, "gobierno": -0.3}
CONTRACTS = {"nómina": -0.3, "temporal": 0.4, "honorarios": 0.2}
TERMS = (6, 9, 18, 30)
LIST_CUTS, LIST_RATES = (520, 600, 680), (4.2, 3.6, 3.0, 2.5)  # per cent a month, add-on
BELOW, ABOVE = 1.0, 0.8  # points around the list price


def declaration():
    """Return the declaration of the book, as the page shows it."""
    text = PAGE.read_text(encoding="utf-8")
    return yaml.safe_load(
        re.search(r"^```yaml portfolios/sierra.yaml\n(.*?)^```", text, re.M | re.S)[1]
    )


def source():
    """Return the book's entry among the sources, as the page shows it."""
    text = PAGE.read_text(encoding="utf-8")
    shown = re.search(r"^cat >> data/sources.yaml <<'EOF'\n(.*?)^EOF", text, re.M | re.S)[1]
    return yaml.safe_load(shown)["sierra"]


def written(folder, quotes=6_000, seed=11):
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    offers, loans = made(quotes, seed)
    for name, rows in ((QUOTES, offers), (LOANS, loans)):
        with (folder / name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def made(quotes, seed):
    """Return the quotes, and the loans of those that were accepted."""
    draw = np.random.default_rng(seed)
    offers = [_offer(draw, i, quotes) for i in range(quotes)]
    loans = [_loan(draw, offer) for offer in offers if offer["aceptada"] == "Sí"]
    return offers, loans


def _offer(draw, i, quotes):
    score = int(np.clip(draw.normal(600, 70), 400, 800))
    income = float(np.round(np.exp(draw.normal(9.5, 0.45)), -2))
    listed = LIST_RATES[int(np.searchsorted(LIST_CUTS, score, side="right"))]
    tested = bool(draw.uniform() < 0.5)
    rate = round(listed + (draw.uniform(-BELOW, ABOVE) if tested else 0), 2)
    asked, term = 500 * int(draw.integers(6, 81)), int(draw.choice(TERMS))
    shown = int(draw.choice(TERMS)) if draw.uniform() < 0.2 else term
    principal = 0.75 * asked if draw.uniform() < 0.2 else asked
    gap = abs(np.log(shown / term))
    logit = (
        0.1 - 1.2 * (rate - listed) - 0.5 * gap - 0.004 * (score - 600) - 1.5 * (principal < asked)
    )
    return {
        "folio": f"C-{i + 1:06d}",
        "fecha": f"{1 + i % 28:02d}/{1 + 12 * i // quotes:02d}/2025",
        "domicilio": "" if draw.uniform() < 0.05 else int(draw.integers(0, 31)),
        "sector": str(draw.choice(list(SECTORS))),
        "contrato": str(draw.choice(list(CONTRACTS), p=[0.6, 0.25, 0.15])),
        "buro": score,
        "ingreso": f"{income:.2f}",
        "deuda": round(float(np.clip(draw.normal(15, 9), 0, 60)), 1),
        "sexo": str(draw.choice(["M", "H"])),
        "monto_pedido": asked,
        "plazo_pedido": term,
        "monto": f"{principal:.2f}",
        "plazo": shown,
        "tasa": f"{rate:.2f}",
        "prueba": "Sí" if tested else "No",
        "densidad": round(1 / (BELOW + ABOVE), 6) if tested else "",
        "aceptada": "Sí" if draw.uniform() < 1 / (1 + np.exp(-logit)) else "No",
    }


def _loan(draw, offer):
    z = (offer["buro"] - 600) / 70
    logit = -1.9 - 0.6 * z + 0.25 * (float(offer["tasa"]) - 3.2) + 0.02 * (offer["deuda"] - 15)
    logit += SECTORS[offer["sector"]] + CONTRACTS[offer["contrato"]]
    logit += 0.3 * np.log(offer["plazo"] / 9)
    return {
        "folio": offer["folio"],
        "desembolso": offer["monto"],
        "impago": int(draw.uniform() < 1 / (1 + np.exp(-logit))),
    }


if __name__ == "__main__":
    written(Path(sys.argv[1]))
