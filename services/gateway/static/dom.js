// Elements, tables and numbers; text is never taken as markup.
export function h(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "style") made.style.cssText = value; // an attribute would be refused by the policy of the page
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child != null));
  return made;
}

export function number(value, digits = 4) {
  if (value == null || value === "") return "";
  const x = Number(value);
  return Number.isFinite(x) ? (Number.isInteger(x) ? x.toLocaleString("en") : String(Number(x.toPrecision(digits)))) : String(value);
}

export const short = (text, prefix) => (text || "").replace(prefix, "");
export const time = (text) => (text ? new Date(text).toLocaleString() : "");

// A table whose columns are {title, cell(row), value(row)?, numeric?}; a click on a title sorts by it.
export function table(columns, rows, caption) {
  const body = h("tbody");
  const fill = (list) => body.replaceChildren(...list.map((row) => h("tr", {}, columns.map((c) => h("td", { class: c.numeric ? "number" : null }, c.cell(row))))));
  let last = null, down = false;
  const sort = (column, cell) => {
    down = last === column ? !down : Boolean(column.numeric);
    last = column;
    const value = column.value || column.cell;
    const sorted = [...rows].sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (down ? -1 : 1));
    for (const other of cell.parentNode.children) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    fill(sorted);
  };
  const heads = columns.map((c) => {
    const cell = h("th", { scope: "col", class: c.numeric ? "number" : null });
    cell.append(c.value ? h("button", { type: "button", onclick: () => sort(c, cell) }, c.title) : c.title);
    return cell;
  });
  fill(rows);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", {}, h("thead", {}, h("tr", {}, heads)), body));
}

export function failure(error) {
  return h("p", { class: "error", role: "alert" }, error.message || String(error));
}

export function facts(pairs) {
  return h("dl", {}, pairs.filter(([, value]) => value !== "" && value != null).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
