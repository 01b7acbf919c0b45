// The OpenAPI document as a page: every operation, its fields, and a way to try it.
import { token } from "./api.js";
import { failure, h } from "./dom.js";

const main = document.getElementById("main");

function type(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${type(schema.items)}`;
  if (schema.additionalProperties?.type || schema.additionalProperties?.$ref) return `map to ${type(schema.additionalProperties)}`;
  return [schema.enum ? schema.enum.join(" | ") : [].concat(schema.type || "number").join(" or "), bounds(schema)].filter(Boolean).join(", ");
}

function bounds(schema) {
  const signs = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<", minLength: "length ≥", maxLength: "length ≤" };
  return Object.entries(signs).filter(([key]) => key in schema).map(([key, sign]) => `${sign} ${schema[key]}`).join(", ");
}

function fields(document_, schema, depth = 0) {
  const found = schema?.$ref ? document_.components.schemas[type(schema)] : schema;
  const properties = found?.properties || found?.oneOf?.[0]?.properties;
  if (!properties) return h("p", { class: "dim" }, found?.description || type(schema) || "any JSON");
  return h("dl", {}, Object.entries(properties).map(([name, inner]) => {
    const nested = inner.$ref || inner.items?.$ref;
    const more = nested && depth < 4 ? lazily(type({ $ref: nested }), () => fields(document_, { $ref: nested }, depth + 1)) : null;
    return [h("dt", {}, h("code", {}, name)), h("dd", {}, h("span", { class: "dim" }, `${type(inner)} `), inner.description || "", more)];
  }));
}

function lazily(title, content) {
  const details = h("details", {}, h("summary", {}, title));
  details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(content()); });
  return details;
}

function trial(path, verb, operation) {
  const inputs = (operation.parameters || []).map((p) => [p, h("input", { size: 18, "aria-label": p.name })]);
  const body = operation.requestBody ? h("textarea", { style: "min-height:6rem", "aria-label": "body" }, "{}") : null;
  const said = h("pre", { hidden: true, tabindex: "0" });
  const go = async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    for (const [p, input] of inputs) {
      if (p.in === "path") url = url.replace(`{${p.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.append(p.name, input.value);
    }
    const headers = { "Content-Type": "application/json", ...(token.get() ? { Authorization: `Bearer ${token.get()}` } : {}) };
    try {
      const answer = await fetch(query.toString() ? `${url}?${query}` : url, { method: verb.toUpperCase(), headers, body: body?.value, signal: AbortSignal.timeout(30000) });
      const text = (await answer.text()).slice(0, 20000);
      const json = (answer.headers.get("content-type") || "").includes("json");
      said.textContent = `${answer.status}\n${json ? JSON.stringify(JSON.parse(text), null, 1) : text}`;
    } catch (error) {
      said.textContent = String(error);
    }
    said.hidden = false;
  };
  return h("form", { onsubmit: go }, h("div", { class: "row" }, inputs.map(([p, input]) => h("label", {}, `${p.name} `, input))), body, h("div", { class: "row" }, h("button", {}, "Send")), said);
}

function shown(document_, path, verb, operation) {
  return lazily(`${verb.toUpperCase()} ${path} · ${operation.summary}`, () => {
    const body = operation.requestBody?.content["application/json"]?.schema;
    const answer = Object.values(operation.responses["200"].content || {})[0]?.schema;
    const parameters = (operation.parameters || []).map((p) => [h("dt", {}, h("code", {}, p.name)), h("dd", {}, h("span", { class: "dim" }, `in ${p.in}, ${type(p.schema)} `), p.description || "")]);
    return h("div", { class: "card" }, parameters.length ? h("dl", {}, parameters) : null, body ? [h("h3", {}, "Body"), fields(document_, body)] : null,
      h("h3", {}, "Answer"), fields(document_, answer), h("h3", {}, "Try it"), trial(path, verb, operation));
  });
}

try {
  const document_ = await (await fetch("/openapi.json")).json();
  const sections = document_.tags.map((tag) => h("section", {}, h("h2", {}, tag.name), h("p", {}, tag.description),
    Object.entries(document_.paths).flatMap(([path, verbs]) => Object.entries(verbs).filter(([, o]) => o.tags.includes(tag.name)).map(([verb, o]) => shown(document_, path, verb, o)))));
  main.replaceChildren(h("h1", {}, `lwmecps ${document_.info.version}`), h("p", {}, document_.info.description), ...sections);
} catch (error) {
  main.replaceChildren(failure(error));
}
