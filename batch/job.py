"""Offers to a whole book: its blocks, decided on a cluster, kept part by part."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from distributed import Client

from batch.book import Book
from batch.cluster import answers
from batch.offers import COLUMNS, Pricing, part
from batch.output import Output
from finntelligence.errors import InvalidDataError

__all__ = ["Summary", "made_of", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a finished job has answered, in applicants."""

    answered: int
    rejected: int
    parts: int


def made_of(book: Book, pricing: Pricing, rows: int) -> dict[str, object]:
    """Return all that the answers depend on, for a manifest.

    Raises:
        InvalidDataError: when the book's key has the name of an answer.
    """
    if book.key in COLUMNS.names:
        raise InvalidDataError(f"{book.path}: the key cannot be called {book.key}")
    named = ("pair", "portfolio", "policy", "shadow_prices", "engine")
    return {
        "book": book.digest,
        "key": book.key,
        "partition_rows": rows,
        **{name: pricing.versions.get(name) for name in named},
    }


def run(
    book: Book,
    output: Output,
    pricing: Pricing,
    client: Client,
    rows: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Answer what an output lacks yet of a book; `progress` is told of each applicant done.

    Raises:
        InvalidDataError: when the book cannot be read, or an answer not be written.
        ClusterError: when the cluster is gone; what is finished is kept.
    """
    done = output.done()
    parts = -(-book.rows // rows)
    progress(min(rows * len(done), book.rows))
    missing = (block for block in book.blocks(rows) if block.number not in done)
    for block, answer in answers(client, partial(part, key=book.key), pricing, missing):
        output.write(block.number, answer)
        done[block.number] = len(answer.offers)
        progress(len(block.table))
    rejected = output.finish(parts)
    return Summary(answered=sum(done.values()), rejected=rejected, parts=parts)
