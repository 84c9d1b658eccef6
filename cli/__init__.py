"""The terminal's front door: `finnt`. Each command calls one function of a package below."""

import logging
import os

import typer
from rich.markup import escape

from cli import books, decisions, keys, models, offers
from cli.terminal import err
from finntelligence.errors import FinntelligenceError

__all__ = ["app", "main"]

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
data_app = typer.Typer(no_args_is_help=True, help="The portfolios' data.")
app.add_typer(data_app, name="data")
data_app.command("add")(models.data_add)
data_app.command("remove")(models.data_remove)
decisions_app = typer.Typer(no_args_is_help=True, help="The record of decisions.")
app.add_typer(decisions_app, name="decisions")
for command in (
    decisions.verify,
    decisions.show,
    decisions.replay,
    decisions.export,
    decisions.prune,
    decisions.migrate,
):
    decisions_app.command()(command)
keys_app = typer.Typer(no_args_is_help=True, help="The API keys of the service.")
app.add_typer(keys_app, name="keys")
keys_app.command("add")(keys.add)
keys_app.command("list")(keys.list_keys)
keys_app.command("revoke")(keys.revoke)
batch_app = typer.Typer(no_args_is_help=True, help="Whole books of applicants.")
app.add_typer(batch_app, name="batch")
batch_app.callback()(lambda: None)
batch_app.command()(books.offers)
campaign_app = typer.Typer(no_args_is_help=True, help="Limits of the portfolio, kept by prices.")
app.add_typer(campaign_app, name="campaign")
for limit in (books.plan, books.frontier, books.steer, books.end):
    campaign_app.command()(limit)
for each in (
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
    app.command()(each)


def main() -> None:
    """Run `finnt`; errors of ours are one clear line."""
    logging.basicConfig(level="WARNING", format="%(message)s")
    try:
        _read_config()
        app(standalone_mode=True)
    except FinntelligenceError as error:
        err.print(
            f"[bold red]finnt:[/bold red] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        raise SystemExit(1) from None


def _read_config() -> None:
    if os.environ.get("FINNT_CONFIG"):  # `finnt --help` needs none of this
        from runners.settings import RunnerSettings  # noqa: F401 - its names are known then
        from serving.config_file import read_config

        read_config()
