"""Lines to break, one at a time: what each says, what it is made to say, and the tests that have to notice.

``old`` stands exactly once in its file. ``reason``: why a mutation is let live, where it is; none is without one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    room: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    reason: str = ""


RECORD = "tests/golden/test_record_by_hand.py"
PEAK = "tests/unit/test_peak_rates.py"
ENGINE = "tests/property/test_engine.py"
SIMULATE = "tests/unit/test_simulate.py"
FIGURES = "tests/unit/test_pipeline_figures.py"
TILES = "tests/property/test_tile_counts.py"
STATES = "tests/property/test_state_counts.py"
MIXED = "tests/property/test_mixed_bits.py"
NPU = "tests/property/test_npu_counts.py"
GRAPH = "tests/property/test_graph_counts.py"
RSNN = "tests/property/test_rsnn_cycles.py"
COST = "tests/unit/test_cost.py"
BILLS = "tests/golden/test_bills_by_hand.py"
WIRES = "tests/property/test_wires.py"
OPEN_ROWS = "tests/property/test_open_rows.py"
ARRAY_READ = "tests/property/test_array_read.py"
EFFECTIVE_CACHE = "tests/unit/test_effective_cache.py"
INTEGERS = "tests/property/test_integer_ops.py"
INTEGER_BILL = "tests/golden/test_integer_bill.py"
INTEGER_ERRORS = "tests/unit/test_integer_errors.py"
CONVERTERS = "tests/property/test_converter_errors.py"
CONVERTERS_OF_A_CHIP = "tests/unit/test_converters_of_a_chip.py"
LEAKAGE = "tests/unit/test_leakage_and_temperature.py"

_DATA = {
    "record": {
        "accelsim/record.py": [
            ("p99=int(np.percentile(cycles, 99,", "p99=int(np.percentile(cycles, 50,", RECORD),
            ('p50=int(np.percentile(cycles, 50, method="higher")),', 'p50=int(np.percentile(cycles, 50)),', RECORD),
            ("(latency_ps > frame_ps).sum()", "(latency_ps >= frame_ps).sum()", RECORD),
            ("KIB_BITS = 8 * 1024", "KIB_BITS = 1024", RECORD),
            ("timeline.worked_ps / frames / period_ps", "timeline.duration_ps / frames / period_ps", RECORD),
            ("performed / batch.audio_seconds / 1e6", "sum(m['dense'] for m in macs) / batch.audio_seconds / 1e6",
             RECORD),
            ("per_frame_j=total_j / performance.frames", "per_frame_j=total_j / performance.utterances", RECORD),
            ("max(members.values()) for layer", "sum(members.values()) for layer", RECORD),
            ("moved[job.layer].get(path, 0.0) + bits / 8", "bits / 8", RECORD),
            ("sd=stdev(values) if several", "sd=stdev(values) / 2 if several", RECORD),
            ("* run.execution.subsampling", "", RECORD),
            ("latency_ps = run.execution.starts, timeline.finished_ps - timeline.arrived_ps",
             "latency_ps = run.execution.starts, timeline.finished_ps - timeline.started_ps", RECORD),
        ],
        "accelsim/throughput.py": [
            ('"peak": (2 * multiplications, peak_w)', '"peak": (4 * multiplications, peak_w)', f"{RECORD} {PEAK}"),
            ("peak_w = static_w + sum(", "peak_w = sum(", RECORD),
            ("/ (phases * max(passes.values()))", "/ max(passes.values())", PEAK),
            ('"peak": (2 * multiplications, peak_w)', '"peak": (2 * multiplications, power_w)', RECORD),
        ],
    },
    "components": {
        "accelsim/components/crossbar.py": [
            ("        return self.cycles_per_read\n", "        return 1\n", PEAK),
            ('counts["phases"] * spec.cycles_per_read', 'counts["phases"]', GRAPH),
            ("(self.sign == \"offset\")", "0", BILLS),
            ("-(-pulses // self.cells_written_at_once)", "pulses // self.cells_written_at_once", RECORD),
        ],
        "accelsim/components/mesh.py": [
            ('counts["transfer"] + counts["hops"] * spec.cycles_per_hop', 'counts["transfer"]', TILES),
            ('"hops": links}', '"hops": 1}', TILES),
            ("for a, b in self.route(start, end))", "for a, b in self.route(start, end)[:1])", TILES),
            ('"route": words, "hops"', '"route": words * 2, "hops"', TILES),
        ],
        "accelsim/components/adc.py": [
            ("np.minimum(spec.shared_by, of_busiest(", "np.maximum(spec.shared_by, of_busiest(", GRAPH),
            ("return self.shared_by * self.cycles_per_conversion", "return self.cycles_per_conversion", PEAK),
        ],
        "accelsim/components/shift_add.py": [("(spec.units * spec.adds_per_cycle)", "spec.units", GRAPH)],
        "accelsim/components/pe_array.py": [("spec.switch_cycles * counts", "counts", RSNN)],
        "accelsim/components/lif.py": [
            ('-(-counts["neurons"] // spec.units)', '(counts["neurons"] // spec.units)', RSNN),
        ],
        "accelsim/components/dram.py": [
            ("return work - (-work * extra.numerator // extra.denominator)", "return work",
             "tests/unit/test_npu_components.py"),
            ("-(-bytes_ // self.row_bytes)", "bytes_ // self.row_bytes + 1", NPU),
        ],
        "accelsim/components/systolic_array.py": [
            ("return m * k * -(-n // self.columns)", "return m * k", NPU),
            ("return full * max(length, self.rows)", "return full * length", "tests/property/test_systolic_array.py"),
            ('"accumulate": accumulate,', '"accumulate": accumulate + m,', "tests/property/test_systolic_array.py"),
        ],
        "accelsim/components/vector_unit.py": [("* spec.cycles_per_special", "", GRAPH)],
    },
    "engines": {
        "accelsim/ops/s4d.py": [
            ("MACS_PER_STATE = 8", "MACS_PER_STATE = 6", STATES),
            ("found.get(part, 0) + 2 * self.states", "found.get(part, 0) + 3 * self.states", STATES),
            ("steps.bit_length() + 1 if", "steps.bit_length() if", MIXED),
            ("(bits.state_steps() // largest_level(n))", "1", MIXED),
        ],
        "accelsim/engines/digital.py": [
            ('counts["states"] = {"read": every * states,', 'counts["states"] = {"read": every * states // 2,', STATES),
            ("added = given.width * rows if len(op.reads()) > 1 else 0", "added = 0", STATES),
            ('"exponential": keys * op.heads}', '"exponential": keys}', GRAPH),
            ("read = third + keys * 2 * third", "read = third + keys * third", GRAPH),
            ("quantised * cluster.quantising(op) + rows * cluster.rounding(op)", "rows * cluster.rounding(op)", GRAPH),
        ],
        "accelsim/engines/state_crossbar.py": [
            ('"driver": counts(phases=1, drive=2 * pairs)', '"driver": counts(phases=1, drive=pairs)', STATES),
            ("pairs = states + work.kernels", "pairs = states", STATES),
            ('{"states": counts(read=states, write=work.kernels)}', '{"states": counts(read=states, write=0)}', STATES),
        ],
        "accelsim/engines/readout.py": [
            ('"write": work.outputs, "groups"', '"write": 1, "groups"', STATES),
        ],
        "accelsim/engines/crossbar_tiles.py": [
            ("outputs * (work.row_tiles - 1 +", "outputs * (work.row_tiles +", TILES),
            ("len(op.reads()) - 1)  # a residual", "0)  # a residual", TILES),
            ('"drive": mine * driven * arrays', '"drive": mine * driven', f"{TILES} {GRAPH}"),
            ("sampled = sum(self._columns(mapping, group)) * mapping.planes",
             "sampled = sum(self._columns(mapping, group))", TILES),
            ('role: {"write": mine * words,', 'role: {"write": mine,', TILES),
            ("added = (mapping.row_tiles - 1) * outputs", "added = mapping.row_tiles * outputs", GRAPH),
        ],
        "accelsim/engines/cluster.py": [
            ("rounded = QUANTISE + DEQUANTISE if", "rounded = QUANTISE if", GRAPH),
            ("read, written + self.words_brought(op, grid), share", "read, written, share",
             "tests/property/test_mixed_chips.py tests/golden/test_mixed_chips.py"),
        ],
        "accelsim/engines/execute.py": [
            ("mine * value for name, value in transfer", "2 * mine * value for name, value in transfer",
             "tests/property/test_mixed_chips.py tests/golden/test_mixed_chips.py"),
        ],
        "accelsim/engines/spike_pes.py": [
            ('"idle": steps * self.pe.sets * self.pe.pes - added', '"idle": steps * self.pe.pes - added', RSNN),
            ('"control": {"dispatch": blocks}', '"control": {"dispatch": blocks * 2}', RSNN),
            ("steps * units if skip else steps * 0", "steps * units", RSNN),
        ],
        "accelsim/engines/npu/run.py": [
            ("self._dram(read=given + read, written=taken + state + written)",
             "self._dram(read=taken + state + written, written=given + read)", NPU),
            ("cpu.copies(taken + state) + cpu.copies(given)", "cpu.copies(taken) + cpu.copies(given)", NPU),
            ("_ON_VECTOR = Depthwise | PlacesOnVector", "_ON_VECTOR = PlacesOnVector", NPU),
            ("work.scores * (SOFTMAX + RELATIVE * work.relative)", "work.scores * SOFTMAX", NPU),
            ("work.scores + work.rows * work.heads", "work.scores", NPU),
            ('"loader": {"descriptor": 1,', '"loader": {"descriptor": 2,', NPU),
            ("operations=2 * macs + self._operations", "operations=macs + self._operations", NPU),
        ],
    },
    "kernels": {
        "accelsim/kernels/lif.py": [
            ("                    if kept >= fires_from:", "                    if kept > fires_from:",
             "tests/property/test_rsnn_values.py"),
        ],
        "accelsim/kernels/zero_skip.py": [
            ("steps[t] = max(steps[t], count)", "steps[t] = steps[t] + count", RSNN),
        ],
        "accelsim/kernels/converters.py": [
            ("clipped = int((np.abs(rounded) > adc.largest_code).sum())",
             "clipped = int((np.abs(rounded) >= adc.largest_code).sum())", "tests/unit/test_converters.py"),
        ],
        "accelsim/kernels/norm.py": [
            ("variance = over(squares, n, half, count)", "variance = over(squares, n - 1, half, count)",
             "tests/property/test_vector_unit.py"),
        ],
        "accelsim/kernels/ssm.py": [
            ("np.polyval(curves.low, voltage), np.polyval(curves.high, voltage)",
             "np.polyval(curves.high, voltage), np.polyval(curves.low, voltage)",
             "tests/property/test_ssm_values.py"),
        ],
        "accelsim/kernels/attention.py": [
            ("np.maximum(begin - left, first)", "np.maximum(begin - left + 1, first)",
             "tests/property/test_streaming.py"),
        ],
    },
    "schedule": {
        "accelsim/schedule/windows.py": [
            ("np.maximum(end - self.behind, 0)", "np.maximum(end - self.behind - 1, 0)",
             "tests/property/test_windows.py"),
            ("window.ahead + window.batch - 1)", "window.ahead + window.batch)", "tests/property/test_windows.py"),
        ],
        "accelsim/schedule/mapping.py": [
            ("return self.matrix.copies * self.row_tiles * self.column_tiles",
             "return self.row_tiles * self.column_tiles", "tests/unit/test_mapping.py"),
        ],
    },
    "simulate": {
        "accelsim/simulate/engine.py": [
            ("longest = np.max([self.service", "longest = np.min([self.service", ENGINE),
            ('np.searchsorted(finished, arrived, "right")', 'np.searchsorted(finished, arrived, "left")', FIGURES),
            ("self.worked += end - max(begin, self.works_until)", "self.worked += end - begin", SIMULATE),
            ("self._work(now, now + channel.latency)", "pass", SIMULATE),
            ("self.worked += times * one.worked", "self.worked += one.worked", ENGINE),
            ("ends = starts[1:][np.diff(starts) > 0] - 1\n        first, last",
             "ends = starts[1:][np.diff(starts) > 0]  - 2\n        first, last", FIGURES),
            ("max(int(self.env.now), self.frames * self.frame_ticks)", "int(self.env.now)", SIMULATE),
        ],
        "accelsim/simulate/arbiter.py": [
            ("return (self._waiting[leader][0], rank)", "return (0, rank)", ENGINE),
            ("(rank - self._last - 1) % len(self.rank)", "(rank - self._last) % len(self.rank)", ENGINE),
        ],
        "accelsim/simulate/channel.py": [
            ("return self.used >= self.capacity", "return self.used > self.capacity", SIMULATE),
        ],
        "accelsim/simulate/invariants.py": [
            ('macs["performed"] + macs["skipped"] != macs["dense"]', 'macs["performed"] > macs["dense"]', SIMULATE),
        ],
    },
    "score": {
        "accelsim/score/error_rate.py": [
            ("np.percentile(rates, (2.5, 97.5))", "np.percentile(rates, (5, 95))", "tests/unit/test_score.py"),
        ],
        "accelsim/score/ctc.py": [
            ("path[1:] != path[:-1]", "path[1:] == path[:-1]", "tests/property/test_ctc.py"),
            ("(language[last[active[k]], c] if c else 0.0)", "language[last[active[k]], c]",
             "tests/property/test_ctc.py",
             "orders the prefixes for pruning alone: it tells which of them a narrow beam keeps, which nothing fixes"),
            ("next_spoken[kept] = spoken[k] + language[last[node], c]", "next_spoken[kept] = spoken[k]",
             "tests/property/test_ctc.py"),
        ],
        "accelsim/score/viterbi.py": [
            ("np.log1p(-self.stay)", "np.log(self.stay)", "tests/unit/test_score.py"),
        ],
    },
    "data": {
        "accelsim/data/features.py": [
            ("flat[1:] -= np.float32", "flat[1:] += np.float32",
             "tests/cross/test_features_stft.py tests/unit/test_features.py"),
            ("bands + 2) / 2595.0) - 1.0)", "bands + 2) / 2595.0))",
             "tests/cross/test_features_stft.py tests/unit/test_features.py"),
        ],
    },
    "schema": {
        "accelsim/schema/quantity.py": [('"u": -6,', '"u": -9,', "tests/unit/test_quantity.py")],
    },
    "devices": {
        "accelsim/devices/gaussian.py": [
            ("(flat != RESTING).sum(axis=1)", "np.full(len(flat), flat.shape[1])", "tests/unit/test_chip_devices.py"),
        ],
        "accelsim/devices/device.py": [
            ("np.asarray((highest - conductances) / (highest - lowest)",
             "np.asarray((conductances - lowest) / (highest - lowest)",
             "tests/unit/test_chip_devices.py tests/property/test_cells.py"),
        ],
    },
    "placement": {
        "accelsim/placement.py": [
            ("keys[op.name] = next(iter(entries))", "keys[op.name] = list(entries)[-1]",
             "tests/unit/test_placement_files.py"),
            ("settings[op.name] = next(iter(entries.values()), PlacementSpec())",
             "settings[op.name] = list([PlacementSpec(), *entries.values()])[-1]",
             "tests/unit/test_placement_files.py"),
        ],
    },
    "cost": {
        "accelsim/cost/scaling.py": [
            ("return (voltage / reference) ** 2", "return voltage / reference", COST),
        ],
        "accelsim/simulate/supply.py": [
            ("supply.instances * timeline.duration_ps, timeline.asleep_ps", "timeline.duration_ps, timeline.asleep_ps",
             BILLS),
            ('states["busy"] * supply.period_ps * at_work', 'states["busy"] * supply.period_ps', BILLS),
            ("clocked, gated = (0, idle) if supply", "clocked, gated = (idle, 0) if supply", BILLS),
        ],
        "accelsim/cost/lookup.py": [
            ('return self.clock(kind, "gated")', 'return self.clock(kind, "clocked")', BILLS),
            ("/ row.utilization", "", COST),
            ("(_size(dimension, dimensions) / row", "(1 / _size(dimension, dimensions) / row", COST),
        ],
        "accelsim/cost/pricing.py": [
            ("_PERCENTILES = (5, 95)", "_PERCENTILES = (10, 90)", f"{RECORD} {COST}"),
            ('areas.append(Term(name, "area", instances,', 'areas.append(Term(name, "area", 1,', BILLS),
            ("registers * ps / period_ps, clock[state])", "ps / period_ps, clock[state])", BILLS),
            ('{"working": times.active, "clocked"', '{"working": times.active // 2, "clocked"', BILLS),
            ("terms.append(Term(name, LEAKAGE, supplied_s, leakage))",
             "terms.append(Term(name, LEAKAGE, supplied_s / instances, leakage))", BILLS),
            ("Term(name, STANDBY, supplied_s - sum(asleep_s.values()), standby[awake])",
             "Term(name, STANDBY, 0.0, standby[awake])", BILLS),
            ("terms.append(Term(name, DYNAMIC, count, each_action", "terms.append(Term(name, DYNAMIC, 1, each_action",
             BILLS),
        ],
    },
    "explore": {
        "accelsim/explore/pareto.py": [
            ("(smaller < points[i]).any(axis=1)", "(smaller <= points[i]).any(axis=1)",
             "tests/property/test_pareto.py"),
        ],
        "accelsim/explore/comparison.py": [
            ("Row(figure, value, value / figure.value,", "Row(figure, value, figure.value / value,",
             "tests/unit/test_comparison.py"),
        ],
        "accelsim/explore/metrics.py": [
            ("return -value if self.higher_is_better else value", "return value",
             "tests/property/test_pareto.py"),
        ],
    },
    "wires": {
        "accelsim/kernels/wires.py": [
            ("inverse = 1.0 / (open_ * open_ + z * y)", "inverse = 1.0 / (open_ + z * y)", WIRES),
            ("along_column[0] += wires.amplifier", "along_column[0] += 0", WIRES),
            ("seen[j, j] += far_end", "seen[j, j] += 2 * far_end", WIRES),
            ("_add_product(pushed, minus_z, wires_b)", "_add_product(pushed, -minus_z, wires_b)", WIRES),
        ],
        "accelsim/kernels/gated_rows.py": [
            ("total += applied * g * across", "total += g * across", WIRES),
            ("t = y = 1.0 / (end + length * i)", "t = y = 1.0 / end", WIRES),
            ("share_below[j] = (share_below[j] + wire * beyond[n, j]) * ratio", "share_below[j] *= ratio", WIRES),
            ("found.variance * gains**2", "found.variance * gains", OPEN_ROWS),
            ("driven[:, self.order[row, column]]", "driven", OPEN_ROWS),
            ("negative=self.negative[row, column]", "negative=self.cells[row, column]", OPEN_ROWS),
        ],
        "accelsim/kernels/product.py": [
            ("signal[:, offset] = read.currents[:, p, -1] / unit", "signal[:, offset] = 0.0", OPEN_ROWS),
            ("variance[:, offset] = read.variance[:, p, -1] / unit**2", "variance[:, offset] = 0.0", OPEN_ROWS),
        ],
        "accelsim/kernels/array_read.py": [
            ("before, ohm = volts[i], row + driver", "before, ohm = volts[i], row", ARRAY_READ),
            ("current = -b[0, j] / end if both else 0.0", "current = 0.0", ARRAY_READ),
        ],
        "accelsim/engines/effective_cache.py": [
            ("os.utime(path)  # used now", "pass", EFFECTIVE_CACHE),
            ("if hashlib.sha256(content[_DIGEST:].data).digest() != content[:_DIGEST].tobytes():", "if False:",
             EFFECTIVE_CACHE),
            ("found.update(cells.data)", "found.update(cells[:, :-1].tobytes())", EFFECTIVE_CACHE),
        ],
    },
    "integers": {
        "accelsim/kernels/requantise.py": [
            ("if shift < -31:", "if shift < -30:", INTEGERS),
            ("whole, shift = whole // 2, shift + 1", "whole, shift = whole // 2, shift", INTEGERS),
            ("if rounding == _AWAY and h < 0:", "if rounding == _UP and h < 0:", INTEGERS),
            ("x = min(max(x << s, _SMALLEST), _LARGEST)", "x = x << s", INTEGERS),
            ("(below and y < low) or (above and y > high)", "(below and y <= low) or (above and y > high)", INTEGERS),
            ("np.where(np.abs(ratio - cut) == np.float32(0.5), cut + np.sign(ratio), whole)", "whole", INTEGERS),
            ("places = 21 - int(np.frexp(", "places = 20 - int(np.frexp(", INTEGERS),
        ],
        "accelsim/kernels/fixed_functions.py": [
            ("return np.where(a == 0, _ONE, result)", "return result", INTEGERS),
            ("for _ in range(3):", "for _ in range(2):", INTEGERS),
            ("return np.where(below <= radius, (product + half)", "return np.where(below < radius, (product + half)",
             INTEGERS, "at the radius a term is e^-31: 0 of 256, one way and the other"),
            ("headroom = 32 - digits", "headroom = 31 - digits", INTEGERS),
        ],
        "accelsim/kernels/conv.py": [
            ("elif beyond:", "elif beyond > 0:", INTEGERS),
            ("(size + sum(padding) - dilation * (taps - 1) - 1) // stride + 1",
             "(size + sum(padding) - dilation * (taps - 1)) // stride", INTEGERS),
        ],
        "accelsim/ops/op.py": [
            ("offsets = -zero * weight.reshape", "offsets = zero * weight.reshape", INTEGERS),
            ("return self.low is None, self.high is None", "return True, True", INTEGERS),
            ("sums = 255 * magnitudes(weight)", "sums = 1 * magnitudes(weight)", INTEGER_ERRORS),
        ],
        "accelsim/ops/conv.py": [
            ("np.repeat(rows, times, axis=2)", "np.tile(rows, (1, 1, times))", INTEGERS),
        ],
        "accelsim/ops/pool.py": [
            ("(sums + count // 2) // count, -((count // 2 - sums) // count)",
             "(sums + count // 2) // count, (sums + count // 2) // count", INTEGERS),
        ],
        "accelsim/ops/elementwise.py": [
            ("scale_b, output.scale)", "scale_a, output.scale)", INTEGERS),
        ],
        "accelsim/engines/cluster.py": [
            ("return QUANTISE if op.output is None else 0", "return QUANTISE", INTEGER_BILL),
            ("return REQUANTISE * self.engine", "return RESCALE * self.engine", INTEGER_BILL),
        ],
        "accelsim/engines/digital.py": [
            ("return -signed_range(op.input_bits)[0] * int(", "return LARGEST_CODE * int(", INTEGER_ERRORS),
        ],
    },
    "converters": {
        "accelsim/kernels/converter_errors.py": [
            ("(p * tile_columns + j % tile_columns) // shared_by", "(j % tile_columns) // shared_by", CONVERTERS),
            ("return x + gain * x + (offset", "return x + gain * u + (offset", CONVERTERS),
            ("_trimmed(self.gain, trim_step / largest_code)", "_trimmed(self.gain, trim_step)", CONVERTERS),
            ("np.uint64(CONVERTER_STREAM)", "np.uint64(1)", CONVERTERS),
        ],
        "accelsim/kernels/conversion.py": [
            ("seed_high, key, own_stream)", "seed_high, key, stream)", CONVERTERS),
        ],
        "accelsim/kernels/ssm.py": [
            ("np.uint64(CONVERTER_NOISE_STREAM)", "np.uint64(STATE_STREAM)", CONVERTERS),
        ],
        "accelsim/components/adc.py": [
            ("each[place * self.units + unit]", "each[unit]", CONVERTERS_OF_A_CHIP),
            ("largest_code=1 << (self.resolution() - 1)", "largest_code=1 << self.resolution()", CONVERTERS_OF_A_CHIP),
        ],
        "accelsim/cost/scaling.py": [
            ("(temperature - reference_temperature) / doubling_kelvin",
             "(temperature - reference_temperature) / 10", LEAKAGE),
        ],
    },
    "report": {
        "accelsim/report/roofline.py": [
            ("return min(self.peak, self.intensity * self.bytes_per_s)",
             "return max(self.peak, self.intensity * self.bytes_per_s)", RECORD),
        ],
        "accelsim/report/headline.py": [
            ('f"{part / whole:.1%}" if whole', 'f"{whole / part:.1%}" if whole', "tests/unit/test_report.py"),
        ],
    },
}  # fmt: skip

MUTATIONS = tuple(
    Mutation(room, file, old, new, tuple(tests.split()), *reason)
    for room, files in _DATA.items()
    for file, changes in files.items()
    for old, new, tests, *reason in changes
)
