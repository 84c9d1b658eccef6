"""What a process has loaded once it serves is never looked at again by the garbage collector."""

import gc

__all__ = ["settle"]

_ALLOCATIONS = 50_000
"""Between two collections of the youngest: a request makes hundreds of objects and few cycles."""


def settle() -> None:
    """Keep what is loaded now out of every later collection.

    Modules, models and tables are some 140,000 objects. To walk them takes 60 ms, in which nobody
    is answered, and they go nowhere. What is replaced later must be free of cycles to be freed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 20)
