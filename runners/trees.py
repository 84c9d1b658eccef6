"""What a booster's trees answer to rows, asked through XGBoost's documented C API.

XGBoost's own Python makes the same calls. Around them it finds out what kind of data it was given
and how to tell it, which takes several times as long as a few rows do.
"""

import ctypes
import json
import math
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xgboost as xgb

__all__ = ["contributed", "predicted"]

_ALL_ROUNDS = {"training": False, "iteration_begin": 0, "iteration_end": 0, "strict_shape": False}
_READING = {"missing": math.nan, "nthread": 1}
_ASKED = json.dumps(
    # the value; objectives of ours have no other margin
    {"type": 0, **_ALL_ROUNDS, **_READING, "cache_id": 0}
).encode()
_ASKED_WHY = json.dumps({"type": 2, **_ALL_ROUNDS}).encode()
_READ = json.dumps(_READING).encode()


def predicted(booster: "xgb.Booster", rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what `booster.inplace_predict` does for rows, (n, features), flat: (n * outputs,).

    Several threads may ask the same booster, as long as none changes it.

    Raises:
        XGBoostError: when the rows do not fit the booster.
    """
    given = np.ascontiguousarray(rows, dtype=np.float32)
    answer = _Answer()
    asked = booster.handle, _about(given), _ASKED, _proxy(), *answer.places
    _check(_library().XGBoosterPredictFromDense(*asked))
    return answer.read()


def contributed(booster: "xgb.Booster", rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Shapley values of rows, (n, features), flat: (n * outputs * (features + 1),).

    What `booster.predict` calls `pred_contribs`; the same holds of threads and errors as above.
    """
    given = np.ascontiguousarray(rows, dtype=np.float32)
    if given.shape[1] != booster.num_features():  # the library notices as it writes the answer
        import xgboost as xgb

        raise xgb.core.XGBoostError("Number of columns does not match number of features")
    answer, library, matrix = _Answer(), _library(), ctypes.c_void_p()
    _check(library.XGDMatrixCreateFromDense(_about(given), _READ, ctypes.byref(matrix)))
    try:
        asked = booster.handle, matrix, _ASKED_WHY, *answer.places
        _check(library.XGBoosterPredictFromDMatrix(*asked))
        return answer.read()
    finally:
        _check(library.XGDMatrixFree(matrix))


class _Proxy:
    """What the library takes rows through; of a call that brings none it makes one.

    To make one it reads from files how many processors there may be, which takes longer than a few
    rows do.
    """

    def __init__(self) -> None:
        library = _library()
        self.handle, self._free = ctypes.c_void_p(), library.XGDMatrixFree
        _check(library.XGProxyDMatrixCreate(ctypes.byref(self.handle)))

    def __del__(self) -> None:
        self._free(self.handle)


class _Own(threading.local):
    """What a thread keeps for itself: a proxy knows one call's rows at a time."""

    proxy: _Proxy | None = None


_own = _Own()


def _proxy() -> ctypes.c_void_p:
    if _own.proxy is None:
        _own.proxy = _Proxy()
    return _own.proxy.handle


class _Answer:
    """Where the library puts the shape of what it found, and the numbers."""

    def __init__(self) -> None:
        self._shape, self._axes = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        self._found = ctypes.c_void_p()
        self.places = tuple(map(ctypes.byref, (self._shape, self._axes, self._found)))

    def read(self) -> NDArray[np.float64]:
        """Return the numbers at once: their memory is the booster's until it is asked again."""
        size = math.prod(self._shape[: self._axes.value])
        content = ctypes.string_at(self._found.value or 0, size * np.float32().itemsize)
        return np.frombuffer(content, np.float32).astype(float)


def _about(given: NDArray[np.float32]) -> bytes:
    """Return where rows are, as an array interface; they must outlive the call."""
    about = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}'
    return about % (given.ctypes.data, *given.shape)


def _check(status: int) -> None:
    if status:
        import xgboost as xgb

        raise xgb.core.XGBoostError(_library().XGBGetLastError().decode())


@cache
def _library() -> Any:
    """Return the library that the imported XGBoost has loaded."""
    from xgboost.libpath import find_lib_path

    library = ctypes.CDLL(find_lib_path()[0])
    place, words = ctypes.c_void_p, ctypes.c_char_p
    library.XGBoosterPredictFromDense.argtypes = (place, words, words, *[place] * 4)
    library.XGBoosterPredictFromDMatrix.argtypes = (place, place, words, *[place] * 3)
    library.XGDMatrixCreateFromDense.argtypes = (words, words, place)
    library.XGProxyDMatrixCreate.argtypes = (place,)
    library.XGDMatrixFree.argtypes = (place,)
    library.XGBGetLastError.restype = words
    return library
