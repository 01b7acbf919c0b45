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

export function lines(series, label, options = {}) {
  const W = 340, H = 130, bottom = 18;
  const known = series.map((s) => s.points.filter(([, y]) => Number.isFinite(y)));
  const all = known.flat();
  if (!all.length) return svg("svg", { viewBox: `0 0 ${W} 30`, role: "img", "aria-label": `${label}: no values` }, svg("text", { x: 4, y: 18 }, "no values"));
  const range = (values) => {
    const low = Math.min(...values), high = Math.max(...values);
    return low === high ? [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1] : [low, high];
  };
  const [x0, x1] = range(all.map(([x]) => x));
  const [y0, y1] = range(all.map(([, y]) => y).concat(options.line ?? []));
  const left = Math.max(54, 8 + 7 * Math.max(...[y0, y1].map((y) => shown(y, y1 - y0).length)));
  const px = (x) => left + ((x - x0) / (x1 - x0)) * (W - left - 6);
  const py = (y) => H - bottom - ((y - y0) / (y1 - y0)) * (H - bottom - 8);
  const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
  const newest = series.map((s, i) => `${s.name || ""} ${known[i].length ? shown(known[i].at(-1)[1]) : "none"}`).join(", ");
  return svg(
    "svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${label}: ${newest}` },
    svg("path", { class: "axis", d: `M${left} 4V${H - bottom}H${W - 4}` }),
    svg("text", { x: left - 4, y: 14, "text-anchor": "end" }, shown(y1, y1 - y0)),
    svg("text", { x: left - 4, y: H - bottom, "text-anchor": "end" }, shown(y0, y1 - y0)),
    svg("text", { x: left, y: H - 4 }, shown(x0, x1 - x0)),
    svg("text", { x: W - 4, y: H - 4, "text-anchor": "end" }, shown(x1, x1 - x0)),
    options.line == null ? null : svg("line", { class: "axis", x1: left, x2: W - 4, y1: py(options.line), y2: py(options.line) }),
    options.now == null ? null : svg("line", { class: "now", x1: px(options.now), x2: px(options.now), y1: 4, y2: H - bottom }),
    known.map((points, i) => (points.length === 1 ? svg("circle", { class: `s${i + 1}`, cx: px(points[0][0]), cy: py(points[0][1]), r: 3 }) : svg("path", { class: `s${i + 1}`, d: path(points) }))),
  );
}
