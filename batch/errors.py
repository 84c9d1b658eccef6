"""What may stop a job; finished partitions are kept, and the same command goes on from there."""

from finntelligence.errors import FinntelligenceError

__all__ = ["ClusterError"]


class ClusterError(FinntelligenceError):
    """The Dask cluster does not answer, its workers die, or they have another engine."""
