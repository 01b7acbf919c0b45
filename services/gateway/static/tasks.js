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
  const text = h("textarea", { id: "task-text", spellcheck: "false" }, "family: mec_city\nnodes: 4\ndeployments: 4\n");
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
  return h("section", {}, h("h2", {}, "New task"), h("div", { class: "row" }, h("label", {}, "File ", file), h("label", {}, "Name of a distribution ", name)),
    h("label", { for: "task-text" }, "A task or a way to draw tasks, YAML or JSON"), text,
    h("div", { class: "row" }, h("button", { type: "button", onclick: act(true) }, "Check"), h("button", { type: "button", onclick: act(false) }, "Create")), said);
}

export async function showTask(place, signal, id) {
  const { task } = await get(`/v1/tasks/${encodeURIComponent(id)}`, { tensors: "lists", view: "TASK_VIEW_SPEC" });
  const [{ memories }] = [await get("/v1/memories", { task_id: id })];
  place.append(h("h1", {}, task.name), facts([
    ["id", task.id], ["kind", kind(task)], ["environment", task.summary.envId], ["family", task.summary.family],
    ["nodes", String(task.summary.nodes)], ["deployments", String(task.summary.deployments)], ["horizon", String(task.summary.horizon)], ["created", time(task.createTime)],
    ["what policies remember of it", memories.map((m) => `${m.name} (${m.sizeBytes} bytes, ${time(m.updateTime)})`).join(", ")],
  ]), h("div", { class: "row" }, h("a", { href: `#/replay?task=${id}` }, "Act on it for a day")),
  h("h2", {}, "All of it"), h("pre", { tabindex: "0" }, JSON.stringify(task.spec || task.distribution, null, 1)));
}
