// Line charts in SVG: series are [{points: [[x, y], …], name}], at most two.
const SPACE = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") made.style.cssText = value;
    else if (value != null) made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child != null));
  return made;
}

// A whole number is shown whole, another with three digits, or as many as tell the ends of its `range` apart.
function shown(value, range) {
  if (Number.isInteger(value)) return String(value);
  const size = Math.floor(Math.log10(Math.abs(value))), finer = range ? size + 2 - Math.floor(Math.log10(range)) : 0;
  const rounded = Number(value.toPrecision(Math.min(17, Math.max(3, size + 1, finer))));
  return Math.abs(value) < 1e-3 ? rounded.toExponential() : String(rounded);
}

// The least and the largest of `values`, or the one that all of them are.
const ends = (values) => [...new Set([Math.min(...values), Math.max(...values)])];

// What an axis reaches from and to: its ends, or some way around the only one.
function spread([low, high]) {
  const around = (Math.abs(low) || 1) * 0.1;
  return high == null ? [low - around, low + around] : [low, high];
}

export function lines(series, label, options = {}) {
  const W = 340, H = 130, bottom = 18;
  const known = series.map((s) => s.points.filter(([, y]) => Number.isFinite(y)));
  const all = known.flat();
  if (!all.length) return svg("svg", { viewBox: `0 0 ${W} 30`, role: "img", "aria-label": `${label}: no values` }, svg("text", { x: 4, y: 18 }, "no values"));
  const xs = ends(all.map(([x]) => x)), ys = ends(all.map(([, y]) => y).concat(options.line ?? []));
  const [x0, x1] = spread(xs), [y0, y1] = spread(ys);
  const [xSaid, ySaid] = [xs, ys].map((ticks) => ticks.map((value) => shown(value, ticks.at(-1) - ticks[0])));
  const left = Math.max(54, 8 + 7 * Math.max(...ySaid.map((text) => text.length)));
  const px = (x) => left + ((x - x0) / (x1 - x0)) * (W - left - 6);
  const py = (y) => H - bottom - ((y - y0) / (y1 - y0)) * (H - bottom - 8);
  const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
  const newest = series.map((s, i) => `${s.name || ""} ${known[i].length ? shown(known[i].at(-1)[1]) : "none"}`).join(", ");
  return svg(
    "svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${label}: ${newest}` },
    svg("path", { class: "axis", d: `M${left} 4V${H - bottom}H${W - 4}` }),
    ySaid.map((text, i) => {
      const y = ySaid[1] ? [H - bottom, 14][i] : py(ys[0]) + 4;
      return svg("text", { x: left - 4, y, "text-anchor": "end" }, text);
    }),
    xSaid[1] ? [
      svg("text", { x: left, y: H - 4 }, xSaid[0]), svg("text", { x: W - 4, y: H - 4, "text-anchor": "end" }, xSaid[1]),
    ] : svg("text", { x: px(xs[0]), y: H - 4, "text-anchor": "middle" }, xSaid[0]),
    options.line == null ? null : svg("line", { class: "axis", x1: left, x2: W - 4, y1: py(options.line), y2: py(options.line) }),
    options.now == null ? null : svg("line", { class: "now", x1: px(options.now), x2: px(options.now), y1: 4, y2: H - bottom }),
    known.map((points, i) => (points.length === 1 ? svg("circle", { class: `s${i + 1}`, cx: px(points[0][0]), cy: py(points[0][1]), r: 3 }) : svg("path", { class: `s${i + 1}`, d: path(points) }))),
  );
}
