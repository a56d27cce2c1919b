"""From the products of a run to its Result."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from statistics import mean, stdev

import numpy as np
from numpy.typing import NDArray

from accelsim import result as r
from accelsim.architecture import Architecture
from accelsim.components.abstract import Converter
from accelsim.cost import Bill, extrapolated, job_energy_j, quiet_converters
from accelsim.engines.execute import Execution, service_of
from accelsim.inputs import Batch
from accelsim.kernels.arrays import Drops
from accelsim.placement import sites_of
from accelsim.plugins import used
from accelsim.schedule import Schedule, part_of
from accelsim.score import Accuracy
from accelsim.simulate import Ledger, OneFrame, Timeline
from accelsim.throughput import DEFAULT_DEFINITION, Multiplied, definitions
from accelsim.workload import Workload

KIB_BITS = 8 * 1024
_LIBRARIES = ("numpy", "numba", "scipy", "simpy", "pydantic")


@dataclass(frozen=True)
class Outcome:
    """What a run took at one operating point: when everything happened, and what it cost."""

    architecture: Architecture
    timeline: Timeline
    ledger: Ledger
    bill: Bill


@dataclass(frozen=True)
class Run:
    """Everything that a run made, for those who want more than its Result.

    ``outcome``: at the architecture's own operating point; ``points``: at its other ones, by name. ``accuracy``: of
    the first programming run; ``programmed_again``: of the further ones; ``exact``: of the same integers without
    analogue devices. ``frame``: what happened to one frame at the architecture's own operating point, if that was
    watched.
    """

    workload: Workload
    batch: Batch
    schedule: Schedule
    execution: Execution
    outcome: Outcome
    points: Mapping[str, Outcome]
    accuracy: Accuracy | None
    reference: Accuracy | None
    seed: int
    programmed_again: tuple[Accuracy, ...] = ()
    exact: Accuracy | None = None
    frame: OneFrame | None = None


def record(run: Run, command: str = "") -> r.Result:
    """Return the Result of a run."""
    chip = run.outcome.architecture
    return r.Result(
        arch=r.Identity(name=chip.spec.name, sha256=chip.sha256),
        workload=r.Identity(name=run.workload.spec.name, sha256=run.workload.sha256),
        seed=run.seed,
        versions=_versions(),
        command=command,
        **dict(_outcome(run, run.outcome)),
        area_mm2=run.outcome.bill.total_area_m2() * 1e6,
        power_rule=chip.power_rule(),
        memory_bytes={
            kind: sum(spec.bits() for spec in chip.of_kind(kind).values()) // 8
            for kind in ("sram", "edram", "register_file", "l2")
        },
        programming=_programming(run),
        arrays=_arrays(run),
        plan=_plan(run),
        first_load=_first_load(run),
        operating_points={name: _outcome(run, outcome) for name, outcome in run.points.items()},
        accuracy=_accuracy(run),
        clips=r.ClipRecord(**asdict(run.batch.clips)),
        instead_of=run.batch.instead_of,
        skipped=dict(run.batch.skipped),
        doubtful=dict(run.batch.doubtful),
        layers=_layers(run),
        components=_components(run),
        channels=_channels(run),
        engines=_engines(chip),
        frame=_frame(run),
        leakage_bracket=_bracket(run),
        provenance=_provenance(run),
    )


def _outcome(run: Run, outcome: Outcome) -> r.OperationRecord:
    performance, bill = _performance(run, outcome), outcome.bill
    total_j, area_m2, seconds = bill.total_j(), bill.total_area_m2(), performance.seconds
    throughput = definitions(
        outcome.architecture, performance, _multiplied(run, outcome), power_w=total_j / seconds, static_w=bill.full_w,
        area_m2=area_m2,
    )  # fmt: skip
    chosen, spread = throughput[DEFAULT_DEFINITION], bill.spread(seconds)
    return r.OperationRecord(
        performance=performance,
        energy=r.EnergyTotals(
            total_j=total_j,
            dynamic_j=bill.total_j("dynamic"),
            clock_j=bill.total_j("clock"),
            standby_j=bill.total_j("standby"),
            leakage_j=bill.total_j("leakage"),
            wake_j=bill.total_j("wake"),
            per_frame_j=total_j / performance.frames,
            per_audio_second_j=total_j / performance.audio_seconds,
            idle_power_w=bill.idle_w,
        ),
        power_w=total_j / seconds,
        efficiency=r.Efficiency(
            gops=chosen.gops,
            tops_per_w=chosen.tops_per_w,
            gops_per_mm2=chosen.gops_per_mm2,
            op_definition=DEFAULT_DEFINITION,
            mw_per_mm2=total_j / seconds * 1e3 / (area_m2 * 1e6),
            definitions=throughput,
        ),
        uncertainty=r.Uncertainty(
            power_w=spread["power_w"],
            area_mm2=_scaled(spread["area_m2"], 1e6),
            mw_per_mm2=_scaled(spread["power_density_w_per_m2"], 1e-3),
        ),
    )


def _multiplied(run: Run, outcome: Outcome) -> dict[str, Multiplied]:
    """Return what each component multiplied; a layer that several components multiply for is of none of them."""
    specs, macs = outcome.architecture.components(), run.execution.activity.macs
    of_layer: dict[str, set[str]] = {}
    performed: dict[str, int] = {}
    for job in run.schedule.jobs:
        parts = {part_of(member) for member in job.members()}
        of_layer.setdefault(job.layer, set()).update(part for part in parts if specs[part].multipliers())
        performed[job.layer] = performed.get(job.layer, 0) + macs.get(job.name, {"performed": 0})["performed"]
    found: dict[str, Multiplied] = {}
    for layer, parts in of_layer.items():
        if len(parts) == 1:
            part = parts.pop()
            before = found.get(part, Multiplied(0, 0.0))
            energy_j = outcome.bill.layer_energy_j.get(layer, 0.0)
            found[part] = Multiplied(before.macs + performed[layer], before.energy_j + energy_j)
    return found


def _performance(run: Run, outcome: Outcome) -> r.Performance:
    timeline, batch, chip = outcome.timeline, run.batch, outcome.architecture
    frames, period_ps = run.execution.frames, round(1e12 / chip.clock_hz())
    frame_ps = round(batch.frame_period_s * 1e12) * run.execution.subsampling
    starts, latency_ps = run.execution.starts, timeline.finished_ps - timeline.arrived_ps
    paced = chip.spec.pacing.mode == "real_time"
    macs = run.execution.activity.macs.values()
    performed = sum(m["performed"] for m in macs)
    return r.Performance(
        frames=frames,
        utterances=len(batch.starts) - 1,
        cycles=-(-timeline.duration_ps // period_ps),
        cycles_per_frame=timeline.worked_ps / frames / period_ps,
        clock_hz=chip.clock_hz(),
        seconds=timeline.duration_ps * 1e-12,
        audio_seconds=batch.audio_seconds,
        real_time_factor=timeline.duration_ps * 1e-12 / batch.audio_seconds,
        macs_dense=sum(m["dense"] for m in macs),
        macs_performed=performed,
        mmac_per_audio_second=performed / batch.audio_seconds / 1e6,
        latency_cycles=_latency(latency_ps, period_ps),
        deadline_misses=int((latency_ps > frame_ps).sum()) if paced else 0,
        interval_cycles=timeline.interval_ps(starts) / period_ps,
        frames_in_flight=timeline.frames_in_flight(),
        utterance_latency_cycles=_latency(timeline.utterance_latency_ps(starts), period_ps),
        duty_cycle=timeline.worked_ps / timeline.duration_ps,
    )


def _latency(ps: NDArray[np.int64], period_ps: int) -> r.Latency:
    cycles = -(-ps // period_ps)
    return r.Latency(
        p50=int(np.percentile(cycles, 50, method="higher")),
        p99=int(np.percentile(cycles, 99, method="higher")),
        max=int(cycles.max()),
    )


def _plan(run: Run) -> r.PlanRecord | None:
    plan = run.schedule.plan
    if plan is None:
        return None
    return r.PlanRecord(
        frames=plan.chunk,
        seconds=run.schedule.inputs_per_frame * run.batch.frame_period_s,
        pieces=dict(plan.pieces),
        spilled={name: bits // 8 for name, bits in plan.spilled.items()},
        weight_bytes=plan.weight_bits // 8,
        state_bytes=plan.state_bits // 8,
        state_in_l2=plan.state_in_l2,
        peak_bytes=plan.peak_bits // 8,
        room_bytes=plan.room_bits // 8,
        lpddr_bytes=plan.lpddr_bits // 8,
        on_cpu=list(plan.on_cpu),
    )


def _first_load(run: Run) -> r.FirstLoad | None:
    chip, schedule, timeline = run.outcome.architecture, run.schedule, run.outcome.timeline
    jobs = tuple(job for job in schedule.jobs if job.once)
    if not jobs or schedule.plan is None:
        return None
    energy_j = job_energy_j(chip, replace(schedule, jobs=jobs), run.execution.activity, run.execution.frames)
    times_ps = (timeline.job_cycles[job.name] * chip.period_ps(part_of(job.component)) for job in jobs)
    return r.FirstLoad(
        bytes=schedule.plan.resident_bits // 8,
        energy_j=sum(float(joules.sum()) for joules in energy_j.values()),
        time_s=sum(times_ps) * 1e-12,
    )


def _programming(run: Run) -> r.Programming:
    written, lines = run.execution.activity.programming, run.outcome.bill.programming
    if not lines:
        return r.Programming()
    chip = run.outcome.architecture
    return r.Programming(
        cells=written["cells"],
        write_pulses=written["write_pulses"],
        reached_by_read=written.get("reached_by_read"),
        time_s=sum(chip.programming_s(t.component, round(t.amount)) for t in lines),
        energy_j=sum(t.joules() for t in lines),
        energy_interval_j=(sum(t.amount * t.price.low for t in lines), sum(t.amount * t.price.high for t in lines)),
    )


def _without_wires(chip: Architecture) -> list[str]:
    """Return which crossbars are read as if their wires had no resistance."""
    return [
        f"the wires of '{name}' have no resistance: its arrays lose no voltage along them"
        for name, crossbar in chip.of_kind("crossbar").items()
        if isinstance(crossbar.wires, str)
    ]


def _arrays(run: Run) -> list[r.ArrayRecord]:
    found = []
    for name, crossbar in run.outcome.architecture.of_kind("crossbar").items():
        remedies = {"column_gain": crossbar.column_gain, "row_order": crossbar.row_order}
        wires = crossbar.wires
        if isinstance(wires, str):
            if remedies != {"column_gain": "none", "row_order": "as_given"}:
                found.append(r.ArrayRecord(name=name, **remedies))
            continue
        drops = run.execution.activity.drops.get(name, Drops())
        found.append(
            r.ArrayRecord(
                name=name,
                row_ohm=wires.row,
                column_ohm=wires.column,
                driver_ohm=wires.driver,
                amplifier_ohm=wires.amplifier,
                sensed=wires.sensed,
                undriven=wires.undriven,
                **remedies,
                largest_drop=drops.largest,
                mean_drop=drops.mean(),
                **(
                    {} if drops.residue is None else {f"residue_{key}": v for key, v in drops.residue._asdict().items()}
                ),
            )
        )
    return found


def _accuracy(run: Run) -> r.AccuracyRecord | None:
    ours = run.accuracy
    if ours is None:
        return None
    runs = (ours, *run.programmed_again)
    several = len(runs) > 1
    values = [each.value for each in runs]
    value = mean(values)
    by_speaker = _by_speaker(run, runs)
    return r.AccuracyRecord(
        metric=ours.metric,
        value=value,
        low=mean(each.low for each in runs),
        high=mean(each.high for each in runs),
        reference_value=run.reference.value if run.reference else None,
        loss=value - run.reference.value if run.reference else None,
        n=ours.n,
        counted=ours.counted,
        unit=ours.unit,
        dataset=run.batch.source,
        runs=values if several else [],
        mean=value if several else None,
        sd=stdev(values) if several else None,
        exact_value=run.exact.value if run.exact else None,
        speakers=run.batch.speakers,
        by_speaker=by_speaker,
        speaker_sd=stdev(each.value for each in by_speaker) if by_speaker else None,
        unknown=run.batch.unknown,
        further=_further(run, runs),
        per_utterance=_per_utterance(run, runs),
    )


def _by_speaker(run: Run, runs: tuple[Accuracy, ...]) -> list[r.SpeakerRecord]:
    """Return the error rate of each speaker who said something, where there are several and all are known."""
    lengths = np.array(runs[0].lengths, np.int64)
    heard = runs[0].heard or range(len(run.batch.spoken_by))
    if run.batch.speakers is None or len(lengths) != len(heard):
        return []
    reference = run.reference if run.reference is not None and run.reference.lengths == runs[0].lengths else None
    spoken_by, found = np.array([run.batch.spoken_by[place] for place in heard]), []
    for name in sorted({*spoken_by.tolist()}):
        mine = spoken_by == name
        n = int(lengths[mine].sum())
        if n:
            rates = [100 * float(np.array(each.errors)[mine].sum()) / n for each in runs]
            of_float = 100 * float(np.array(reference.errors)[mine].sum()) / n if reference else None
            found.append(r.SpeakerRecord(name=name, value=mean(rates), n=n, reference_value=of_float))
    return found if len(found) > 1 else []


def _further(run: Run, runs: tuple[Accuracy, ...]) -> list[r.FurtherRecord]:
    """Return what else was measured, where every programming run has it: a delay is known of detections alone."""
    found = []
    for first in runs[0].further:
        same = [other for each in runs for other in each.further if other.metric == first.metric]
        reference = [one.value for one in run.reference.further if one.metric == first.metric] if run.reference else []
        found.append(
            r.FurtherRecord(
                metric=first.metric,
                value=mean(each.value for each in same),
                low=mean(each.low for each in same),
                high=mean(each.high for each in same),
                n=first.n,
                counted=first.counted,
                unit=first.unit,
                runs=[each.value for each in same] if len(runs) > 1 else [],
                reference_value=reference[0] if reference else None,
            )
        )
    return found


def _per_utterance(run: Run, runs: tuple[Accuracy, ...]) -> r.UtteranceRecord | None:
    lengths = runs[0].lengths
    if not lengths:
        return None
    reference = run.reference if run.reference is not None and run.reference.lengths == lengths else None
    return r.UtteranceRecord(
        lengths=list(lengths),
        errors=[list(each.errors) for each in runs],
        reference=list(reference.errors) if reference else None,
    )


def _layers(run: Run) -> list[r.LayerRecord]:
    activity, layers = run.execution.activity, []
    conversions, pace_s, moved_bytes = activity.conversions, _pace_s(run), _moved_bytes(run)
    for name in dict.fromkeys(job.layer for job in run.schedule.jobs):
        jobs = [job.name for job in run.schedule.jobs if job.layer == name]
        macs = [activity.macs[job] for job in jobs if job in activity.macs]
        layers.append(
            r.LayerRecord(
                name=name,
                cycles=sum(run.outcome.timeline.job_cycles[job] for job in jobs),
                macs_dense=sum(m["dense"] for m in macs),
                macs_performed=sum(m["performed"] for m in macs),
                sparsity=activity.sparsity.get(name),
                saturations=activity.saturations.get(name, 0),
                adc=r.AdcRecord(conversions=conversions[name][0], clipped=conversions[name][1])
                if name in conversions
                else None,
                energy_j=run.outcome.bill.layer_energy_j.get(name, 0.0),
                pace_s=pace_s[name],
                moved_bytes=moved_bytes[name],
                faults=dict(activity.exceptions.get(name, {})),
            )
        )
    return layers


def _pace_s(run: Run) -> dict[str, float]:
    """Return for how long each layer keeps its busiest component busy."""
    chip, layer_of = run.outcome.architecture, {job.name: job.layer for job in run.schedule.jobs}
    busy: dict[str, dict[str, float]] = {layer: {} for layer in layer_of.values()}
    for (job, member), cycles in service_of(run.schedule, chip, run.execution.activity).items():
        mine, seconds = busy[layer_of[job]], int(cycles.sum()) * chip.period_ps(part_of(member)) * 1e-12
        mine[member] = mine.get(member, 0.0) + seconds
    return {layer: max(members.values()) for layer, members in busy.items()}


def _moved_bytes(run: Run) -> dict[str, dict[str, float]]:
    """Return the bytes that each layer sent through each component that moves data."""
    specs = run.outcome.architecture.components()
    paths = {name: spec for name, spec in specs.items() if spec.peak_bits_per_cycle()}
    moved: dict[str, dict[str, float]] = {job.layer: {} for job in run.schedule.jobs}
    for job in run.schedule.jobs:
        for member in (member for member in job.members() if part_of(member) in paths):
            path, counts = part_of(member), run.execution.activity.counts[job.name, member]
            bits = paths[path].moved_bits({action: int(value.sum()) for action, value in counts.items()})
            if bits:
                moved[job.layer][path] = moved[job.layer].get(path, 0.0) + bits / 8
    return moved


def _components(run: Run) -> list[r.ComponentRecord]:
    chip, ledger, bill = run.outcome.architecture, run.outcome.ledger, run.outcome.bill
    return [
        r.ComponentRecord(
            name=name,
            kind=spec.kind,
            busy_cycles=ledger.cycles[name]["busy"],
            wait_input_cycles=ledger.cycles[name]["wait_input"],
            wait_output_cycles=ledger.cycles[name]["wait_output"],
            idle_cycles=ledger.cycles[name]["idle"],
            actions=dict(ledger.counts.get(name, {})),
            energy_j=r.EnergyShares(**bill.energy_j[name]),
            area_mm2=bill.area_m2[name] * 1e6,
            power_states=ledger.power[name].shares() if name in ledger.power else {},
            peak_bytes_per_s=spec.peak_bits_per_cycle() / 8 / (chip.period_ps(name) * 1e-12),
            instances=spec.instances(),
        )
        for name, spec in chip.components().items()
    ]


def _channels(run: Run) -> list[r.ChannelRecord]:
    """Return the channels of the chip; what they held is the most that one of those of a tensor or a tile held."""
    held: dict[str, int] = {}
    for name, tokens in run.outcome.timeline.channel_peak.items():
        producer, _, consumer = name.partition(" of ")[0].partition("->")
        ends = f"{part_of(producer)}->{part_of(consumer)}"
        held[ends] = max(held.get(ends, 0), tokens)
    return [
        r.ChannelRecord(
            from_=channel.from_,
            to=channel.to,
            lockstep=channel.lockstep,
            over=channel.over,
            most_tokens=held.get(channel.name(), 0),
        )
        for channel in run.outcome.architecture.spec.channels
    ]


def _engines(chip: Architecture) -> list[r.EngineRecord]:
    return [
        r.EngineRecord(
            name=name, kind=site.kind.kind, parts={role: list(parts) for role, parts in site.parts.names.items()}
        )
        for name, site in sites_of(chip)[0].items()
    ]


_MOST_JOBS = 1000
"""Of one frame; a picture that is as wide as a page has no room for more."""


def _frame(run: Run) -> r.FrameRecord | None:
    """Return what happened to one frame since it arrived: a job may have begun, or be done, before that."""
    seen, timeline = run.frame, run.outcome.timeline
    if seen is None:
        return None
    begin, end = int(timeline.arrived_ps[seen.frame]), int(timeline.finished_ps[seen.frame])
    layers = {job.name: job.layer for job in run.schedule.jobs}
    jobs = sorted((job for job in seen.jobs.values() if job.left > begin), key=lambda job: (job.start, job.end))
    return r.FrameRecord(
        frame=seen.frame,
        latency_ps=end - begin,
        left_out=max(len(jobs) - _MOST_JOBS, 0),
        jobs=[
            r.JobRecord(
                name=job.job,
                layer=layers[job.job],
                ready_ps=max(job.ready - begin, 0),
                start_ps=max(job.start - begin, 0),
                end_ps=max(job.end - begin, 0),
                left_ps=min(job.left, end) - begin,
                busy_ps={member: max(ps - max(begin - job.start, 0), 0) for member, ps in job.busy.items()},
            )
            for job in jobs[:_MOST_JOBS]
        ],
    )


def _bracket(run: Run) -> list[r.Bracket]:
    """What the chip would draw if its SRAM leaked as published elsewhere, each at its own voltage."""
    chip, bill = run.outcome.architecture, run.outcome.bill
    bits = sum(sram.bits() for sram in chip.of_kind("sram").values())
    if not bits:
        return []
    leaked = sum(bill.energy_j[name]["leakage"] for name in chip.of_kind("sram"))
    active = (bill.total_j() - leaked) / (run.outcome.timeline.duration_ps * 1e-12)
    return [
        r.Bracket(name=row.name, power_w=active + row.per_kib * bits / KIB_BITS, source=row.source)
        for row in chip.cost.leakage_bracket
    ]


def _of_devices(run: Run) -> list[str]:
    """Return what of the cells' devices was not measured, each once."""
    chip = run.outcome.architecture
    said = [
        line for name, spec in chip.of_kind("crossbar").items() for line in chip.devices[name].assumptions(spec.age)
    ]
    return list(dict.fromkeys(said))


def _of_converters(chip: Architecture) -> list[str]:
    """Return what of the converters no source gives, and which are quieter than what they convert."""
    parts = chip.components().items()
    said = [line for name, spec in parts if isinstance(spec, Converter) for line in spec.assumptions(name)]
    return [*said, *quiet_converters(chip)]


def _provenance(run: Run) -> r.Provenance:
    chip, bill = run.outcome.architecture, run.outcome.bill
    spec = chip.spec
    calibrated = [f"{c.key} = {_at(spec.model_dump(), c.key)}, fitted to {c.to}" for c in spec.calibrated]
    share = bill.calibrated_j() / bill.total_j()
    rows = sorted({t.price.row for t in bill.terms if t.price.calibrated and t.price.value})
    if rows:
        calibrated.append(f"{', '.join(rows)} (cost table '{chip.cost.name}'): {share:.1%} of the energy")
    predicted = ["cycles from counted work", f"{1 - share:.1%} of the energy", "area"]
    predicted += [run.accuracy.metric] if run.accuracy else []
    predicted += ["time and energy of programming"] if bill.programming else []
    return r.Provenance(
        predicted=predicted,
        calibrated=calibrated,
        assumptions=[*spec.assumptions, *_without_wires(chip), *_of_devices(run), *_of_converters(chip)],
        extrapolated=_extrapolated(run),
        plugins=used(run.workload, chip),
    )


def _extrapolated(run: Run) -> list[str]:
    """Return where the chip lies outside the windows of its prices, with the names of the operating points."""
    found = extrapolated(run.outcome.architecture)
    for name, outcome in run.points.items():
        found += [f"{name}: {reason}" for reason in extrapolated(outcome.architecture) if reason not in found]
    return found


def _at(data: object, key: str) -> object:
    for part in key.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _scaled(interval: r.Interval, factor: float) -> r.Interval:
    return interval[0] * factor, interval[1] * factor


@cache
def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"accelsim": importlib.metadata.version("accelsim-speech"), "python": platform.python_version(), **versions}
