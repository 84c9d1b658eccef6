"""The terminal's front door: `finnt`. Each command calls one function of a package below."""

import logging

import typer
from rich.markup import escape

from cli import models, offers
from cli.terminal import err
from finntelligence.errors import FinntelligenceError

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
data_app = typer.Typer(no_args_is_help=True, help="The portfolios' data.")
app.add_typer(data_app, name="data")
data_app.command("add")(models.data_add)
data_app.command("remove")(models.data_remove)
for command in (
    models.pipeline,
    offers.serve,
    offers.offer,
    models.status,
    models.judge,
    models.promote,
    models.rollback,
    models.history,
    models.lineage,
):
    app.command()(command)


def main() -> None:
    """Run `finnt`; errors of ours are one clear line."""
    logging.basicConfig(level="WARNING", format="%(message)s")
    try:
        app(standalone_mode=True)
    except FinntelligenceError as error:
        err.print(
            f"[bold red]finnt:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        raise SystemExit(1) from None
