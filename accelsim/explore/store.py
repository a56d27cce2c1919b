"""The results of a sweep or a search: one SQLite file, in which every finished point is durable at once.

``DIR/results.sqlite`` (WAL mode) holds four tables:

``points``      one row per point.
                ``point`` INTEGER PRIMARY KEY; ``configuration`` INTEGER: points that differ in their seed alone share
                it; ``seed`` INTEGER; ``keys`` TEXT: JSON object, swept key -> value as text, in the order of the axes;
                ``status`` TEXT: ``done`` or ``failed``; ``error`` TEXT: why it failed, else NULL;
                one REAL column per metric of `accelsim.explore.metrics.METRICS` (NULL where it does not apply);
                ``result_json`` TEXT: the whole `accelsim.Result`, NULL for a failed point.
``layers``      ``point``, ``position`` (in the order of the schedule), ``layer``, ``cycles``, ``macs_dense``,
                ``macs_performed``, ``sparsity``, ``saturations``, ``adc_conversions``, ``adc_clipped``, ``energy_j``.
``components``  ``point``, ``position``, ``component``, ``kind``, ``busy_cycles``, ``wait_input_cycles``,
                ``wait_output_cycles``, ``idle_cycles``, ``dynamic_j``, ``clock_j``, ``leakage_j``, ``area_mm2``,
                ``actions`` (JSON object, action -> count).
``meta``        ``key`` TEXT PRIMARY KEY, ``value`` TEXT (JSON): ``schema`` = "accelsim/store@1"; ``kind`` = "sweep" or
                "search"; ``architecture`` and ``workload`` = {name, sha256} of the files without overrides; ``set`` =
                {key: value} fixed for all points; ``axes`` = [{key: what was asked for}]; ``swept`` = [keys that
                vary]; ``method`` = "grid", "random", "lhs", "tpe" or "nsga2"; ``points`` = how many configurations were
                asked for; ``seed``, ``seeds``; ``objectives`` = [names of metrics] (for the Pareto front);
                ``constraints`` = [text]; ``accelsim`` = version; ``command`` = what began it.

No time and no random number is stored, so that a sweep that was killed and resumed equals an undisturbed one.
"""
