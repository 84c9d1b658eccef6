from numpy import float64
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
