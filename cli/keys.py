"""Commands about API keys: who may ask the service for what."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli.terminal import ROOT, err, out, settings_of

__all__ = ["add", "list_keys", "revoke"]

Name = Annotated[str, typer.Argument(help="Whose key it is.")]


def add(
    name: Name,
    scope: Annotated[
        str, typer.Option(help="What for: offer, read, outcome, metrics, admin; with commas.")
    ],
    rate: Annotated[float, typer.Option(help="Requests a second.")] = 50.0,
) -> None:
    """Make a key and print it; it is shown this once."""
    from serving.keys import AuthSettings
    from serving.keys import add as added

    scopes = [each.strip() for each in scope.split(",")]
    key = added(settings_of(AuthSettings).path(ROOT), name, scopes, rate)
    err.print("This key is shown once:", highlight=False)
    typer.echo(key)


def list_keys() -> None:
    """List the keys and what they are good for."""
    from serving.keys import AuthSettings, entries

    table = Table("id", "name", "scopes", "a second", "made", "revoked")
    for key in entries(settings_of(AuthSettings).path(ROOT)):
        cells = (key.id, key.name, ", ".join(key.scopes), f"{key.rate:g}", key.made)
        table.add_row(*map(escape, cells), key.revoked or "")
    out.print(table)


def revoke(name: Name) -> None:
    """Take a key out of force; a running service follows by itself."""
    from serving.keys import AuthSettings
    from serving.keys import revoke as revoked

    key = revoked(settings_of(AuthSettings).path(ROOT), name)
    out.print(f"key {key.id} of {escape(key.name)} is revoked", highlight=False)
