"""How much does it cost: counts and cycles in, joules, watts and square millimetres out.

The only place where a joule exists.
"""

from accelsim.cost.pricing import Bill, price

__all__ = ["Bill", "price"]
