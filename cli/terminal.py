"""What every command shares: the project's root, the terminal, and the portfolio it is about."""

from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings
from rich.console import Console

from finntelligence.errors import InvalidDeclarationError

__all__ = [
    "ROOT",
    "PortfolioArgument",
    "PortfolioOption",
    "err",
    "out",
    "refuse_undeclared",
    "settings_of",
]

ROOT = Path(__file__).resolve().parents[1]
PortfolioArgument = Annotated[str, typer.Argument(envvar="PORTFOLIO", help="A declared portfolio.")]
PortfolioOption = Annotated[str, typer.Option(envvar="PORTFOLIO", help="A declared portfolio.")]

Settings = TypeVar("Settings", bound=BaseSettings)

out, err = Console(), Console(stderr=True)


def refuse_undeclared(portfolio: str) -> None:
    """Refuse a name that no file under portfolios/ declares."""
    declared = sorted(path.stem for path in (ROOT / "portfolios").glob("*.yaml"))
    if portfolio not in declared:
        known = ", ".join(declared)
        raise InvalidDeclarationError(f"no portfolio {portfolio!r} is declared; declared: {known}")


def settings_of(kind: type[Settings]) -> Settings:
    """Return settings from the environment; refuse impossible ones by the variable's name."""
    prefix = str(kind.model_config.get("env_prefix"))
    try:
        return kind()
    except ValidationError as error:
        wrong = (
            f"{prefix}{'_'.join(map(str, e['loc']))}".upper() + f": {e['msg']}"
            for e in error.errors()
        )
        raise InvalidDeclarationError("; ".join(wrong)) from error
