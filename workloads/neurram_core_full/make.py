"""Make the random weights of this workload: python make.py"""

from pathlib import Path

import numpy as np

from accelsim.weights import save_weights

weights = np.random.default_rng(0).integers(-7, 8, (128, 256), np.int8)
save_weights(Path(__file__).parent / "weights.safetensors", {"weight": weights})
