// Calls of the gateway: JSON, and server-sent events with a token (which EventSource can't carry).
export const token = {
  get: () => sessionStorage.getItem("token") || "",
  set: (text) => sessionStorage.setItem("token", text),
};

function headers(more = {}) {
  return token.get() ? { Authorization: `Bearer ${token.get()}`, ...more } : more;
}

export class Refused extends Error {
  constructor(said, status) {
    const details = (said?.error?.details || []).flatMap((d) => d.fieldViolations || []);
    const lines = details.map((v) => `${v.field || "."}: ${v.description}`);
    super(lines.length ? lines.join("\n") : said?.error?.message || `status ${status}`);
    this.status = status;
  }
}

async function checked(answer) {
  if (answer.ok) return answer;
  throw new Refused(await answer.json().catch(() => null), answer.status);
}

export async function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const answer = await fetch(query ? `${path}?${query}` : path, { headers: headers() });
  return (await checked(answer)).json();
}

// All entries of a paged list.
export async function all(path, field, parameters = {}) {
  const found = [];
  for (let token = ""; ;) {
    const page = await get(path, { page_size: 1000, ...parameters, page_token: token });
    found.push(...page[field]);
    if (!(token = page.nextPageToken)) return found;
  }
}

export async function send(verb, path, body) {
  const text = typeof body === "string" ? body : JSON.stringify(body ?? {});
  const answer = await fetch(path, { method: verb, headers: headers({ "Content-Type": "application/json" }), body: text });
  return (await checked(answer)).json();
}

export async function bytes(path) {
  const answer = await fetch(path, { headers: headers({ Accept: "application/octet-stream" }) });
  return (await checked(answer)).blob();
}

// Calls `told` with every message of a stream until it ends or `signal` aborts; a stream that broke is begun again.
export async function follow(path, told, signal) {
  while (!signal.aborted) {
    try {
      if (await once(path, told, signal)) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused) throw error;
    }
    await new Promise((done) => setTimeout(done, 2000));
  }
}

async function once(path, told, signal) {
  const answer = await checked(await fetch(path, { headers: headers(), signal }));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return false;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const lines = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s)));
      if (lines.event === "end") return true;
      if (lines.event === "error") return false;
      if (lines.event === "message") told(JSON.parse(lines.data));
    }
  }
}
