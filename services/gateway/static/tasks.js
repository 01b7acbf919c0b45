// Tasks: the list, one of them, and a new one from a file, with what the checker says.
import { get, send } from "./api.js";
import { facts, failure, h, short, table, time } from "./dom.js";

const SIZE = 50;
const kind = (t) => short(t.summary.kind, "TASK_KIND_").toLowerCase();

export async function showTasks(place, signal) {
  const pages = [""], list = h("div");
  const newer = h("button", { type: "button", onclick: () => { pages.pop(); load(); } }, "Newer");
  const older = h("button", { type: "button", onclick: () => { pages.push(older.dataset.token); load(); } }, "Older");
  place.append(h("h1", {}, "Tasks"), list, h("div", { class: "row" }, newer, older), creation(load));
  async function load() {
    const page = await get("/v1/tasks", { page_size: SIZE, page_token: pages.at(-1) });
    if (signal.aborted) return;
    list.replaceChildren(page.tasks.length ? table([
      { title: "task", cell: (t) => h("a", { href: `#/tasks/${t.id}` }, t.id), value: (t) => t.id },
      { title: "name", cell: (t) => t.name, value: (t) => t.name },
      { title: "kind", cell: kind, value: kind },
      { title: "environment", cell: (t) => t.summary.envId, value: (t) => t.summary.envId },
      { title: "nodes", numeric: true, cell: (t) => String(t.summary.nodes), value: (t) => t.summary.nodes },
      { title: "deployments", numeric: true, cell: (t) => String(t.summary.deployments), value: (t) => t.summary.deployments },
      { title: "created", cell: (t) => time(t.createTime), value: (t) => t.createTime },
    ], page.tasks, "tasks") : h("p", {}, "No tasks yet."));
    newer.disabled = pages.length === 1;
    older.disabled = !page.nextPageToken;
    older.dataset.token = page.nextPageToken;
  }
  await load();
}

function creation(created) {
  const text = h("textarea", { id: "task-text", spellcheck: "false" });
  const name = h("input", { size: 16 }), said = h("div", { "aria-live": "polite" });
  const file = h("input", { type: "file", accept: ".yaml,.yml,.json", onchange: async () => { text.value = await file.files[0].text(); } });
  const act = (check) => async () => {
    try {
      const query = new URLSearchParams({ check: String(check), name: name.value });
      const found = await send("POST", `/page/tasks?${query}`, text.value);
      const items = found.items.map((i) => h("li", {}, `${i.kind} ${i.name}: ${i.nodes} nodes, ${i.deployments} deployments`));
      const made = found.tasks.map((t) => h("li", {}, "created ", h("a", { href: `#/tasks/${t.id}` }, t.id)));
      said.replaceChildren(h("ul", {}, items, found.notes.map((n) => h("li", { class: "dim" }, n)), made));
      if (found.tasks.length) await created();
    } catch (error) {
      said.replaceChildren(failure(error));
    }
  };
  return h("section", {}, h("h2", {}, "New task"), form(text), h("div", { class: "row" }, h("label", {}, "or a file ", file), h("label", {}, "Name of a distribution ", name)),
    h("label", { for: "task-text" }, "A task or a way to draw tasks, YAML or JSON"), text,
    h("div", { class: "row" }, h("button", { type: "button", onclick: act(true) }, "Check"), h("button", { type: "button", onclick: act(false) }, "Create")), said);
}

// A way to draw tasks, in fields: what they say is written into `text`, where more can be added.
const FAMILIES = ["mec_city", "kubernetes_scaling", "load_balancing", "resource_optimization"];
const ENVS = [1, 2, 3, 4].flatMap((n) => [`lwmecps-v${n}`, `lwmecps-v${n}-continuous`]);

const NAMES = { env_id: "environment", max_replicas: "most replicas" };

function form(text) {
  const choice = (values, value) => h("select", {}, values.map((v) => h("option", { selected: v === value }, v)));
  const count = (value, most) => h("input", { type: "number", min: 1, max: most, value, size: 6 });
  const fields = { family: choice(FAMILIES, "mec_city"), env_id: choice(ENVS, "lwmecps-v3"), nodes: count(4, 1000), deployments: count(4, 1000), max_replicas: count(8, 1000), horizon: count(120, 100000) };
  const write = () => { text.value = Object.entries(fields).map(([name, field]) => `${name}: ${field.value}\n`).join(""); };
  write();
  return h("fieldset", { class: "row", onchange: write }, h("legend", {}, "Tasks drawn from a family"),
    Object.entries(fields).map(([name, field]) => h("label", {}, `${NAMES[name] || name} `, field)));
}

export async function showTask(place, signal, id) {
  const { task } = await get(`/v1/tasks/${encodeURIComponent(id)}`, { tensors: "lists", view: "TASK_VIEW_SPEC" });
  const { memories } = await get("/v1/memories", { task_id: id });
  place.append(h("h1", {}, task.name), facts([
    ["id", task.id], ["kind", kind(task)], ["environment", task.summary.envId], ["family", task.summary.family],
    ["nodes", String(task.summary.nodes)], ["deployments", String(task.summary.deployments)], ["horizon", String(task.summary.horizon)], ["created", time(task.createTime)],
  ]), h("div", { class: "row" }, h("a", { href: `#/replay?task=${id}` }, "Act on it for a day")),
  ...memories.map((m) => remembered(id, m)),
  h("h2", {}, "All of it"), h("pre", { tabindex: "0" }, JSON.stringify(task.spec || task.distribution, null, 1)));
}

// What a policy believes about the cluster, beside what is written; read when it is opened.
function remembered(id, memory) {
  const inside = h("div", {}, h("p", { class: "dim" }, "Loading …"));
  const opened = async () => {
    try {
      const path = `/page/tasks/${encodeURIComponent(id)}/memories/${memory.name.split("/").map(encodeURIComponent).join("/")}`;
      const { context, policy_id: policy, beliefs } = await get(path);
      inside.replaceChildren(h("p", {}, `${context} of `, policy ? h("a", { href: `#/policies/${policy}` }, policy) : "nobody", `, ${time(memory.updateTime)}`), table([
        { title: "about", cell: (b) => b.about, value: (b) => b.about }, { title: "what", cell: (b) => b.what, value: (b) => b.what },
        { title: "believed", cell: (b) => b.believed }, { title: "in the task", cell: (b) => b.stands },
      ], beliefs, "beliefs"));
    } catch (error) {
      inside.replaceChildren(failure(error));
    }
  };
  return h("details", { ontoggle: (event) => { if (event.target.open) opened(); } }, h("summary", {}, `What a policy believes about it: ${memory.name}`), inside);
}
