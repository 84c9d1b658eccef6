"""What every command shares: the project's root, the terminal, and the portfolio it is about."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from finntelligence.errors import InvalidDeclarationError

__all__ = ["ROOT", "PortfolioArgument", "PortfolioOption", "err", "out", "refuse_undeclared"]

ROOT = Path(__file__).resolve().parents[1]
PortfolioArgument = Annotated[str, typer.Argument(envvar="PORTFOLIO", help="A declared portfolio.")]
PortfolioOption = Annotated[str, typer.Option(envvar="PORTFOLIO", help="A declared portfolio.")]

out, err = Console(), Console(stderr=True)


def refuse_undeclared(portfolio: str) -> None:
    """Refuse a name that no file under portfolios/ declares."""
    declared = sorted(path.stem for path in (ROOT / "portfolios").glob("*.yaml"))
    if portfolio not in declared:
        known = ", ".join(declared)
        raise InvalidDeclarationError(f"no portfolio {portfolio!r} is declared; declared: {known}")
