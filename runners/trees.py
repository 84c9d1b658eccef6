"""What a booster's trees answer to rows, asked through XGBoost's documented C API.

`Booster.inplace_predict` makes the same call. Around it it finds out what kind of data it was given
and how to tell it, which takes several times as long as a few rows do.
"""

import ctypes
import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xgboost as xgb

__all__ = ["predicted"]

_ASKED = json.dumps(
    {
        "type": 0,  # the value; objectives of ours have no other margin
        "training": False,
        "iteration_begin": 0,
        "iteration_end": 0,  # all rounds
        "missing": math.nan,
        "strict_shape": False,
        "cache_id": 0,
    }
).encode()


def predicted(booster: "xgb.Booster", rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what `booster.inplace_predict` does for rows, (n, features), flat: (n * outputs,).

    Several threads may ask the same booster, as long as none changes it.

    Raises:
        XGBoostError: when the rows do not fit the booster.
    """
    given = np.ascontiguousarray(rows, dtype=np.float32)
    about = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}'
    shape, axes = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
    found = ctypes.c_void_p()
    library = _library()
    status = library.XGBoosterPredictFromDense(
        booster.handle,
        about % (given.ctypes.data, *given.shape),
        _ASKED,
        None,
        *(ctypes.byref(each) for each in (shape, axes, found)),
    )
    if status:
        import xgboost as xgb

        raise xgb.core.XGBoostError(library.XGBGetLastError().decode())
    size = math.prod(shape[: axes.value])
    # copied at once: the memory is the booster's, until this thread asks it again
    content = ctypes.string_at(found.value or 0, size * given.itemsize)
    return np.frombuffer(content, np.float32).astype(float)


@cache
def _library() -> Any:
    """Return the library that the imported XGBoost has loaded."""
    from xgboost.libpath import find_lib_path

    library = ctypes.CDLL(find_lib_path()[0])
    library.XGBoosterPredictFromDense.argtypes = (
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p),
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    )
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library
