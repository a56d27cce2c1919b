"""The frozen record of a run: JSON both ways, written whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from accelsim import limits
from accelsim.errors import LONGEST_LIST, LONGEST_TEXT, InputError, Problem, show

SCHEMA: Literal["accelsim/result@1"] = "accelsim/result@1"
Interval = tuple[float, float]
"""5 % and 95 % points."""
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""How many of something; a store keeps whole numbers of 64 bits."""
Heard = Annotated[int, Field(ge=0, lt=1 << 31)]
"""How much was said in an utterance: sums over all of them are whole numbers of 64 bits."""
Positive = Annotated[float, Field(gt=0)]
"""A time or a rate that something is divided by."""


class Record(BaseModel):
    """A part of a `Result`; as JSON its figures that are not finite are the texts that pydantic reads again."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, ser_json_inf_nan="strings")


class Identity(Record):
    name: str
    sha256: str


class Latency(Record):
    p50: Count
    p99: Count
    max: Count


class Performance(Record):
    """When a run happened, in cycles of the chip's first clock; every figure means the same in every mode of pacing.

    ``cycles`` = ceil(f T), T = ``seconds``: from the arrival of the first frame until all are done, in real time at
    least until the period of the last one is over. ``cycles_per_frame`` = f T_work / ``frames``, T_work: the time in
    which the chip is at work, see `Timeline.worked_ps`; it is no latency, in which a frame also waits for others, and
    back-to-back it is ``cycles / frames``. ``duty_cycle`` = T_work / T. ``real_time_factor`` = T / audio time: back to
    back, below 1 for a chip that keeps up; in real time 1, and above for one that does not.

    ``latency_cycles``: from the arrival of a frame to its end (back-to-back it arrives when its first job can begin).
    Percentile q is a latency that a frame had: of n sorted ones, that in place ceil(q (n - 1)), from 0 on.
    ``deadline_misses``: frames that were not finished one frame period after they arrived (real-time pacing).
    ``interval_cycles``: from one finished frame to the next, on average once the pipeline is full, see
    `Timeline.interval_ps`; ``frames_in_flight``: most frames that had arrived and were not finished;
    ``utterance_latency_cycles``: from the arrival of an utterance's last frame to its end.
    """

    frames: Annotated[Count, Field(gt=0)]
    utterances: Count
    cycles: Count
    cycles_per_frame: float
    clock_hz: Positive
    seconds: Positive
    audio_seconds: Positive
    real_time_factor: float
    macs_dense: Count
    macs_performed: Count
    mmac_per_audio_second: float
    latency_cycles: Latency
    deadline_misses: Count
    interval_cycles: float = 0.0
    frames_in_flight: Count = 0
    utterance_latency_cycles: Latency = Latency(p50=0, p99=0, max=0)
    duty_cycle: float = 0.0


class EnergyTotals(Record):
    """``standby_j``: of bias and static currents, and of memory outside the chip; ``wake_j``: of switching parts on.

    ``idle_power_w``: drawn when nothing is being worked on, by clocks, standby and leakage, once every part that goes
    to rest is as far there as it goes.
    """

    total_j: float
    dynamic_j: float
    clock_j: float
    leakage_j: float
    per_frame_j: float
    per_audio_second_j: float = 0.0
    idle_power_w: float = 0.0
    standby_j: float = 0.0
    wake_j: float = 0.0


class Throughput(Record):
    """One way to count operations, and what follows from it.

    Rate and power are at the same activity: those of the run, or, of peak operations, those of a chip whose multipliers
    never wait, see `accelsim.throughput.definitions`.
    """

    definition: str
    gops: float
    tops_per_w: float
    gops_per_mm2: float


class Efficiency(Record):
    gops: float
    tops_per_w: float
    gops_per_mm2: float
    op_definition: str
    mw_per_mm2: float
    definitions: dict[str, Throughput]


class UtteranceRecord(Record):
    """What was counted in each utterance: ``lengths`` of what was said, ``errors`` of every programming run.

    The error rate of run r is 100 sum(errors[r]) / sum(lengths) in percent. ``reference``: errors of the float network.
    """

    lengths: list[Heard]
    errors: list[list[Heard]]
    reference: list[Heard] | None = None

    @model_validator(mode="after")
    def _of_the_same_utterances(self) -> Self:
        counted = [*self.errors, *([] if self.reference is None else [self.reference])]
        if not self.errors or any(len(one) != len(self.lengths) for one in counted):
            raise ValueError(f"errors and reference are to be of the {len(self.lengths):,} utterances of lengths")
        return self


class FurtherRecord(Record):
    """Something else that was measured on the same outputs; of cells that are programmed several times the mean."""

    metric: str
    value: float
    low: float
    high: float
    n: Count
    counted: str
    unit: str
    runs: list[float] = []
    reference_value: float | None = None


class SpeakerRecord(Record):
    """``value``: of one speaker's utterances alone, as that of all of them; ``n``: of what is counted."""

    name: str
    value: float
    n: Count
    reference_value: float | None = None


class AccuracyRecord(Record):
    """``value``: on the simulated hardware, ``reference_value``: the float network on the same data; same unit.

    ``loss``: value - reference_value. Of memristor cells that are programmed several times ``value`` is the ``mean`` of
    all ``runs``, ``sd`` their sample standard deviation, and ``low`` and ``high`` are the means of theirs.
    ``exact_value``: the same integers computed exactly, without analogue devices.
    """

    metric: str
    value: float
    low: float
    high: float
    reference_value: float | None
    loss: float | None
    n: Count
    counted: str
    """What ``n`` counts: phones, words, frames."""
    unit: str
    dataset: str
    runs: list[float] = []
    mean: float | None = None
    sd: float | None = None
    exact_value: float | None = None
    speakers: Count | None = None
    """How many people spoke what was scored, where that is known."""
    by_speaker: list[SpeakerRecord] = []
    """Each of them, where there are several: ``low`` and ``high`` are over utterances and do not hold this spread."""
    speaker_sd: float | None = None
    """Sample standard deviation of their values."""
    unknown: Count = 0
    """Of the ``n``, those that no output of the network stands for, such as words outside its lexicon: always wrong."""
    further: list[FurtherRecord] = []
    """What else the score measures, such as false accepts beside misses."""
    per_utterance: UtteranceRecord | None = None
    """None where a score of a plug-in counts nothing by utterance."""

    def interval(self) -> Interval | None:
        """Return the 95 % interval in the ``unit``; None of a single utterance, which tells nothing of others.

        Resampled utterances without any error have no width. There the upper end is that of the share of utterances
        with an error, 1 - 0.025^(1/n) of n utterances (Clopper and Pearson), which the error rate does not exceed.
        """
        if self.per_utterance is None:
            return self.low, self.high
        utterances = len(self.per_utterance.lengths)
        if utterances == 1:
            return None
        if self.unit != "%" or any(map(any, self.per_utterance.errors)):
            return self.low, self.high
        return 0.0, max(self.high, 100 * (1 - 0.025 ** (1 / utterances)))


class ClipRecord(Record):
    """What was cut off the ``utterances``, or added, before the network heard them: of how many, how many s in all.

    ``trimmed``: silence at their ends; ``cut``: what is beyond ``longest_s`` or ``length_s`` of the workload;
    ``padded``: silence that makes them as long as ``length_s``; ``quiet``: those of which more than 0.2 s at the ends
    still lie 30 dB below the loudest 10 ms.
    """

    utterances: Count = 0
    trimmed: Count = 0
    trimmed_s: float = 0.0
    cut: Count = 0
    cut_s: float = 0.0
    quiet: Count = 0
    padded: Count = 0
    padded_s: float = 0.0


class AdcRecord(Record):
    conversions: Count
    clipped: Count


class LayerRecord(Record):
    """What one layer did.

    ``cycles``: of all its jobs, whether they ran at the same time or not; ``pace_s``: busy time of
    its busiest component, which no overlap can shorten; ``moved_bytes[component]``: data that passed through.
    ``saturations``: words that did not hold what was put into them and were clamped: codes of features, inputs and
    outputs, sums, membranes, currents, states, registers. ``faults``: overflows, underflows, infinities and NaN of its
    floating-point numbers, on every unit that has such.
    """

    name: str
    cycles: Count
    macs_dense: Count
    macs_performed: Count
    sparsity: float | None
    saturations: Count
    adc: AdcRecord | None
    energy_j: float
    pace_s: float = 0.0
    moved_bytes: dict[str, float] = {}
    faults: dict[str, Count] = {}


class EnergyShares(Record):
    dynamic: float
    clock: float
    leakage: float
    standby: float = 0.0
    wake: float = 0.0

    def total(self) -> float:
        """Return the sum of all shares, in joule."""
        return self.dynamic + self.clock + self.standby + self.leakage + self.wake


class ComponentRecord(Record):
    """``peak_bytes_per_s``: the most data that it could pass on, 0 for what moves none.

    ``power_states``: shares of the time of its instances: ``active`` at work, ``clocked`` and ``gated`` idle with and
    without the clock, ``waking``, and asleep by the name of the state (``off`` of a power domain).
    """

    name: str
    kind: str
    busy_cycles: Count
    wait_input_cycles: Count
    wait_output_cycles: Count
    idle_cycles: Count
    actions: dict[str, Count]
    energy_j: EnergyShares
    area_mm2: float
    peak_bytes_per_s: float = 0.0
    power_states: dict[str, float] = {}
    instances: Count = 0
    """How many of it the chip has; 0 where a record does not say."""


class ChannelRecord(Record):
    """A link between two components, ``lockstep`` where both work on one job at a time.

    ``over``: the bus or mesh that its tokens go over; ``most_tokens``: that it held at any time, 0 in lock-step.
    """

    from_: str = Field(alias="from")
    to: str
    lockstep: bool = False
    over: str | None = None
    most_tokens: Count = 0


class EngineRecord(Record):
    """An engine: which components play which of its roles."""

    name: str
    kind: str
    parts: dict[str, list[str]]


class JobRecord(Record):
    """A job of one frame, in ps from the frame's arrival: waits for input, work, and waits to put out.

    They last from ``ready_ps`` to ``start_ps`` to ``end_ps`` to ``left_ps``. ``busy_ps``: for how long each component
    worked from the start on, the one that leads the job first; copies in tiles apart, as ``adc[3]``.
    """

    name: str
    layer: str
    ready_ps: Count
    start_ps: Count
    end_ps: Count
    left_ps: Count
    busy_ps: dict[str, Count]


class FrameRecord(Record):
    """What happened to one ``frame`` from its arrival until it was finished, at the chip's own operating point.

    ``jobs``: in the order in which they started; ``left_out``: how many later ones are not in the list.
    """

    frame: Count
    latency_ps: Count
    jobs: list[JobRecord]
    left_out: Count = 0


class Bracket(Record):
    """Power of the chip if its SRAM leaked as published elsewhere, at that publication's voltage."""

    name: str
    power_w: float
    source: str


class Uncertainty(Record):
    """Spread over the ranges of prices and assumed sizes; of a calibrated price over what others published."""

    power_w: Interval
    area_mm2: Interval
    mw_per_mm2: Interval


class PluginRecord(Record):
    """An entry of a plug-in: ``group``: of its entry point; ``distribution``: None for a file given by --plugin.

    ``sha256``: of the source file of ``module``, which registers it.
    """

    group: str
    name: str
    distribution: str | None
    version: str | None
    module: str
    sha256: str | None


class Provenance(Record):
    """Which figures are predicted, which fitted and to what, what was assumed; ``plugins``: every plug-in used.

    ``extrapolated``: why no figure of time, energy or area is more than a guess: where the chip lies outside the window
    of its cost table, at any of its operating points.
    """

    predicted: list[str]
    calibrated: list[str]
    assumptions: list[str]
    extrapolated: list[str] = []
    plugins: list[PluginRecord] = []


class Programming(Record):
    """Writing the memristor cells before the first frame; no part of the time and energy of inference.

    ``energy_interval_j``: low and high end of the price of a pulse. ``reached_by_read``: cells that a read at full
    scale would switch, low-resistance ones by a positive voltage and the others by a negative one; None where the
    device has no thresholds. Values are computed as if no read switched a cell.
    """

    cells: Count = 0
    write_pulses: Count = 0
    reached_by_read: Count | None = None
    time_s: float = 0.0
    energy_j: float = 0.0
    energy_interval_j: Interval = (0.0, 0.0)


class ArrayRecord(Record):
    """How the arrays of a crossbar, ``name``, were read: resistances in ohm, 0 without, and the remedies against them.

    ``row_ohm`` and ``column_ohm``: of a cell's length of wire, at the chip's node and temperature. ``largest_drop``:
    the largest share that wires took of a column's current with all of its rows at the read voltage; ``mean_drop``: of
    the currents of all columns together. Both before gains of columns. ``residue_rms`` and ``residue_largest``: how far
    reads of half the rows at the read voltage are from exact ones, in weight units of a single column of the first
    array; 0 for ohmic cells, whose reads are exact.
    """

    name: str
    row_ohm: float = 0.0
    column_ohm: float = 0.0
    driver_ohm: float = 0.0
    amplifier_ohm: float = 0.0
    sensed: str = "one_end"
    undriven: str = "grounded"
    column_gain: str = "none"
    row_order: str = "as_given"
    largest_drop: float = 0.0
    mean_drop: float = 0.0
    residue_rms: float = 0.0
    residue_largest: float = 0.0


class FirstLoad(Record):
    """Weights that come in the first chunk of a run and stay on the chip, a part of its time and its energy.

    ``bytes``: of weights; ``energy_j``: dynamic energy of what brings them; ``time_s``: how long it works.
    """

    bytes: Count
    energy_j: float
    time_s: float


class PlanRecord(Record):
    """How a chunk of ``frames`` output frames, ``seconds`` of audio, goes through an NPU; bytes of one chunk.

    ``pieces``: of groups of layers that take the chunk in several; ``spilled``: tensors that live in LPDDR instead of
    L2; ``lpddr_bytes``: what weights, spilled tensors and state move; ``peak_bytes`` of ``room_bytes`` of L2 are taken.
    ``on_cpu``: layers that fall back on the CPU.
    """

    frames: Count
    seconds: float
    pieces: dict[str, Count]
    spilled: dict[str, Count]
    weight_bytes: Count
    state_bytes: Count
    state_in_l2: bool
    peak_bytes: Count
    room_bytes: Count
    lpddr_bytes: Count
    on_cpu: list[str]


class OperationRecord(Record):
    """Time and cost at one operating point; the values, and so the accuracy, are those of the run."""

    performance: Performance
    energy: EnergyTotals
    power_w: float
    efficiency: Efficiency
    uncertainty: Uncertainty


class Result(OperationRecord):
    """Everything that one run told; keys are only ever added.

    ``operating_points``: the same run at the architecture's other operating points.
    """

    schema_: Literal["accelsim/result@1"] = Field(SCHEMA, alias="schema")
    arch: Identity
    workload: Identity
    seed: Count
    versions: dict[str, str]
    command: str
    area_mm2: float
    power_rule: str = ""
    """How parts that wait are clocked and supplied."""
    memory_bytes: dict[str, Count]
    programming: Programming = Programming()
    arrays: list[ArrayRecord] = []
    """Of the crossbars whose wires have a resistance, or whose arrays have remedies against it."""
    plan: PlanRecord | None = None
    first_load: FirstLoad | None = None
    operating_points: dict[str, OperationRecord]
    accuracy: AccuracyRecord | None
    clips: ClipRecord = ClipRecord()
    instead_of: str | None = None
    """The data set that was asked for and is not on the machine: the sample of it that ships was read in its place."""
    skipped: dict[str, Count] = {}
    """Bad recordings that were left out, by kind, see `accelsim.data.recordings.KINDS`."""
    doubtful: dict[str, Count] = {}
    """How many of the recordings that were heard are of such a kind, clipped for example, by kind."""
    layers: list[LayerRecord]
    components: list[ComponentRecord]
    channels: list[ChannelRecord] = []
    """None in older records."""
    engines: list[EngineRecord] = []
    frame: FrameRecord | None = None
    """None where nobody watched: in points of a sweep, in comparisons with papers, in older records."""
    leakage_bracket: list[Bracket]
    provenance: Provenance

    def __repr__(self) -> str:
        return f"<Result {self.workload.name} on {self.arch.name}>"

    def dram_bytes(self) -> float:
        """Return the bytes that all layers moved over memories outside the chip."""
        names = [component.name for component in self.components if component.kind == "dram"]
        return sum(layer.moved_bytes.get(name, 0.0) for layer in self.layers for name in names)

    def to_json(self) -> str:
        """Return the record as JSON text, one key a line."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, file: str | None = None) -> Self:
        """Read a record back; raises InputError with what is wrong with a text that is none."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(problems_of(error, f"not an {SCHEMA} record", file)) from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the record in a file; raises InputError where there is none, or where it is too large."""
        return cls.from_json(limits.read_text(path, "record_bytes"), str(path))

    def write(self, folder: Path) -> Path:
        """Write ``result.json`` into a folder, made if need be, and return its path.

        The text goes to a temporary file first and is then renamed, so that a killed run leaves either the old
        file or the new one. Raises InputError when the folder cannot be written.
        """
        path = folder / "result.json"
        with written_whole(path) as file:
            file.write(self.to_json().encode())
        return path


def problems_of(error: ValidationError, what: str, file: str | None = None) -> list[Problem]:
    """Return what pydantic found wrong with a text of others, the first twelve of it, each with its place in there."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    problems = []
    for one in found[:LONGEST_LIST]:
        # A key is the other's own, and may be of any length.
        place = ".".join(part if len(part) <= LONGEST_TEXT else show(part) for part in map(str, one["loc"]))
        problems.append(Problem(": ".join(filter(None, (what, place, one["msg"]))), file))
    more = len(found) - LONGEST_LIST
    return problems + ([Problem(f"{what}: {more:,} more", file)] if more > 0 else [])


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to which becomes ``path``, in a folder made if need be, when all of it is on the disk.

    Raises InputError when the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name.partition('.')[0]}-{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError.of(f"cannot write {path}: {error.strerror}") from None


def check_writable(folder: Path) -> None:
    """Raise InputError now if `Result.write` could not write into a folder later."""
    for place in (folder, *folder.parents):
        try:
            mode = os.stat(place).st_mode
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError.of(f"cannot write to the output folder {folder}: {reason}") from None
        if not stat.S_ISDIR(mode):
            raise InputError.of(f"cannot write to the output folder {folder}: {place} is not a folder")
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError.of(f"cannot write to the output folder {folder}: no permission to write in {place}")
        return
