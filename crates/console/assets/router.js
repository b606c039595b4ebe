// Addresses after the hash: "#/pending?group=notifications" shows a view, can be shared, and works with back and forward.

/** The parts of a hash: `{name, parts, query}`. */
export function parse(hash) {
  const text = hash.replace(/^#\/?/, "");
  const at = text.indexOf("?");
  const segments = (at < 0 ? text : text.slice(0, at)).split("/").filter(Boolean);
  const parts = segments.map((segment) => {
    try {
      return decodeURIComponent(segment);
    } catch {
      return segment;
    }
  });
  return {
    name: parts[0] ?? "overview",
    parts: parts.slice(1),
    query: new URLSearchParams(at < 0 ? "" : text.slice(at + 1)),
  };
}

/** A hash from a view's name, its parts and its query; what is empty is left out. */
export function link(name, parts = [], query = {}) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value != null && value !== "") params.set(key, value);
  const text = params.toString();
  return `#/${[name, ...parts].map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(hash) {
  if (location.hash === hash) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = hash;
}

/** Where "Go" leads: an entry if it looks like an ID, else an order. */
export function find(text) {
  const wanted = text.trim();
  return /^\d+-\d+$/.test(wanted) ? link("entries", [wanted]) : link("orders", [wanted]);
}
