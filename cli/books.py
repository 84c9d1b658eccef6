"""Commands about whole books: offers to all of its applicants, and campaigns within limits."""

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from cli.terminal import ROOT, PortfolioOption, err, out, refuse_undeclared, settings_of
from finntelligence.errors import InvalidDeclarationError

if TYPE_CHECKING:  # `finnt --help` needs no Dask
    from batch.offers import Pricing
    from finntelligence.limits import Totals
    from runners.store import ServedPair

__all__ = ["end", "frontier", "offers", "plan", "steer"]

BookOption = Annotated[Path, typer.Option(help="Applicants, .parquet or .csv.")]
SampleOption = Annotated[
    int, typer.Option(min=1, help="Applicants it is computed from, evenly spaced in the book.")
]
_SAMPLE = 10_000


def offers(  # noqa: PLR0913 - a book, where it goes, and how
    input: Annotated[Path, typer.Option(help="The book, .parquet or .csv.")],
    output: Annotated[Path, typer.Option(help="A folder of Parquet parts; gone on with.")],
    portfolio: PortfolioOption = "simulated",
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask cluster, tcp://host:port; else this machine.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes here; all cores by default.")
    ] = None,
    partition_rows: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Applicants in a part.")
    ] = 10_000,
    key: Annotated[
        str | None, typer.Option(help="The column that tells who it is; else the row's number.")
    ] = None,
) -> None:
    """Decide on every applicant of a book, as the service would."""
    from batch.book import Book
    from batch.cluster import connected
    from batch.job import made_of, run
    from batch.output import Output

    refuse_undeclared(portfolio)
    began = time.perf_counter()
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    modules = ("batch.offers", "runners.model_file", "xgboost")
    with connected(scheduler, workers, modules) as client:
        _, pricing = _pricing(portfolio)  # while the workers start
        book = Book(input, pricing.market.portfolio, key)
        kept = Output.open(output, made_of(book, pricing, partition_rows))
        with Progress(*columns, console=err) as bar:
            task = bar.add_task("applicants", total=book.rows)
            done = run(
                *(book, kept, pricing, client, partition_rows),
                progress=lambda rows: bar.update(task, advance=rows),
            )
    out.print(
        f"{done.answered} applicants answered, {done.rejected} rows set aside, "
        f"{done.parts} parts, {time.perf_counter() - began:.1f} s",
        highlight=False,
    )


def plan(  # noqa: PLR0913 - a book, four limits, and how
    book: BookOption,
    portfolio: PortfolioOption = "simulated",
    budget: Annotated[float | None, typer.Option(help="Most principal to be lent.")] = None,
    minimum_volume: Annotated[float | None, typer.Option(help="Least principal.")] = None,
    expected_loss_ratio: Annotated[
        float | None, typer.Option(help="Most expected loss over principal, a fraction.")
    ] = None,
    average_apr: Annotated[
        float | None, typer.Option(help="Highest mean APR by principal, a fraction.")
    ] = None,
    applicants: Annotated[
        int | None,
        typer.Option(min=1, help="How many will ask; by default the book's."),
    ] = None,
    sample: SampleOption = _SAMPLE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Put nothing into force.")] = False,
) -> None:
    """Price the portfolio's limits by a book, and have the service keep them from now on."""
    from batch.campaign import of_plan, written
    from batch.campaign import sample as sampled
    from finntelligence.campaign import plan as planned
    from finntelligence.limits import Limits

    limits = Limits(
        budget=budget,
        minimum_volume=minimum_volume,
        expected_loss_ratio=expected_loss_ratio,
        average_apr=average_apr,
    )
    pair, pricing, asked = _asked(book, portfolio)
    some = sampled(asked, pricing, sample)
    people = some.people if applicants is None else applicants
    found = planned(some.under, limits.per_applicant(people))
    _show(
        "plan",
        [
            ("without limits", found.free.times(people)),
            ("within them", found.expected.times(people)),
        ],
    )
    for name, price in found.duals.items():
        out.print(f"{name}: {price:.6f} per unit", highlight=False)
    if dry_run:
        return
    content = of_plan(found, some.under, people, some.applicants, pricing.versions)
    written(pair.prices_path, content)
    out.print(f"in force: {escape(str(pair.prices_path))}", highlight=False, soft_wrap=True)


def frontier(  # noqa: PLR0913 - a book, a range of prices, and where to
    book: BookOption,
    portfolio: PortfolioOption = "simulated",
    table: Annotated[Path | None, typer.Option(help="Write the points here, .csv.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them here, .png or .svg.")] = None,
    lowest: Annotated[float, typer.Option(help="Price of a unit of capital, first.")] = -0.02,
    highest: Annotated[float, typer.Option(help="Price of a unit of capital, last.")] = 0.15,
    points: Annotated[int, typer.Option(min=2, max=200)] = 18,
    sample: SampleOption = _SAMPLE,
) -> None:
    """Show the most profit at each volume, with its expected loss: the efficient frontier."""
    from batch.campaign import sample as sampled
    from batch.pictures import draw_frontier
    from finntelligence.campaign import frontier as swept

    if not lowest < highest:
        raise InvalidDeclarationError("--lowest: must be below --highest")
    if plot is not None and plot.suffix not in (".png", ".svg"):
        raise InvalidDeclarationError("--plot: must end in .png or .svg")
    _, pricing, asked = _asked(book, portfolio)
    some = sampled(asked, pricing, sample)
    capitals = (np.linspace(lowest, highest, points).round(6) + 0.0).tolist()  # no -0
    found = [(price, each.times(some.people)) for price, each in swept(some.under, capitals)]
    _show("price of capital", [(f"{capital:g}", each) for capital, each in found])
    if table is not None:
        _write(table, [("capital", *_FIGURES), *((c, *_figures(each)) for c, each in found)])
    if plot is not None:
        draw_frontier(found, pricing.market.portfolio.currency, plot)


def steer(
    portfolio: PortfolioOption = "simulated",
    offer_days: Annotated[
        int, typer.Option(min=1, help="Days after which an offer without an answer has expired.")
    ] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Put nothing into force.")] = False,
) -> None:
    """Move the campaign's price of capital by what the recorded decisions have lent."""
    from datetime import UTC, datetime, timedelta

    from batch.campaign import campaign_of, read, written
    from batch.campaign import steer as steered
    from runners.store import ServedPair
    from serving.record.database import connected
    from serving.record.settings import RecordSettings
    from serving.record.usage import lent

    refuse_undeclared(portfolio)
    path = ServedPair(portfolio, ROOT).prices_path
    content = read(path)
    campaign = campaign_of(content)
    open_since = datetime.now(UTC) - timedelta(days=offer_days)
    with connected(settings_of(RecordSettings).database(portfolio, ROOT)) as engine:
        found = steered(content, lent(engine, portfolio, campaign.began, open_since))
    out.print(
        f"{found.applicants} of {campaign.course.applicants} applicants: lent "
        f"{found.lent - found.elsewhere:.0f} at the campaign's prices, the plan says "
        f"{found.planned:.0f}, and {found.elsewhere:.0f} at others",
        highlight=False,
        soft_wrap=True,
    )
    if found.capital == found.before:
        out.print(f"price of capital {found.before:.6f} stays as it is", highlight=False)
        return
    out.print(f"price of capital {found.before:.6f} -> {found.capital:.6f}", highlight=False)
    if not dry_run:
        written(path, found.content, instead_of=content)


def end(portfolio: PortfolioOption = "simulated") -> None:
    """End the campaign: no limit costs a single offer anything from now on."""
    from runners.store import ServedPair

    refuse_undeclared(portfolio)
    ServedPair(portfolio, ROOT).prices_path.unlink(missing_ok=True)
    out.print("no shadow prices are in force", highlight=False)


def _pricing(portfolio: str) -> "tuple[ServedPair, Pricing]":
    from batch.offers import Pricing
    from runners.store import ServedPair

    pair = ServedPair(portfolio, ROOT)
    market, scorers = pair.market()
    return pair, Pricing(
        market=market,
        versions=pair.all_versions(market),
        score_risk=scorers["risk"].coefficients,
        score_acceptance=scorers["acceptance"].coefficients,
        explain_risk=scorers["risk"].contributions,
    )


def _asked(path: Path, portfolio: str) -> Any:
    from batch.book import Book

    refuse_undeclared(portfolio)
    pair, pricing = _pricing(portfolio)
    return pair, pricing, Book(path, pricing.market.portfolio)


_FIGURES = ("profit", "loans", "principal", "expected_loss_ratio", "average_apr")


def _figures(totals: "Totals") -> tuple[float, ...]:
    return tuple(getattr(totals, name) for name in _FIGURES)


def _show(of: str, rows: "list[tuple[str, Totals]]") -> None:
    table = Table(of, "profit", "loans", "principal", "expected loss", "mean APR")
    for name, totals in rows:
        profit, loans, principal, loss, apr = _figures(totals)
        table.add_row(
            *(name, f"{profit:,.0f}", f"{loans:,.0f}", f"{principal:,.0f}"),
            *(f"{100 * loss:.2f} %", f"{100 * apr:.2f} %"),
        )
    out.print(table)


def _write(path: Path, rows: list[tuple[Any, ...]]) -> None:
    from batch.output import replacing

    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
