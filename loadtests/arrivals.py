"""How many customers there are at a time of a load test."""

__all__ = ["users_at"]


def users_at(seconds: float, peak: int, ramp: float, hold: float) -> tuple[int, float] | None:
    """Return how many users there are to be, and how many may come or go a second; None: the end.

    They arrive evenly over `ramp` seconds, stay for `hold`, and leave as they came.

    >>> [users_at(t, peak=100, ramp=10, hold=30) for t in (0, 5, 20, 45, 50)]
    [(1, 10.0), (50, 10.0), (100, 10.0), (50, 10.0), None]
    """
    left = 2 * ramp + hold - seconds
    if left <= 0:
        return None
    share = min(seconds, left, ramp) / ramp if ramp else 1.0
    return max(1, round(peak * share)), max(1.0, peak / ramp if ramp else peak)
