// The list of runs, by the registry's own pages; the newest page is asked for again every few seconds.
import { get } from "./api.js";
import { failure, h, number, short, table, time } from "./dom.js";

const SIZE = 50, EVERY_MS = 3000;
const STATES = ["PENDING", "RUNNING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED"];
const KINDS = ["TRAIN", "META_TRAIN", "TRANSFER", "ADAPT", "EVALUATE", "CONTINUAL"];
const METRICS = ["total_reward", "meta_loss", "task_performance", "test_avg_reward", "latency"];

export const kind = (run) => short(run.spec.kind, "RUN_KIND_").toLowerCase().replace("_", "-");
export const state = (run) => short(run.state, "RUN_STATE_");

export function progress(run) {
  const total = Number(run.totalSteps);
  return h("span", {}, h("progress", { max: total || 1, value: Number(run.step), "aria-label": "progress" }), ` ${run.step}/${total || "?"}`);
}

export async function showRuns(place, signal, _, query) {
  const wanted = { state: query.get("state") || "", kind: query.get("kind") || "" };
  let pages = [""], list = h("div"), busy = false, before = "";
  const choice = (name, prefix, values) => h("label", {}, `${name} `, h("select", { onchange: (event) => { wanted[name] = event.target.value; pages = [""]; load(); } },
    h("option", { value: "" }, "all"), values.map((v) => h("option", { value: prefix + v, selected: wanted[name] === prefix + v }, v.toLowerCase().replace("_", "-")))));
  const newer = h("button", { type: "button", onclick: () => { pages.pop(); load(); } }, "Newer");
  const older = h("button", { type: "button", onclick: () => { pages.push(older.dataset.token); load(); } }, "Older");
  const where = h("span", { class: "dim" });
  place.append(h("h1", {}, "Runs"), h("div", { class: "row" }, choice("state", "RUN_STATE_", STATES), choice("kind", "RUN_KIND_", KINDS)), list, h("div", { class: "row" }, newer, older, where));

  async function load() {
    if (busy) return;
    busy = true;
    try {
      const asked = { page_size: SIZE, page_token: pages.at(-1), ...Object.fromEntries(Object.entries(wanted).filter(([, v]) => v)) };
      const page = await get("/v1/runs", asked);
      if (signal.aborted) return;
      const text = JSON.stringify(page);
      if (text === before) return; // what is sorted or focused stays so
      before = text;
      const focused = document.activeElement?.closest?.("table") ? document.activeElement.getAttribute("href") : null;
      list.replaceChildren(page.runs.length ? rows(page.runs) : h("p", {}, "No runs. `lwmecps train` or `lwmecps meta-train` starts one."));
      if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
      newer.disabled = pages.length === 1;
      older.disabled = !page.nextPageToken;
      older.dataset.token = page.nextPageToken;
      where.textContent = `page ${pages.length}`;
    } catch (error) {
      before = "";
      if (!signal.aborted) list.replaceChildren(failure(error));
    } finally {
      busy = false;
    }
  }
  await load();
  const timer = setInterval(() => document.hidden || load(), EVERY_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function rows(runs) {
  return table([
    { title: "run", cell: (r) => h("a", { href: `#/runs/${r.id}` }, r.id), value: (r) => r.id },
    { title: "state", cell: (r) => h("span", { class: state(r) }, state(r).toLowerCase(), r.waitingFor ? h("span", { class: "dim" }, ` waits for ${r.waitingFor}`) : null), value: state },
    { title: "progress", cell: progress, value: (r) => Number(r.step) / (Number(r.totalSteps) || 1) },
    { title: "kind", cell: kind, value: kind },
    { title: "label", cell: (r) => r.spec.label, value: (r) => r.spec.label },
    { title: "metrics", cell: (r) => METRICS.filter((m) => m in r.latestMetrics).slice(0, 2).map((m) => `${m} ${number(r.latestMetrics[m])}`).join("  ") },
    { title: "created", cell: (r) => time(r.createTime), value: (r) => r.createTime },
  ], runs, "runs");
}
