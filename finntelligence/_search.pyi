from numpy import float64, int64
from numpy.typing import NDArray

Array = NDArray[float64]

def best_ticks(
    cells: Array,
    result: Array,
    ticks: Array,
    factor: Array,
    decay: Array,
    monthly: Array,
    charges: Array,
    terms: Array,
    table: Array,
    economics: Array,
    z_low: float,
    z_step: float,
    loss_charge: float,
    /,
) -> None: ...
def contract_total(balance: int, level: int, rate: int, term_months: int, /) -> int: ...
def monthly_rate(payment: float, amount: float, term_months: float, /) -> float: ...
def linear_part(
    matrix: Array,
    result: Array,
    position: NDArray[int64],
    kind: NDArray[int64],
    bounds: Array,
    scale: Array,
    weights: Array,
    /,
) -> None: ...
