"""Published devices by the formulas of their sources, in NumPy: takes nothing from the code under test.

Sources: IBM/aihwkit at 4545f11 (src/aihwkit/inference/noise), sandialabs/cross-sim at 0a2eb1e
(simulator/devices/custom), neurosim/NeuroSim MLP V3.0 at 6098fea (Cell.cpp). Conductances in uS, times in s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DAY = 86_400.0


@dataclass(frozen=True)
class Published:
    """A device; ``times``: three at which it is known, ``t_read``: the read with which its noise was measured."""

    times: tuple[float, float, float]
    t_read: float = 1e-6
    lowest: float = 0.0
    highest: float = np.inf
    t0: float | None = None

    def mean(self, g, t):
        return g

    def sigma(self, g, t):
        return np.zeros_like(g)

    def decay(self, t):
        """Mean and standard deviation of what is added."""
        return 0.0, 0.0

    def nu(self, g):
        """Mean and standard deviation of the drift exponent."""
        return np.zeros_like(g), np.zeros_like(g)

    def read(self, before, now, t):
        """Standard deviation of a read: of a cell that was ``before`` at t0 and is ``now``."""
        return None

    def sample(self, g, t, generator, count):
        """Draw cells of one target at a time."""
        target = np.full(count, g)
        shift, spread = self.decay(t)
        cells = self.mean(target, t) + self.sigma(target, t) * generator.standard_normal(count)
        cells = np.clip(cells + shift + spread * generator.standard_normal(count), self.lowest, self.highest)
        if self.t0 is not None:
            mean, sd = self.nu(target)
            cells = cells * (t / self.t0) ** -np.abs(mean + sd * generator.standard_normal(count))
        return cells


def growth(t, t_read):
    return np.sqrt(np.log((t + t_read) / (2 * t_read)))


class Nandakumar(Published):
    def sigma(self, g, t):
        x = g / 25
        return 0.26348 + 1.9650 * x - 1.1731 * x**2

    def nu(self, g):
        x = np.maximum(g / 25, 1e-7)
        return np.clip(-0.0155 * np.log(x) + 0.0244, 0.049, 0.1), np.clip(-0.0125 * np.log(x) - 0.0059, 0.008, 0.045)

    def read(self, before, now, t):
        q = np.minimum(0.0088 / np.maximum((before / 25) ** 0.65, 1e-3), 0.2)
        return now * q * growth(t, self.t_read)


class Hermes(Published):
    def sigma(self, g, t):
        x = g / 10.35
        return 0.15781817 + 2.32443916 * x - 2.16310839 * x**2 + 0.68841818 * x**3

    def nu(self, g):
        x = np.maximum(g / self.full, 1e-7)
        low = np.clip(-0.0387 * np.log(x) - 0.0182, 0.072, 0.13)
        return np.where(x < 0.0945, low, -0.0436 * x**2 - 0.0126 * x + 0.0736), self.nu_spread(x)

    full = 10.35

    def nu_spread(self, x):
        low = np.clip(-0.0120 * np.log(x) - 0.0023, 0.0124, 0.04)
        return np.where(x < 0.3039, low, -0.0165 * x**2 + 0.0116 * x + 0.0104)

    def read(self, before, now, t):
        x = np.maximum(before / 10.35, 1e-7)
        low = np.clip(-0.0078 * np.log(x) + 0.0038, 0.0179, 0.04)
        q = np.where(x < 0.1591, low, 0.0664 * x**3 - 0.1352 * x**2 + 0.0768 * x + 0.0088)
        return now * q * growth(t, self.t_read)


class Hermes2(Hermes):
    full = 20.7

    def sigma(self, g, t):
        x = g / 20.7
        return 0.16603222 + 4.71806468 * x - 8.48101252 * x**2 + 4.68961419 * x**3

    def nu_spread(self, x):
        low = np.clip(-0.0117 * np.log(x) - 0.0057, 0.0091, 0.04)
        return np.where(x < 0.3055, low, -0.0118 * x**2 + 0.0093 * x + 0.0073)

    def read(self, before, now, t):
        x = np.maximum(before / 20.7, 1e-7)
        low = np.clip(-0.0117 * np.log(x) - 0.0069, 0.015, 0.04)
        q = np.where(x < 0.16, low, 0.0069 * x**3 - 0.0280 * x**2 + 0.0211 * x + 0.0123)
        return now * q * growth(t, self.t_read)


class Joshi(Published):
    def sigma(self, g, t):
        return np.maximum(-0.00178767 * g**2 + 0.07585724 * g + 0.28638599, 0)


class Wan(Published):
    def sigma(self, g, t):
        x = g / 40
        second = 0.348 + 16.030 * x - 43.853 * x**2 + 45.393 * x**3 - 16.815 * x**4
        day = 0.701 + 22.086 * x - 50.773 * x**2 + 47.095 * x**3 - 16.458 * x**4
        two = 0.782 + 20.274 * x - 43.507 * x**2 + 37.062 * x**3 - 11.934 * x**4
        if t <= DAY:
            share = np.log(t) / np.log(DAY)
            return (1 - share) * second + share * day
        share = np.log(t / DAY) / np.log(2)
        return (1 - share) * day + share * two

    def read(self, before, now, t):
        return np.full_like(now, 0.01 * 40)


class Milo(Published):
    def sigma(self, g, t):
        return np.maximum(-0.009107 * g + 4.782321, 0)


class Cmo(Published):
    def sigma(self, g, t):
        return 0.0112185391 + 0.01129027418 * g

    def decay(self, t):
        return -0.08900206 * np.log(t), 0.04201137 * np.log(t) + 0.41183342

    def read(self, before, now, t):
        return 0.0277316483 * np.log10(now) * growth(t, self.t_read)


class Sonos(Published):
    DRIFT = (
        (0.0,),
        (1.72684e-01, 5.72552e-02, -6.85715e-04, 3.50271e-06, -9.37682e-09, 1.40575e-11, -1.19803e-14, 5.41293e-18,
         -8.85448e-22, -1.66869e-25, 5.95180e-29),
        (2.50712e-01, 6.62195e-02, -6.83218e-04, 2.99442e-06, -6.78255e-09, 7.70482e-12, -3.04983e-15, -2.15919e-18,
         2.94617e-21, -1.23359e-24, 1.85329e-28),
        (-1.75300e-02, 9.76883e-02, -9.63791e-04, 4.55551e-06, -1.22391e-08, 1.93786e-11, -1.85899e-14, 1.07659e-17,
         -3.58211e-21, 5.96785e-25, -3.30410e-29),
        (4.03338e-02, 1.03111e-01, -1.04740e-03, 4.83961e-06, -1.28132e-08, 1.99484e-11, -1.85139e-14, 1.00008e-17,
         -2.84944e-21, 3.01008e-25, 1.18747e-29),
        (3.19927e-01, 1.06596e-01, -1.04054e-03, 4.50290e-06, -1.10352e-08, 1.56477e-11, -1.27592e-14, 5.45513e-18,
         -7.26841e-22, -2.43893e-25, 7.14608e-29),
    )  # fmt: skip
    SPREAD = (
        (19.88665, 176.3115), (25.59102, 186.85544), (28.72753, 193.56834), (31.04318, 198.90332),
        (33.76214, 204.77023), (34.57909, 207.34309),
    )  # fmt: skip

    def mean(self, g, t):
        nano = g * 100  # nA at 0.1 V
        return (nano + sum(c * nano**k for k, c in enumerate(self.DRIFT[round(t / DAY)]))) / 100

    def sigma(self, g, t):
        a, b = self.SPREAD[round(t / DAY)]
        return (a - a * np.exp(-self.mean(g, t) * 100 / b)) / 100

    def read(self, before, now, t):
        return (12.58037 - 12.58037 * np.exp(-now * 100 / 215.36557)) / 100


class Mram(Published):
    def sample(self, g, t, generator, count):
        cells = super().sample(g, t, generator, count)
        return 1 / (1 / cells + 5e3 * 1e-6)  # 5 kohm in Mohm

    def sigma(self, g, t):
        return 0.07 * g


class Fefet(Published):
    def sample(self, g, t, generator, count):
        return 1 / (1 / super().sample(g, t, generator, count) + 10e3 * 1e-6)

    def sigma(self, g, t):
        return np.full_like(g, 0.005 * (1.788 - 0.03973))


class Ecram(Published):
    def sigma(self, g, t):
        return np.full_like(g, 0.000433)


PUBLISHED: dict[str, Published] = {
    "pcm_nandakumar": Nandakumar((20.0, DAY, 30 * DAY), t_read=250e-9, t0=20.0),
    "pcm_hermes": Hermes((200.0, DAY, 30 * DAY), t_read=512e-9, t0=200.0),
    "pcm_hermes2": Hermes2((300.0, DAY, 30 * DAY), t_read=512e-9, t0=300.0),
    "pcm_joshi": Joshi((27.36, DAY, 30 * DAY)),
    "rram_neurram": Wan((1.0, 3600.0, 2 * DAY)),
    "rram_milo": Milo((1.0, DAY, 30 * DAY)),
    "rram_cmo_hfox": Cmo((1.0, DAY, 30 * DAY), lowest=9.0, highest=88.2),
    "sonos": Sonos((0.0, DAY, 5 * DAY)),
    "mram_stt": Mram((1.0, DAY, 30 * DAY)),
    "fefet": Fefet((1.0, DAY, 30 * DAY)),
    "ecram": Ecram((1.0, DAY, 30 * DAY)),
}
