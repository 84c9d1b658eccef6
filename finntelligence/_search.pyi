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
    terms: Array,
    table: Array,
    economics: Array,
    z_low: float,
    z_step: float,
    shadow_price: float,
    /,
) -> None: ...
def contract_total(balance: int, level: int, rate: int, term_months: int, /) -> int: ...
