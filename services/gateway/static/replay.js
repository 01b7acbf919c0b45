// A day of a task under a policy, or two side by side: sessions of the env-service, actions of the learner.
import { get, send } from "./api.js";
import { lines, svg } from "./charts.js";
import { failure, h, number } from "./dom.js";

const LISTS = "?tensors=lists";

const LIVE = "BACKEND_KUBERNETES";
const LONGEST = 100000; // another episode would bring the initial replicas back
const DRAW_EVERY_MS = 100;

export async function showReplay(place, signal, _, query) {
  const [{ list: policies, missing: noPolicy }, { list: tasks, missing: noTask }] = await Promise.all([
    offered("policies", "policy", query.get("policy")), offered("tasks", "task", query.get("task")),
  ]);
  if (signal.aborted) return;
  const option = (one, chosen) => h("option", { value: one.id, selected: one.id === chosen }, `${one.name} · ${one.id}`);
  const nobody = (text) => h("option", { value: "" }, text);
  const asked = query.get("policy") || policies[0]?.id;
  const first = h("select", {}, nobody("nobody: as deployed"), policies.map((p) => option(p, asked)));
  const second = h("select", {}, nobody("nobody: as deployed"), policies.map((p) => option(p, "")));
  const task = h("select", {}, tasks.map((t) => option(t, query.get("task"))));
  const seed = h("input", { type: "number", min: 0, value: 0, size: 6 });
  const where = h("select", {}, h("option", { value: "BACKEND_SIMULATED" }, "the simulator"), h("option", { value: LIVE }, "the real cluster, live"));
  const go = h("button", {}, "Act"), stop = h("button", { type: "button", disabled: true }, "Stop");
  const shown = h("div"), said = h("p", { class: "dim", role: "status" });
  where.addEventListener("change", () => { second.disabled = seed.disabled = where.value === LIVE; });
  place.append(h("h1", {}, "Replay"), h("form", { class: "row", onsubmit: (event) => { event.preventDefault(); play(); } },
    h("label", {}, "Task ", task), h("label", {}, "Seed ", seed), h("label", {}, "on ", where), h("label", {}, "Policy ", first), h("label", {}, "beside ", second), go, stop), said, shown);
  go.disabled = !tasks.length;
  said.textContent = [noTask, noPolicy, !tasks.length && "A task is needed."].filter(Boolean).join(" ");
  if (noTask) task.selectedIndex = -1;
  if (noPolicy) first.selectedIndex = -1;

  async function play() {
    if (task.selectedIndex < 0 || first.selectedIndex < 0) {
      said.textContent = `Choose a ${task.selectedIndex < 0 ? "task" : "policy"} first.`;
      return;
    }
    const ended = new AbortController(), over = AbortSignal.any([signal, ended.signal]), live = where.value === LIVE;
    stop.onclick = () => ended.abort();
    go.disabled = true;
    stop.disabled = false;
    shown.replaceChildren();
    try {
      const spec = await get(`/page/tasks/${task.value}/draw`, { seed: seed.value });
      const chosen = live ? [first.value] : [first.value, second.value];
      const days = chosen.map((id) => ({ name: id || (live ? "as it is" : "as deployed"), frames: [] }));
      const screen = view(spec, days);
      shown.append(screen.element);
      for (const [i, policy] of chosen.entries()) {
        const add = (frame) => {
          days[i].frames.push(frame);
          said.textContent = `${days[i].name}: interval ${days[i].frames.length}${live ? "" : ` of ${spec.horizon}`}`;
          screen.more();
        };
        await day(spec, policy, live, Number(seed.value), over, add);
      }
      said.textContent = "";
    } catch (error) {
      if (!signal.aborted) shown.append(failure(error));
    }
    go.disabled = false;
    stop.disabled = true;
  }
}

// The newest tasks or policies, and before them the one with `id` where it is older; `missing` says that there is none.
async function offered(many, one, id) {
  const list = (await get(`/v1/${many}`, { page_size: 200 }))[many];
  if (!id || list.some((x) => x.id === id)) return { list };
  try {
    return { list: [(await get(`/v1/${many}/${encodeURIComponent(id)}`))[one], ...list] };
  } catch (error) {
    if (error.status !== 404) throw error;
    return { list, missing: `There is no ${one} ${id}.` };
  }
}

// One episode: what the cluster showed in every interval. Without a policy the placement stays as it was deployed, and a
// real cluster is only watched, whoever controls it.
async function day(spec, policy, live, seed, signal, add) {
  const kubernetes = policy ? spec.kubernetes : { ...spec.kubernetes, manage: false };
  const task = live ? { ...spec, horizon: LONGEST, kubernetes } : spec;
  const session = await send("POST", "/v1/sessions", { task, seed, backend: live ? LIVE : "BACKEND_SIMULATED" });
  const where = `/v1/sessions/${session.sessionId}`;
  try {
    let seen = (await send("POST", `${where}/reset${LISTS}`, { seed })).transition, asked = {};
    for (let at = 1; at <= session.envSpec.horizon && !signal.aborted; at++) {
      let action = null;
      if (policy) {
        const request = { observation: seen.observation, envSpec: session.envSpec, ...asked };
        if (session.envSpec.nvec?.length) request.mask = seen.mask;
        const acted = await send("POST", `/v1/policies/${policy}/act${LISTS}`, request);
        action = acted.action;
        asked = Object.keys(acted.memory).length ? { memory: acted.memory, previousAction: action } : {};
      } else {
        action = await staying(where, session.envSpec);
      }
      seen = (await send("POST", `${where}/step${LISTS}`, { action, withInfo: true })).transition;
      const told = session.infoKeys.map((key, i) => [key, seen.info.values[i][0]]);
      if (asked.memory) asked.rewardTerms = [told.filter(([key]) => key.startsWith("reward_")).map(([, value]) => value)];
      const { state } = await get(`${where}/cluster`, { tensors: "lists" });
      add({ info: Object.fromEntries(told), state, reward: seen.reward.values[0] });
      if (seen.terminated.values[0] || seen.truncated.values[0]) break;
    }
  } finally {
    await send("DELETE", where).catch(() => null);
  }
}

// The action that keeps what is desired: replicas by deployment (v3) or by deployment and node (v4), else none.
async function staying(where, envSpec) {
  const { state } = await get(`${where}/cluster`, { tensors: "lists" });
  const wanted = state.desired.replicas.values;
  const version = Number(envSpec.envId.match(/v(\d)/)[1]);
  const flat = version === 4 ? wanted.flat() : version === 3 ? wanted.map((row) => row.reduce((a, b) => a + b, 0)) : version === 1 ? [1] : [0];
  if (!envSpec.nvec?.length) throw new Error("continuous actions: choose a policy for both");
  return { dtype: "DTYPE_INT32", values: [flat.map((x, i) => Math.min(x, envSpec.nvec[i] - 1))] };
}

// Days side by side: `element`, and `more()` to be called after a frame was added; the newest is followed until the slider is moved.
function view(spec, days) {
  const slider = h("input", { type: "range", min: 1, max: 1, value: 1, "aria-label": "interval" });
  const at = h("output", {}), sides = h("div", { class: "cards" }), curves = h("div", { class: "cards" });
  const target = spec.objective?.targetLatencyMs ?? 100;
  let follows = true, due = null;
  const chart = (title, key, now, options = {}) => h("div", { class: "card" }, h("h3", {}, title),
    lines(days.map((d) => ({ name: d.name, points: d.frames.map((f, i) => [i + 1, key(f)]) })), title, { now, ...options }));
  const show = () => {
    const now = Number(slider.value);
    at.textContent = `interval ${now} of ${slider.max}`;
    sides.replaceChildren(...days.map((d, i) => d.frames.length ? side(spec, d, d.frames[Math.min(now, d.frames.length) - 1], i) : null).filter(Boolean));
    curves.replaceChildren(chart(`latency in ms (target ${number(target)})`, (f) => f.info.latency_ms, now, { line: target }), chart("failed share", (f) => f.info.failed_share, now),
      chart("replicas", (f) => f.info.replicas, now), chart("users", (f) => f.info.users, now), chart("reward", (f) => f.reward, now));
  };
  const more = () => {
    due ??= setTimeout(() => {
      due = null;
      slider.max = Math.max(...days.map((d) => d.frames.length));
      if (follows) slider.value = slider.max;
      show();
    }, DRAW_EVERY_MS);
  };
  slider.addEventListener("input", () => { follows = slider.value === slider.max; show(); });
  return { element: h("div", {}, h("div", { class: "row" }, slider, at), sides, curves), more };
}

function side(spec, day, frame, i) {
  const earned = day.frames.reduce((sum, f) => sum + f.reward, 0), { state, info } = frame;
  const said = [["reward", frame.reward, 3], ["of the day", earned], ["latency ms", info.latency_ms, 3], ["failed %", 100 * info.failed_share, 2], ["users", info.users, 3]];
  const ready = state.readyReplicas.values, cpu = state.cpuUtilisation.values;
  const cells = state.deployments.map((name, d) => h("tr", {}, h("th", { scope: "row" }, name), ready[d].map((n, k) => {
    const wanted = state.desired.replicas.values[d][k];
    return h("td", {}, wanted === n ? String(n) : `${n} → ${wanted}`);
  }), h("td", { class: "number" }, number(state.latencyMs.values[d], 3))));
  return h("section", { class: "card" }, h("h3", {}, svg("svg", { viewBox: "0 0 24 8", width: 24, style: "display:inline;width:24px" }, svg("path", { class: `s${i + 1}`, d: "M0 4H24" })), ` ${day.name}`),
    h("p", {}, said.filter(([, value]) => Number.isFinite(value)).map(([name, value, digits]) => `${name} ${number(value, digits)}`).join(", ")),
    graph(spec, state, ready, cpu),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "replicas" }, h("table", { class: "heat" }, h("thead", {}, h("tr", {}, h("th", {}, "ready replicas"), state.nodes.map((n) => h("th", { scope: "col" }, n)), h("th", {}, "ms"))), h("tbody", {}, cells))));
}

function graph(spec, state, ready, cpu) {
  const n = state.nodes.length, W = 320, H = 200, place = (k) => [W / 2 + 115 * Math.cos((2 * Math.PI * k) / n - Math.PI / 2), H / 2 + 68 * Math.sin((2 * Math.PI * k) / n - Math.PI / 2)];
  const rtt = spec.cluster.rttMs.values, links = [];
  for (let a = 0; a < n && n <= 16; a++) for (let b = a + 1; b < n; b++) {
    const [x1, y1] = place(a), [x2, y2] = place(b);
    links.push(svg("line", { class: "link", x1, y1, x2, y2 }, svg("title", {}, `${state.nodes[a]} – ${state.nodes[b]}: ${number(rtt[a][b], 3)} ms`)));
  }
  const nodes = state.nodes.map((name, k) => {
    const [x, y] = place(k), total = ready.reduce((sum, row) => sum + row[k], 0);
    return svg("g", {}, svg("circle", { class: "node", cx: x, cy: y, r: 15, style: `fill-opacity:1` }), svg("circle", { cx: x, cy: y, r: 15 * Math.sqrt(Math.min(1, cpu[k])), style: "fill:rgba(var(--heat),.35)" }),
      svg("text", { class: "count", x, y: y + 4, "text-anchor": "middle" }, String(total)),
      svg("text", { x, y: y + 28, "text-anchor": "middle" }, name),
      svg("title", {}, `${name}: ${total} replicas, CPU ${number(100 * cpu[k], 3)} %`));
  });
  return svg("svg", { viewBox: `0 0 ${W} ${H + 6}`, role: "img", "aria-label": "nodes, their replicas and use of CPU" }, links, nodes);
}
