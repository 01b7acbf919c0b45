// One run: where it is, its curves, its result rows, and what it is compared with.
import { all, follow, get, send } from "./api.js";
import { lines } from "./charts.js";
import { facts, failure, h, number, table, time } from "./dom.js";
import { kind, progress, state } from "./runs.js";

const LOG_EVERY_MS = 2000;

export async function showRun(place, signal, id, query) {
  const head = h("div"), buttons = h("div", { class: "row" }), curves = h("div", { class: "cards" });
  const results = h("div"), settings = h("pre", { tabindex: "0" }), said = h("div");
  const log = h("pre", { tabindex: "0", "aria-label": "log" }), recent = h("select", { "aria-label": "a run to compare with" }, h("option", { value: "" }, "choose one …"));
  const others = h("input", { size: 26, placeholder: "run-…", "aria-label": "runs to compare with", value: query.get("with") || "" });
  place.append(h("h1", {}, id), head, buttons, said, h("h2", {}, "Curves"), curves, h("h2", {}, "Results"),
    h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); showResults(); } }, h("label", {}, "Compare with ", others), recent, h("button", {}, "Compare")),
    results, h("h2", {}, "Log"), log, h("h2", {}, "Settings"), settings);
  recent.addEventListener("focus", async () => {
    if (recent.length > 1) return;
    const { runs } = await get("/v1/runs", { page_size: 50 });
    recent.append(...runs.filter((r) => r.id !== id).map((r) => h("option", { value: r.id }, `${r.spec.label || kind(r)} · ${state(r).toLowerCase()} · ${r.id}`)));
  });
  recent.addEventListener("change", () => {
    others.value = `${others.value} ${recent.value}`.trim();
    recent.value = "";
    showResults();
  });
  const series = new Map();
  let run = null, drawn = false, seen = false, logged = 0;

  async function showResults() {
    try {
      if (run?.spec.continual) {
        results.replaceChildren(stream(await all(`/v1/runs/${encodeURIComponent(id)}/rows`, "rows")));
        return;
      }
      const wanted = [id, ...others.value.split(/[\s,]+/).filter(Boolean)];
      const { rows } = await get("/page/summary", wanted.map((one) => ["run", one]));
      results.replaceChildren(...(rows.length ? [summary(rows, wanted.length > 1), adaptation(id, rows)] : [h("p", { class: "dim" }, "No result rows yet.")]).filter(Boolean));
    } catch (error) {
      results.replaceChildren(failure(error));
    }
  }

  async function showLog() {
    logged = Date.now();
    try {
      const { lines: said } = await get(`/v1/runs/${encodeURIComponent(id)}/log`);
      log.textContent = said.join("\n") || "This learner has logged nothing about it.";
      log.scrollTop = log.scrollHeight;
    } catch (error) {
      log.textContent = error.message;
    }
  }

  function change(word) {
    return h("button", { type: "button", onclick: async () => {
      try {
        update((await send("POST", `/v1/runs/${id}/${word}`)).run);
        said.replaceChildren();
      } catch (error) {
        said.replaceChildren(failure(error));
      }
    } }, word[0].toUpperCase() + word.slice(1));
  }
  const controls = { pause: change("pause"), resume: change("resume"), cancel: change("cancel") };
  buttons.append(...Object.values(controls));

  function update(now) {
    // An answer to a click may come after the news of what followed it.
    if (run && Date.parse(now.updateTime) < Date.parse(run.updateTime)) return;
    run = now;
    const ended = ["COMPLETED", "FAILED", "CANCELLED"].includes(state(run));
    controls.pause.disabled = state(run) !== "RUNNING" || run.desiredState !== "RUN_STATE_RUNNING";
    controls.resume.disabled = ended || run.desiredState !== "RUN_STATE_PAUSED";
    controls.cancel.disabled = ended;
    const policy = run.resultPolicyId, from = run.spec.policyId;
    head.replaceChildren(facts([
      ["kind", kind(run)], ["label", run.spec.label], ["state", h("span", { class: state(run) }, state(run).toLowerCase())],
      ["waits for", run.waitingFor], ["progress", progress(run)], ["error", run.error && h("span", { class: "error" }, run.error)],
      ["policy made", policy && h("a", { href: `#/policies/${policy}` }, policy)], ["policy used", from && h("a", { href: `#/policies/${from}` }, from)],
      ["created", time(run.createTime)], ["started", time(run.startTime)], ["ended", time(run.endTime)], ["Weights & Biases", run.wandbRunId],
      ["tasks", h("span", {}, run.spec.taskIds.slice(0, 8).map((t) => [h("a", { href: `#/tasks/${t}` }, t), " "]))],
    ]));
    settings.textContent = JSON.stringify(run.spec, null, 1);
  }

  function draw() {
    drawn = false;
    curves.replaceChildren(...[...series].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, points]) =>
      h("div", { class: "card" }, h("h3", {}, `${name}  `, h("span", { class: "dim" }, number(points.at(-1)[1]))), lines([{ points }], name))));
    if (!series.size) curves.replaceChildren(h("p", { class: "dim" }, "No metrics yet."));
  }

  draw();
  const shown = showResults();
  await follow(`/v1/runs/${encodeURIComponent(id)}/watch`, (news) => {
    update(news.run);
    for (const { name, step, value } of news.metrics) {
      if (!series.has(name)) series.set(name, []);
      const points = series.get(name), at = Number(step);
      if (!points.length || points.at(-1)[0] < at) points.push([at, Number(value)]);
    }
    if (news.metrics.length && !drawn) {
      drawn = true;
      setTimeout(draw, 250);
    }
    if (news.rows.length && seen) showResults();
    if (Date.now() - logged > LOG_EVERY_MS) showLog();
    seen = true;
  }, signal);
  await shown;
  await Promise.all([showResults(), showLog()]);
}

function summary(rows, compared) {
  const column = (title, name, digits) => ({ title, numeric: true, cell: (r) => number(r[name], digits), value: (r) => r[name] ?? -Infinity });
  const plus = (mean, half) => (half == null ? number(mean) : `${number(mean)} ± ${number(half, 3)}`);
  const columns = [
    { title: "method", cell: (r) => r.method, value: (r) => r.method },
    column("steps", "inner_steps"), column("episode", "episode"),
    { title: "reward ± 95 %", numeric: true, cell: (r) => plus(r.reward_mean, r.reward_ci95), value: (r) => r.reward_mean },
    column("before", "support_reward_mean"), column("latency ms", "latency_mean_ms"), column("p95 ms", "latency_p95_ms"), column("replicas", "replicas_mean", 3),
    { title: "SLA miss", numeric: true, cell: (r) => `${number(100 * r.sla_miss_share, 3)} %`, value: (r) => r.sla_miss_share },
    column("moves", "moves_mean", 3), column("load corr.", "load_correlation", 2), column("env steps", "env_steps"), column("s", "wall_s", 3),
  ];
  if (compared) {
    columns.splice(4, 0, { title: "this run minus it, paired", numeric: true, value: (r) => r.difference ?? -Infinity,
      cell: (r) => (r.difference == null ? "" : `${r.difference > 0 ? "+" : ""}${plus(r.difference, r.difference_ci95)}${r.excludes_zero ? " *" : ""}`) });
  }
  return table(columns, rows, "results");
}

// Rewards on each cluster (columns, in the order of the stream) after so many were met; in brackets before it was.
function stream(found) {
  if (!found.length) return h("p", { class: "dim" }, "No result rows yet.");
  const tasks = found.filter((r) => !r.innerSteps).map((r) => r.task), lines = new Map();
  for (const row of found) {
    const met = row.innerSteps ?? 0;
    if (!lines.has(met)) lines.set(met, { met, rewards: new Map() });
    lines.get(met).rewards.set(row.task, row.reward);
  }
  const reward = (line, name) => line.rewards.get(name) ?? 0;
  const columns = [{ title: "met", numeric: true, cell: (line) => number(line.met), value: (line) => line.met }];
  tasks.forEach((name, j) => columns.push({ title: name, numeric: true, value: (line) => reward(line, name),
    cell: (line) => (j < line.met ? number(reward(line, name)) : `(${number(reward(line, name))})`) }));
  return table(columns, [...lines.values()], "results");
}

// What adaptation earns by inner steps: the mean, and beside it a task that is chosen.
function adaptation(id, rows) {
  const steps = rows.filter((r) => r.method === rows[0].method), title = "reward by inner steps";
  if (new Set(steps.map((r) => r.inner_steps)).size < 2) return null;
  const mean = { name: "mean", points: steps.map((r) => [r.inner_steps, r.reward_mean]) };
  const chart = h("div", {}, lines([mean], title)), tasks = new Map();
  const chosen = h("select", { "aria-label": "task" }, h("option", { value: "" }, "mean of all tasks"));
  chosen.addEventListener("focus", async () => {
    if (tasks.size) return;
    for (const row of await all(`/v1/runs/${encodeURIComponent(id)}/rows`, "rows")) {
      if (!tasks.has(row.task)) tasks.set(row.task, []);
      tasks.get(row.task).push([row.innerSteps, row.reward]);
    }
    chosen.append(...[...tasks.keys()].map((name) => h("option", {}, name)));
  });
  chosen.addEventListener("change", () => {
    const points = tasks.get(chosen.value);
    chart.replaceChildren(lines(points ? [mean, { name: chosen.value, points }] : [mean], title));
  });
  return h("div", { class: "cards" }, h("div", { class: "card" }, h("h3", {}, title), h("label", { class: "row" }, "Task ", chosen), chart));
}
