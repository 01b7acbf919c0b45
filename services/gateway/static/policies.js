// Policies: what made them, where they fit, their weights.
import { bytes, get } from "./api.js";
import { facts, failure, h, number, table, time } from "./dom.js";

const SIZE = 50;
const algorithm = (p) => Object.keys(p.algorithm || {})[0] || "";
const fits = (p) => `${p.envSpec.envId}${p.envSpec.nvec?.length ? `, ${p.envSpec.actionSize} choices` : ""}`;

export async function showPolicies(place, signal) {
  const pages = [""], list = h("div");
  const newer = h("button", { type: "button", onclick: () => { pages.pop(); load(); } }, "Newer");
  const older = h("button", { type: "button", onclick: () => { pages.push(older.dataset.token); load(); } }, "Older");
  place.append(h("h1", {}, "Policies"), list, h("div", { class: "row" }, newer, older));
  async function load() {
    const page = await get("/v1/policies", { page_size: SIZE, page_token: pages.at(-1) });
    if (signal.aborted) return;
    list.replaceChildren(page.policies.length ? table([
      { title: "policy", cell: (p) => h("a", { href: `#/policies/${p.id}` }, p.id), value: (p) => p.id },
      { title: "name", cell: (p) => p.name, value: (p) => p.name },
      { title: "algorithm", cell: algorithm, value: algorithm },
      { title: "made for", cell: fits, value: fits },
      { title: "made by", cell: (p) => (p.runId ? h("a", { href: `#/runs/${p.runId}` }, p.runId) : "elsewhere"), value: (p) => p.runId },
      { title: "bytes", numeric: true, cell: (p) => number(p.sizeBytes), value: (p) => Number(p.sizeBytes) },
      { title: "created", cell: (p) => time(p.createTime), value: (p) => p.createTime },
    ], page.policies, "policies") : h("p", {}, "No policies yet: a training run makes one."));
    newer.disabled = pages.length === 1;
    older.disabled = !page.nextPageToken;
    older.dataset.token = page.nextPageToken;
  }
  await load();
}

export async function showPolicy(place, signal, id) {
  const { policy } = await get(`/v1/policies/${encodeURIComponent(id)}`);
  const said = h("div");
  const download = h("button", { type: "button", onclick: async () => {
    try {
      const link = h("a", { href: URL.createObjectURL(await bytes(`/v1/policies/${id}/weights`)), download: `${id}.safetensors` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    } catch (error) {
      said.replaceChildren(failure(error));
    }
  } }, "Download weights");
  download.disabled = !Number(policy.sizeBytes);
  const blocks = policy.envSpec.blocks.map((b) => `${b.name} [${b.shape.join(", ")}]`).join(", ");
  place.append(h("h1", {}, id), facts([
    ["name", policy.name], ["algorithm", algorithm(policy)],
    ["made by", policy.runId ? h("a", { href: `#/runs/${policy.runId}` }, policy.runId) : "elsewhere"],
    ["made for", policy.envSpec.envId], ["it sees", blocks],
    ["it decides", `${policy.envSpec.actionSize} × ${policy.envSpec.nvec?.length ? "a choice" : "a share"}`],
    ["horizon", number(policy.envSpec.horizon)], ["bytes", number(policy.sizeBytes)], ["SHA-256", policy.sha256], ["created", time(policy.createTime)],
  ]), h("div", { class: "row" }, download, h("a", { href: `#/replay?policy=${id}` }, "Act on a task for a day")), said,
  h("h2", {}, "Settings of its algorithm"), h("pre", { tabindex: "0" }, JSON.stringify(policy.algorithm, null, 1)));
}
