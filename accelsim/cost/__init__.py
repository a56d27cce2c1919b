"""How much does it cost: counts and cycles in, joules, watts and square millimetres out.

The only place where a joule exists.
"""

from accelsim.cost.power import Power, power_over_time
from accelsim.cost.pricing import SAMPLES, Bill, Draws, check_prices, interval, job_energy_j, price, prices_of
from accelsim.cost.window import check_point, extrapolated, quiet_converters

__all__ = [
    "SAMPLES",
    "Bill",
    "Draws",
    "Power",
    "check_point",
    "check_prices",
    "extrapolated",
    "interval",
    "job_energy_j",
    "power_over_time",
    "price",
    "prices_of",
    "quiet_converters",
]
