"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const tip = document.querySelector(".tip");

/* ---- Numbers and scales ---- */

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"],
  [1e-12, "p"], [1e-15, "f"], [1e-18, "a"]];
const PREFIXED = new Set(["J", "W", "s", "Hz", "OPS", "B/s"]);

function plain(value, digits) {
  const number = Number(value.toPrecision(digits));
  const small = number !== 0 && Math.abs(number) < 1e-4;
  return small ? number.toExponential() : number.toLocaleString("en", { maximumSignificantDigits: digits });
}

/** A value with its unit for people to read: 7.01e-7 J is "701 nJ". */
function show(value, unit, digits = 3) {
  if (value === null || !Number.isFinite(value)) return "-";
  if (!PREFIXED.has(unit) || value === 0) return plain(value, digits) + (unit ? " " + unit : "");
  const [scale, prefix] = PREFIXES.find(([s]) => Math.abs(value) >= s * 0.9995) || PREFIXES[PREFIXES.length - 1];
  return plain(value / scale, digits) + " " + prefix + unit;
}

/** A scale from values to 0 .. 1 and back; logarithmic where positive values span more than a factor of 30. */
function scaleOf(values, logarithmic) {
  const known = values.filter((v) => v !== null);
  let low = Math.min(...known), high = Math.max(...known);
  const log = logarithmic ?? (low > 0 && high / low > 30);
  const to = log ? Math.log10 : (v) => v, from = log ? (v) => 10 ** v : (v) => v;
  if (low === high) {
    const room = log ? 2 : Math.abs(low) * 0.1 || 1;
    [low, high] = log ? [low / room, high * room] : [low - room, high + room];
  }
  const start = to(low), span = to(high) - start;
  return { log, low, high, at: (v) => (to(v) - start) / span, value: (p) => from(start + p * span) };
}

/** Round values for the ticks of a scale: 1, 2 and 5 times powers of ten, or powers of ten alone. */
function ticksOf(scale, wanted) {
  const ticks = [];
  if (scale.log && scale.high / scale.low > 8) {
    const decades = Math.log10(scale.high / scale.low), step = Math.max(1, Math.ceil(decades / wanted));
    const between = decades * 3 <= wanted * 1.5 ? [1, 2, 5] : [1];
    for (let e = Math.floor(Math.log10(scale.low)); e <= Math.log10(scale.high); e += step) {
      ticks.push(...between.map((m) => m * 10 ** e).filter((v) => v >= scale.low * 0.999 && v <= scale.high * 1.001));
    }
    return ticks;
  }
  const rough = (scale.high - scale.low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
  // Values that differ by a rounding error alone are further apart than what is added: a bounded number of times.
  for (let v = Math.ceil(scale.low / step - 1e-9) * step, n = 0; v <= scale.high + step * 1e-9 && n <= 2 * wanted; v += step, n++) {
    ticks.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  }
  return ticks;
}

/* ---- SVG ---- */

function element(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

/** Draw into a figure at its present width, and again whenever that changes. */
function draw(figure, render) {
  let width = 0;
  const again = () => {
    const now = Math.round(figure.clientWidth);
    if (!now || now === width) return;
    width = now;
    render(width);
  };
  new ResizeObserver(again).observe(figure);
  again();
  return () => { width = 0; again(); };
}

function canvas(figure, width, height, label) {
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  figure.replaceChildren(svg);
  return svg;
}

/** Draw both axes with grid lines; x and y are {scale, label, format, at: value -> pixel}. */
function drawAxes(svg, box, x, y) {
  for (const tick of ticksOf(x.scale, Math.max(2, Math.floor((box.right - box.left) / 90)))) {
    element("line", { class: "grid", x1: x.at(tick), x2: x.at(tick), y1: box.top, y2: box.bottom }, svg);
    element("text", { x: x.at(tick), y: box.bottom + 17, "text-anchor": "middle" }, svg, x.format(tick));
  }
  for (const tick of ticksOf(y.scale, Math.max(2, Math.floor((box.bottom - box.top) / 60)))) {
    element("line", { class: "grid", x1: box.left, x2: box.right, y1: y.at(tick), y2: y.at(tick) }, svg);
    element("text", { x: box.left - 8, y: y.at(tick) + 4, "text-anchor": "end" }, svg, y.format(tick));
  }
  element("path", { class: "axis", d: `M${box.left},${box.top}V${box.bottom}H${box.right}` }, svg);
  element("text", { class: "name", x: box.right, y: box.bottom + 36, "text-anchor": "end" }, svg, x.label);
  element("text", { class: "name", x: 4, y: 13 }, svg, y.label);
}

function showTip(text, x, y) {
  tip.textContent = text;
  if (!text) return;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 6)) + "px";
  tip.style.top = Math.max(6, y + 14 + box.height > innerHeight ? y - box.height - 10 : y + 14) + "px";
}

/* ---- Tables: a click or the Enter key on a heading sorts by that column ---- */

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const numbers = heading.classList.contains("right");
      const now = heading.getAttribute("aria-sort");
      const next = now === "none" ? (numbers ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
      const sign = next === "ascending" ? 1 : -1;
      const keyed = [...body.rows].map((row) => {
        const cell = row.cells[column], text = cell.dataset.value ?? cell.textContent.trim();
        return [numbers ? (text === "" ? NaN : Number(text)) : text, row];
      });
      keyed.sort(([a], [b]) => {
        if (!numbers) return sign * String(a).localeCompare(String(b), "en", { numeric: true });
        return Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : sign * (a - b);
      });
      body.append(...keyed.map(([, row]) => row));
      for (const other of headings) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", next);
    });
  });
}

/* ---- Printing shows what is folded away on the screen ---- */

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => { for (const details of opened) details.open = false; });

/* ---- Roofline ---- */

function roofline(spots, figure, select) {
  for (const path of new Set(spots.map((s) => s.path))) select.append(new Option(path, path));
  const render = (width) => {
    const height = Math.max(260, Math.min(420, width * 0.55)), left = 74;
    const box = { left, right: width - 14, top: 26, bottom: height - 44 };
    const shown = spots.filter((s) => s.path === select.value);
    const { peak, bytes_per_s } = shown[0], ridge = peak / bytes_per_s;
    const across = [...shown.map((s) => s.intensity), ridge];
    const up = [...shown.map((s) => s.rate), peak];
    const x = { scale: scaleOf([Math.min(...across) / 3, Math.max(...across) * 3], true), label: "operations per byte" };
    x.at = (v) => box.left + x.scale.at(v) * (box.right - box.left);
    x.format = (v) => plain(v, 3);
    const y = { scale: scaleOf([Math.min(...up) / 3, Math.max(...up) * 2], true), label: "operations per second" };
    y.at = (v) => box.bottom - y.scale.at(v) * (box.bottom - box.top);
    y.format = (v) => show(v, "OPS");
    const told = shown.map((s) => `${s.layer} ${show(s.rate, "OPS")} at ${plain(s.intensity, 3)} operations per byte`);
    const svg = canvas(figure, width, height, `Roofline of ${select.value}: ${told.join("; ")}`);
    drawAxes(svg, box, x, y);
    const from = Math.max(x.scale.low, y.scale.low / bytes_per_s);
    element("path", { class: "roof", d: `M${x.at(from)},${y.at(from * bytes_per_s)}L${x.at(ridge)},${y.at(peak)}H${box.right}` }, svg);
    element("text", { x: box.right - 4, y: y.at(peak) - 7, "text-anchor": "end" }, svg, `multipliers ${show(peak, "OPS")}`);
    const angle = -Math.atan2(y.at(from * bytes_per_s) - y.at(peak), x.at(ridge) - x.at(from)) * 180 / Math.PI;
    const middle = Math.sqrt(from * ridge);
    element("text", {
      x: x.at(middle), y: y.at(middle * bytes_per_s) - 7, "text-anchor": "middle",
      transform: `rotate(${angle} ${x.at(middle)} ${y.at(middle * bytes_per_s)})`,
    }, svg, `${select.value} ${show(bytes_per_s, "B/s")}`);
    const taken = [...svg.querySelectorAll("text")].map((text) => text.getBoundingClientRect());
    const dots = shown.map((s) => element("circle", { class: "layer", cx: x.at(s.intensity), cy: y.at(s.rate), r: 6 }, svg));
    taken.push(...dots.map((dot) => dot.getBoundingClientRect()));
    const area = svg.getBoundingClientRect();
    for (const [n, s] of shown.entries()) {
      const roof = Math.min(peak, s.intensity * bytes_per_s), dot = dots[n];
      name(s, area, taken);
      const text = `${s.layer}\n${show(s.rate, "OPS")}, ${(100 * s.rate / roof).toFixed(1)}% of the roof\n` +
        `${plain(s.intensity, 3)} operations per byte of ${s.path}`;
      dot.addEventListener("pointerenter", (event) => showTip(text, event.clientX, event.clientY));
      dot.addEventListener("pointerleave", () => showTip(""));
    }

    /** Write a layer's name beside its dot, where it lies on no other name or dot; else pointing at the dot says it. */
    function name(s, area, taken) {
      for (const [across, down] of [[10, 14], [10, -6], [-10, 14], [-10, -6], [10, 28], [-10, 28], [10, -20], [-10, -20]]) {
        const text = element("text", {
          class: "name", x: x.at(s.intensity) + across, y: y.at(s.rate) + down, "text-anchor": across > 0 ? "start" : "end",
        }, svg, s.layer);
        const at = text.getBoundingClientRect();
        const free = taken.every((o) => at.left >= o.right || o.left >= at.right || at.top + 2 >= o.bottom - 2 || o.top + 2 >= at.bottom - 2);
        if (free && at.left >= area.left + box.left && at.right <= area.right && at.bottom <= area.top + box.bottom) {
          taken.push(at);
          return;
        }
        text.remove();
      }
    }
  };
  select.addEventListener("change", draw(figure, render));
}

/* ---- A sweep along its keys: lines with their ends over the seeds, or a heat map ---- */

function alongKeys({ axes, steps, along: first, lines: second, held: best }) {
  const figure = document.getElementById("along-chart"), legend = document.getElementById("along-legend");
  const [chooseFigure, chooseX, chooseLines, chooseKind] = ["figure", "x", "lines", "kind"].map((id) => document.getElementById("along-" + id));
  const others = document.getElementById("along-held");
  const figures = axes.filter((axis) => !axis.texts);
  for (const axis of figures) chooseFigure.append(new Option(axis.name, axis.name));
  for (const axis of steps) {
    chooseX.append(new Option(axis.name, axis.name));
    chooseLines.append(new Option(axis.name, axis.name));
  }
  chooseLines.prepend(new Option("nothing else", ""));
  chooseX.value = first;
  chooseLines.value = second;
  const holds = new Map(steps.map((axis) => {
    const choose = document.createElement("select"), label = document.createElement("label");
    choose.append(new Option("any, their mean", ""), ...axis.texts.map((text, place) => new Option(text, place)));
    choose.value = best[axis.name] ?? "";
    label.append(axis.name + " = ", choose);
    others.append(label);
    return [axis, choose];
  }));

  /** What is drawn: [place along x, place on the other axis, mean, lowest, highest, how many]. */
  function cells(of, x, other) {
    const found = new Map();
    of.values.forEach((value, i) => {
      const at = x.places[i], on = other ? other.places[i] : 0;
      const kept = steps.every((axis) => axis === x || axis === other || holds.get(axis).value === "" || axis.places[i] === Number(holds.get(axis).value));
      if (value === null || at === null || on === null || !kept) return;
      const key = at + " " + on, cell = found.get(key) || [at, on, 0, Infinity, -Infinity, 0];
      cell[2] += value;
      cell[3] = Math.min(cell[3], of.low?.[i] ?? value);
      cell[4] = Math.max(cell[4], of.high?.[i] ?? value);
      cell[5] += 1;
      found.set(key, cell);
    });
    return [...found.values()].map((cell) => [cell[0], cell[1], cell[2] / cell[5], cell[3], cell[4], cell[5]]).sort((a, b) => a[0] - b[0]);
  }

  const again = draw(figure, (width) => {
    const of = figures.find((axis) => axis.name === chooseFigure.value), x = steps.find((axis) => axis.name === chooseX.value);
    const other = steps.find((axis) => axis.name === chooseLines.value && axis !== x);
    for (const [axis, choose] of holds) choose.parentElement.hidden = axis === x || axis === other;
    const shown = cells(of, x, other);
    const tell = ([at, on, mean, low, high, n]) => [
      `${x.name} = ${x.texts[at]}`, ...(other ? [`${other.name} = ${other.texts[on]}`] : []),
      `${of.name} ${show(mean, of.unit, 4)}` + (low < high ? ` (${show(low, of.unit, 4)} to ${show(high, of.unit, 4)})` : ""),
      ...(n > 1 ? [`mean of ${n} configurations`] : []),
    ].join("\n");
    const pointed = (made, cell) => {
      made.addEventListener("pointerenter", (event) => showTip(tell(cell), event.clientX, event.clientY));
      made.addEventListener("pointerleave", () => showTip(""));
    };
    legend.replaceChildren();
    if (!shown.length) {
      figure.replaceChildren(document.createTextNode("No configuration has these values."));
      return;
    }
    (chooseKind.value === "heat" && other ? heat : lines)(width, of, x, other, shown, pointed);
  });
  for (const choose of [chooseFigure, chooseX, chooseLines, chooseKind, ...holds.values()]) choose.addEventListener("change", again);

  /** Labels of steps along x, as many as have room; `at`: from a step's place to pixels. */
  function labelSteps(svg, axis, at, bottom, right) {
    let free = -Infinity;
    for (const [place, text] of axis.texts.entries()) {
      const half = 3.6 * text.length;
      const middle = Math.min(at(place), right - half);
      if (middle - half < free) continue;
      free = middle + half + 8;
      element("line", { class: "axis", x1: at(place), x2: at(place), y1: bottom, y2: bottom + 4 }, svg);
      element("text", { x: middle, y: bottom + 18, "text-anchor": "middle" }, svg, text);
    }
    element("text", { class: "name", x: right, y: bottom + 37, "text-anchor": "end" }, svg, axis.name);
  }

  function lines(width, of, x, other, shown, pointed) {
    const height = Math.max(280, Math.min(440, width * 0.5)), box = { left: 78, right: width - 20, top: 28, bottom: height - 48 };
    const svg = canvas(figure, width, height, `${of.name} along ${x.name}` + (other ? `, a line for each ${other.name}` : ""));
    const places = x.numbers || x.texts.map((_, place) => place), inset = 14;
    const across = scaleOf(places, Boolean(x.logarithmic)), up = scaleOf(shown.flatMap((cell) => [cell[2], cell[3], cell[4]]));
    const px = (place) => box.left + inset + across.at(places[place]) * (box.right - box.left - 2 * inset);
    const py = (value) => box.bottom - inset - up.at(value) * (box.bottom - box.top - 2 * inset);
    for (const tick of ticksOf(up, Math.max(2, Math.floor((box.bottom - box.top) / 60)))) {
      element("line", { class: "grid", x1: box.left, x2: box.right, y1: py(tick), y2: py(tick) }, svg);
      element("text", { x: box.left - 8, y: py(tick) + 4, "text-anchor": "end" }, svg, show(tick, of.unit));
    }
    element("path", { class: "axis", d: `M${box.left},${box.top}V${box.bottom}H${box.right}` }, svg);
    element("text", { class: "name", x: 4, y: 13 }, svg, of.title);
    labelSteps(svg, x, px, box.bottom, box.right);
    for (const on of [...new Set(shown.map((cell) => cell[1]))].sort((a, b) => a - b)) {
      const line = shown.filter((cell) => cell[1] === on), kind = "curve-" + (on % 8);
      element("path", { class: "curve " + kind, d: "M" + line.map((cell) => `${px(cell[0])},${py(cell[2])}`).join("L") }, svg);
      for (const cell of line) {
        const [at, , mean, low, high] = cell;
        if (low < high) element("path", { class: "curve " + kind, d: `M${px(at) - 4},${py(low)}h8m-4,0V${py(high)}m-4,0h8` }, svg);
        pointed(element("circle", { class: "dot " + kind, cx: px(at), cy: py(mean), r: 5 }, svg), cell);
      }
      if (other) {
        const item = document.createElement("li"), mark = document.createElement("i");
        mark.className = kind;
        item.append(mark, `${other.name} = ${other.texts[on]}`);
        legend.append(item);
      }
    }
  }

  function heat(width, of, x, other, shown, pointed) {
    const rows = other.texts.length, longest = Math.max(...other.texts.map((text) => text.length));
    const left = Math.min(20 + 7.2 * longest, width / 3), right = width - 10, top = 28;
    const tall = Math.max(16, Math.min(44, 420 / rows)), bottom = top + rows * tall, wide = (right - left) / x.texts.length;
    const svg = canvas(figure, width, bottom + 48, `${of.name} for each ${x.name} and ${other.name}`);
    element("text", { class: "name", x: 4, y: 13 }, svg, other.name);
    const scale = scaleOf(shown.map((cell) => cell[2]));
    for (const cell of shown) {
      const [at, on, mean] = cell, y = bottom - (on + 1) * tall;
      const made = element("rect", { class: "cell", x: left + at * wide, y, width: wide, height: tall, style: `fill-opacity: ${0.05 + 0.6 * scale.at(mean)}` }, svg);
      const text = show(mean, of.unit);
      if (wide > 7 * text.length && tall > 15) element("text", { class: "inside", x: left + (at + 0.5) * wide, y: y + tall / 2 + 4, "text-anchor": "middle" }, svg, text);
      pointed(made, cell);
    }
    const every = Math.ceil(16 / tall);
    for (const [on, text] of other.texts.entries()) {
      if (on % every) continue;
      const most = Math.floor((left - 14) / 7), told = text.length > most ? text.slice(0, most - 2) + ".." : text;
      element("text", { x: left - 8, y: bottom - (on + 0.5) * tall + 4, "text-anchor": "end" }, svg, told);
    }
    labelSteps(svg, x, (place) => left + (place + 0.5) * wide, bottom, right);
    const item = document.createElement("li"), ramp = document.createElement("i");
    ramp.className = "ramp";
    item.append(`${of.title} ${show(scale.low, of.unit)} `, ramp, ` ${show(scale.high, of.unit)}`);
    legend.append(item);
  }
}

/* ---- A sweep: the front, parallel coordinates and the table show one selection ---- */

function sweep({ axes, points, x: firstX, y: firstY, parallel, steps, along, lines, held }) {
  for (const axis of axes) {
    axis.scale = scaleOf(axis.texts ? axis.texts.map((_, i) => i) : axis.values, axis.texts ? false : undefined);
    axis.at = (i) => (axis.values[i] === null ? null : axis.scale.at(axis.values[i]));
    axis.text = (i) => (axis.texts ? axis.texts[axis.values[i]] : show(axis.values[i], axis.unit, 4));
    const arrow = { less: " ↓ better", more: " ↑ better", "": "" }[axis.better];
    axis.title = axis.name + (axis.unit && !PREFIXED.has(axis.unit) ? ", " + axis.unit : "") + arrow;
  }
  const filters = new Map();  // axis -> [from, to], both 0 .. 1 on the axis
  const pass = (i) => [...filters].every(([axis, [from, to]]) => axis.at(i) !== null && axis.at(i) >= from && axis.at(i) <= to);
  const rows = new Map([...document.querySelectorAll("#points-table tbody tr")].map((row) => [Number(row.dataset.index), row]));
  const count = document.getElementById("count"), clear = document.getElementById("clear");
  const frontOnly = document.getElementById("front-only");
  const views = [];
  let active = null;

  function select() {
    let shown = 0;
    points.forEach((point, i) => {
      point.in = pass(i) && (!frontOnly.checked || point.front);
      shown += point.in;
      rows.get(i).hidden = !point.in;
    });
    count.textContent = shown === points.length ? `all ${points.length} configurations` : `${shown} of ${points.length} configurations`;
    clear.disabled = filters.size === 0 && !frontOnly.checked;
    for (const view of views) view.selection();
  }

  /** While a drag goes on, select at most once for each picture that the screen shows. */
  let waiting = false;
  function selectSoon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; select(); });
  }

  function activate(i, x, y) {
    if (active !== null) rows.get(active).classList.remove("active");
    active = i;
    if (i !== null) rows.get(i).classList.add("active");
    for (const view of views) view.active();
    showTip(i === null ? "" : describe(i), x, y);
  }

  function describe(i) {
    const point = points[i];
    const lines = axes.filter((axis) => axis.texts).map((axis) => `${axis.name} = ${axis.text(i)}`);
    lines.push("");
    for (const axis of axes) {
      if (axis.texts || axis.values[i] === null) continue;
      const spread = axis.low && axis.low[i] !== null && axis.low[i] < axis.high[i] ? ` (${show(axis.low[i], axis.unit, 4)} to ${show(axis.high[i], axis.unit, 4)})` : "";
      lines.push(`${axis.name} ${axis.text(i)}${spread}`);
    }
    const head = `configuration ${point.number}` + (point.front ? ", on the Pareto front" : point.allowed ? "" : ", breaks a constraint");
    return [head, ...lines].join("\n").replace(/\n\n$/, "");
  }

  clear.addEventListener("click", () => { filters.clear(); frontOnly.checked = false; select(); });
  frontOnly.addEventListener("change", select);
  views.push(front(), coordinates());
  select();
  if (steps.length) alongKeys({ axes, steps, along, lines, held });

  /** The points in two figures, to hover, walk along with the arrow keys, and brush. */
  function front() {
    const figure = document.getElementById("pareto-chart");
    const [chooseX, chooseY] = ["x-axis", "y-axis"].map((id) => document.getElementById(id));
    const metrics = axes.filter((axis) => !axis.texts);
    for (const choose of [chooseX, chooseY]) for (const axis of metrics) choose.append(new Option(axis.name, axis.name));
    chooseX.value = firstX;
    chooseY.value = firstY;
    let svg, box, x, y, dots, ring, brush, walk;

    const render = (width) => {
      const height = Math.max(300, Math.min(520, width * 0.55));
      box = { left: 78, right: width - 16, top: 28, bottom: height - 46 };
      [x, y] = [chooseX, chooseY].map((choose) => metrics.find((axis) => axis.name === choose.value));
      const inset = 12;
      const px = (p) => box.left + inset + p * (box.right - box.left - 2 * inset);
      const py = (p) => box.bottom - inset - p * (box.bottom - box.top - 2 * inset);
      svg = canvas(figure, width, height, `${points.length} configurations, ${y.name} over ${x.name}; arrow keys walk along the front`);
      svg.setAttribute("tabindex", "0");
      const axisOf = (axis, at) => ({ scale: axis.scale, label: axis.title, format: (v) => show(v, axis.unit), at: (v) => at(axis.scale.at(v)) });
      drawAxes(svg, box, axisOf(x, px), axisOf(y, py));
      const visible = points.map((_, i) => i).filter((i) => x.at(i) !== null && y.at(i) !== null);
      walk = visible.filter((i) => points[i].front).sort((a, b) => x.at(a) - x.at(b));
      const steps = staircase(visible.filter((i) => points[i].allowed));
      if (steps.length > 1) {
        const d = steps.map((i, n) => (n ? `H${px(x.at(i))}V${py(y.at(i))}` : `M${px(x.at(i))},${py(y.at(i))}`)).join("");
        element("path", { class: "stair", d }, svg);
      }
      const back = visible.filter((i) => !points[i].front);
      dots = new Map([...back, ...walk].map((i) => [i, element("circle", {
        class: "point" + (points[i].front ? " front" : points[i].allowed ? "" : " refused"), cx: px(x.at(i)), cy: py(y.at(i)), r: points[i].front ? 5.5 : 4, "data-index": i,
      }, svg)]));
      ring = element("circle", { class: "ring", r: 9, visibility: "hidden" }, svg);
      brush = element("rect", { class: "brush", visibility: "hidden" }, svg);
      const position = (event) => {
        const area = svg.getBoundingClientRect();
        return [(event.clientX - area.left) * width / area.width, (event.clientY - area.top) * height / area.height];
      };
      const nearest = (mx, my) => {
        let best = null, least = 20 ** 2;
        for (const [i, dot] of dots) {
          const distance = (dot.cx.baseVal.value - mx) ** 2 + (dot.cy.baseVal.value - my) ** 2;
          if (distance < least && points[i].in) [best, least] = [i, distance];
        }
        return best;
      };
      let start = null;
      svg.addEventListener("pointerdown", (event) => { start = position(event); svg.setPointerCapture(event.pointerId); });
      svg.addEventListener("pointermove", (event) => {
        const now = position(event);
        if (start && Math.hypot(now[0] - start[0], now[1] - start[1]) > 4) {
          activate(null);
          filters.set(x, range(start[0], now[0], px(0), px(1)));
          filters.set(y, range(start[1], now[1], py(0), py(1)));
          selectSoon();
        } else if (!start) {
          activate(nearest(...now), event.clientX, event.clientY);
        }
      });
      svg.addEventListener("pointerup", (event) => {
        const now = position(event);
        if (!start) return;
        const click = Math.hypot(now[0] - start[0], now[1] - start[1]) <= 4;
        start = null;
        if (click) {
          filters.delete(x);
          filters.delete(y);
        }
        select();
        if (click) activate(nearest(...now), event.clientX, event.clientY);
      });
      svg.addEventListener("pointerleave", () => { if (!start) activate(null); });
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        if (step && walk.length) {
          event.preventDefault();
          const here = walk.indexOf(active);
          const i = walk[here < 0 ? (step > 0 ? 0 : walk.length - 1) : Math.max(0, Math.min(walk.length - 1, here + step))];
          const area = dots.get(i).getBoundingClientRect();
          activate(i, area.right, area.bottom);
        } else if (event.key === "Escape") {
          activate(null);
          clear.click();
        }
      });
      svg.addEventListener("blur", () => activate(null));
      views[0]?.selection();
    };

    /** The configurations that no other one beats in the two figures shown, in the order of x. */
    function staircase(visible) {
      if (!x.better || !y.better || x === y) return [];
      const badX = (i) => (x.better === "less" ? 1 : -1) * x.values[i], badY = (i) => (y.better === "less" ? 1 : -1) * y.values[i];
      let least = Infinity;
      const steps = [];
      for (const i of [...visible].sort((a, b) => badX(a) - badX(b) || badY(a) - badY(b))) {
        if (badY(i) < least) { least = badY(i); steps.push(i); }
      }
      return steps;
    }

    const again = draw(figure, render);
    for (const choose of [chooseX, chooseY]) {
      choose.addEventListener("change", () => { filters.delete(x); filters.delete(y); again(); select(); });
    }
    return {
      selection() {
        for (const [i, dot] of dots) dot.classList.toggle("out", !points[i].in);
        const [onX, onY] = [filters.get(x), filters.get(y)];
        brush.setAttribute("visibility", onX && onY ? "visible" : "hidden");
        if (!onX || !onY) return;
        const inset = 12, w = box.right - box.left - 2 * inset, h = box.bottom - box.top - 2 * inset;
        brush.setAttribute("x", box.left + inset + onX[0] * w);
        brush.setAttribute("width", (onX[1] - onX[0]) * w);
        brush.setAttribute("y", box.bottom - inset - onY[1] * h);
        brush.setAttribute("height", (onY[1] - onY[0]) * h);
      },
      active() {
        const dot = dots.get(active);
        ring.setAttribute("visibility", dot ? "visible" : "hidden");
        if (!dot) return;
        ring.setAttribute("cx", dot.getAttribute("cx"));
        ring.setAttribute("cy", dot.getAttribute("cy"));
      },
    };
  }

  /** One line for each configuration across all settings and figures; a drag along an axis selects. */
  function coordinates() {
    const figure = document.getElementById("parallel-chart");
    const shown = parallel.map((name) => axes.find((axis) => axis.name === name));
    let lines = new Map(), brushes = new Map();

    const render = (available) => {
      const width = Math.max(available, shown.length * 104), height = 360, top = 52, bottom = height - 18;
      // The labels of the first axis stand to its left: about 6.5 pixels a letter.
      const longest = Math.max(0, ...(shown[0].texts || []).map((text) => text.length));
      const left = Math.min(Math.max(64, 12 + 6.5 * longest), width / 3);
      const place = (n) => left + n * (width - left - 64) / Math.max(1, shown.length - 1);
      const py = (p) => bottom - p * (bottom - top);
      const svg = canvas(figure, width, height, `${points.length} configurations across ${parallel.join(", ")}`);
      svg.style.width = width + "px";
      const path = (i) => shown.map((axis, n) => (axis.at(i) === null ? "" : `${place(n)},${py(axis.at(i))}`)).filter(Boolean);
      const order = points.map((_, i) => i).sort((a, b) => points[a].front - points[b].front);
      lines = new Map(order.map((i) => [i, element("path", { class: points[i].front ? "line front" : "line", d: "M" + path(i).join("L") }, svg)]));
      brushes = new Map();
      shown.forEach((axis, n) => {
        const at = place(n);
        element("line", { class: "axis", x1: at, x2: at, y1: top, y2: bottom }, svg);
        const name = axis.name.split(".");
        element("text", { class: "name", x: at, y: 14, "text-anchor": "middle" }, svg, name.slice(-1)[0]);
        const under = name.length > 1 ? name.slice(0, -1).join(".") : [axis.unit && !PREFIXED.has(axis.unit) ? axis.unit : "", { less: "↓ better", more: "↑ better", "": "" }[axis.better]].filter(Boolean).join(", ");
        element("text", { x: at, y: 30, "text-anchor": "middle" }, svg, under);
        const ticks = axis.texts ? axis.texts.map((_, i) => i) : ticksOf(axis.scale, 4);
        const every = Math.ceil(ticks.length / 12);
        for (const tick of ticks.filter((_, i) => i % every === 0)) {
          const text = axis.texts ? axis.texts[tick] : show(tick, axis.unit);
          element("text", { x: at - 6, y: py(axis.scale.at(tick)) + 4, "text-anchor": "end" }, svg, text);
        }
        const box = element("rect", { class: "brush", x: at - 7, width: 14, visibility: "hidden" }, svg);
        brushes.set(axis, { box, py });
        const handle = element("rect", { class: "handle", x: at - 16, width: 32, y: top - 8, height: bottom - top + 16 }, svg);
        let start = null;
        const position = (event) => {
          const area = svg.getBoundingClientRect();
          return (event.clientY - area.top) * height / area.height;
        };
        handle.addEventListener("pointerdown", (event) => { start = position(event); handle.setPointerCapture(event.pointerId); });
        handle.addEventListener("pointermove", (event) => {
          if (start === null || Math.abs(position(event) - start) < 4) return;
          filters.set(axis, range(start, position(event), py(0), py(1)));
          selectSoon();
        });
        handle.addEventListener("pointerup", (event) => {
          if (start === null) return;
          if (Math.abs(position(event) - start) < 4) filters.delete(axis);
          start = null;
          select();
        });
      });
      views[1]?.selection();
    };

    if (figure && shown.length > 1) draw(figure, render);
    return {
      selection() {
        for (const [i, line] of lines) line.classList.toggle("out", !points[i].in);
        for (const [axis, { box, py }] of brushes) {
          const on = filters.get(axis);
          box.setAttribute("visibility", on ? "visible" : "hidden");
          if (!on) continue;
          box.setAttribute("y", py(on[1]));
          box.setAttribute("height", py(on[0]) - py(on[1]));
        }
      },
      active() {
        for (const [i, line] of lines) line.classList.toggle("active", i === active);
      },
    };
  }

  for (const [i, row] of rows) {
    row.addEventListener("pointerenter", () => activate(i));
    row.addEventListener("pointerleave", () => activate(null));
  }

  /** Two pixels as a rising interval on an axis that runs from pixel `zero` to pixel `one`, cut to the axis. */
  function range(a, b, zero, one) {
    const cut = (p) => Math.max(-0.02, Math.min(1.02, (p - zero) / (one - zero)));
    return [Math.min(cut(a), cut(b)), Math.max(cut(a), cut(b))];
  }
}

if (data.page === "run" && data.roofline.length) {
  roofline(data.roofline, document.getElementById("roofline-chart"), document.getElementById("path"));
}
if (data.page === "sweep" && data.points.length) sweep(data);
})();
