// Requests to the console's API, and its problems (RFC 9457) as errors that say what the server said.

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `HTTP ${status}`);
    this.status = status;
    this.type = body?.type ?? "about:blank";
    this.title = body?.title ?? `HTTP ${status}`;
    this.body = body ?? {};
  }
}

const UNREACHABLE = {
  type: "console-unreachable",
  title: "The console does not answer",
  detail: "The console does not answer. It may be restarting, or the network between it and this browser is down.",
};

/** A path with its parts encoded: path`/api/groups/${group}/pending`. */
export function path(parts, ...values) {
  return parts.reduce((all, part, index) => all + encodeURIComponent(values[index - 1]) + part);
}

function withQuery(url, query) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value != null && value !== "") params.set(name, value);
  }
  const text = params.toString();
  return text ? `${url}?${text}` : url;
}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, UNREACHABLE);
  }
  if (response.ok) return response;
  let body = null;
  try {
    body = await response.json();
  } catch {
    /* a proxy's page, or nothing: the status must do */
  }
  const problem = new Problem(response.status, body);
  // A wrong token at the login itself is for the login to tell.
  if (response.status === 401 && url !== "/api/login") document.dispatchEvent(new CustomEvent("console:unauthorised"));
  throw problem;
}

async function bodyOf(response) {
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { ...UNREACHABLE, detail: "The answer was cut off. Try again." });
  }
}

export async function get(url, query, signal) {
  return bodyOf(await request(withQuery(url, query), { signal }));
}

function json(method, body, signal) {
  return {
    method,
    signal,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  };
}

export async function post(url, body, signal) {
  return bodyOf(await request(url, json("POST", body, signal)));
}

export async function remove(url, query) {
  return bodyOf(await request(withQuery(url, query), json("DELETE")));
}

/** A POST answered by NDJSON: `onLine` gets each line's object. Aborting the signal hangs up, which stops the work. */
export async function lines(url, body, onLine, signal) {
  const response = await request(url, json("POST", body, signal));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, UNREACHABLE);
    }
    rest += piece.value ?? "";
    const whole = rest.split("\n");
    rest = whole.pop();
    for (const line of whole) if (line.trim()) onLine(JSON.parse(line));
    if (piece.done) {
      if (rest.trim()) onLine(JSON.parse(rest));
      return;
    }
  }
}

/**
 * To be asked after a stream of events has broken off, which does not tell a refusal from a broken line: if there is no
 * login any more, this leads to it.
 */
export async function askLogin() {
  try {
    const session = await get("/api/session");
    if (session.login_required && !session.logged_in) document.dispatchEvent(new CustomEvent("console:unauthorised"));
  } catch {
    /* the console is away: the next attempt to listen fails as well */
  }
}

/** The address of a stream of events. */
export const eventsUrl = withQuery;
