"""What BentoML's services read from one another: arrays, and nothing that runs.

BentoML sends arrays as pickles, and an ordinary reader of pickles runs what they say. This one
knows the two names that an array's pickle needs. It works in both directions: a runner reads no
other thing from a front, nor a front from whoever answers at a runner's address.
"""

import io
import pickle
from typing import Any

from _bentoml_impl.serde import (  # type: ignore[import-untyped]
    ALL_SERDE,
    Payload,
    PickleSerde,
)
from bentoml.exceptions import InvalidArgument

__all__ = ["ArraySerde", "read_arrays_only"]

_KNOWN = {("numpy", "dtype"), ("numpy._core.numeric", "_frombuffer")}


class ArraySerde(PickleSerde):  # type: ignore[misc]  # untyped
    """Writes what BentoML's own does; reads plain values and contiguous arrays of numbers."""

    def deserialize_value(self, payload: Payload) -> Any:
        """Return what was sent.

        Raises:
            InvalidArgument: when it is not whole, or holds anything but arrays; nothing was run.
        """
        data = memoryview(b"".join(payload.data))
        try:
            lengths = [int(n) for n in payload.metadata.get("buffer-lengths", "").split(",") if n]
            start, *rest = lengths or [len(data)]
            buffers = []
            at = start
            for length in rest:
                buffers.append(pickle.PickleBuffer(data[at : at + length]))
                at += length
            return _Arrays(io.BytesIO(data[:start]), buffers=buffers).load()
        except Exception as error:  # noqa: BLE001 - what a broken pickle raises is told nowhere
            raise InvalidArgument(f"arrays only are read here: {type(error).__name__}") from None


class _Arrays(pickle.Unpickler):
    """An unpickler that finds nothing but what an array is made of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return super().find_class(module, name)


def read_arrays_only() -> None:
    """Have this process read arrays only from BentoML's services."""
    ALL_SERDE[PickleSerde.media_type] = ArraySerde
