"""How much does it cost: counts and cycles in, joules, watts and square millimetres out.

The only place where a joule exists.
"""

from accelsim.cost.power import Power, power_over_time
from accelsim.cost.pricing import Bill, check_prices, job_energy_j, price

__all__ = ["Bill", "Power", "check_prices", "job_energy_j", "power_over_time", "price"]
