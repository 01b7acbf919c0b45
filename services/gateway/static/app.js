// Which page is shown: what stands behind # says it.
import { token } from "./api.js";
import { failure, h } from "./dom.js";
import { showRuns } from "./runs.js";
import { showRun } from "./run.js";
import { showPolicies, showPolicy } from "./policies.js";
import { showTasks, showTask } from "./tasks.js";
import { showReplay } from "./replay.js";

const PAGES = [
  [/^runs$/, showRuns],
  [/^runs\/([^/?]+)$/, showRun],
  [/^policies$/, showPolicies],
  [/^policies\/([^/?]+)$/, showPolicy],
  [/^tasks$/, showTasks],
  [/^tasks\/([^/?]+)$/, showTask],
  [/^replay$/, showReplay],
];
const main = document.getElementById("main");
let leaving = new AbortController();

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, query] = (location.hash.replace(/^#\/?/, "") || "runs").split("?");
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.getAttribute("href").startsWith(`#/${path.split("/")[0]}`);
    current ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  for (const [pattern, page] of PAGES) {
    const found = path.match(pattern);
    if (!found) continue;
    const place = h("div");
    main.replaceChildren(place);
    try {
      await page(place, signal, decodeURIComponent(found[1] || ""), new URLSearchParams(query));
    } catch (error) {
      if (!signal.aborted) place.append(failure(error));
    }
    return;
  }
  main.replaceChildren(h("p", {}, "There is no such page."));
}

const form = document.getElementById("token");
form.querySelector("input").value = token.get();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(form.querySelector("input").value.trim());
  show();
});
addEventListener("hashchange", () => { show(); main.focus(); });
show();
