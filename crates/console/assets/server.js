// The Redis server: version, memory, persistence, capabilities, retention and what holds it back, the reaper.

import { get } from "./api.js";
import { h } from "./dom.js";
import { bytes, count, dateTime, duration, plural } from "./format.js";
import { brief, button, entryLink, notice, panel, problemNotice, skeleton, tag, viewHead } from "./ui.js";

const REFRESH_MS = 5000;
const CAPABILITY = { available: "ok", missing: "warn", denied: "bad", unknown: "" };

const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
const facts = (...rows) => h("dl", { class: "fields facts" }, rows);

/** Whatever the server says of itself; the end of a name tells what a number is. */
function plain(value, name = "") {
  if (value == null) return "unknown";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") {
    if (/(_at|_time|^last_\w+)_ms$/.test(name)) return value === 0 ? "never" : dateTime(value);
    if (name.endsWith("_ms")) return duration(value);
    if (name.endsWith("_s")) return duration(value * 1000);
    return name.endsWith("_bytes") ? bytes(value) : count(value);
  }
  return typeof value === "object" ? JSON.stringify(value).slice(0, 300) : String(value).slice(0, 300);
}

function readable(name) {
  const words = name
    .replace(/_(ms|s|bytes)$/, "")
    .replaceAll("_", " ")
    .replace(/\b(aof|rdb|id)\b/g, (word) => word.toUpperCase());
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function serverPanel(server) {
  const { used, max } = server.memory ?? {};
  return panel(
    "Server",
    { "data-testid": "server-facts" },
    facts(
      fact("Address", brief(server.address, 100)),
      fact("Version", `${server.name ?? "unknown"} ${server.version ?? ""}`),
      fact("Role", `${plain(server.role)}${server.mode ? `, ${server.mode}` : ""}`),
      fact("Up for", duration(server.uptime_s == null ? null : server.uptime_s * 1000)),
      fact(
        "Clients",
        `${plain(server.connected_clients)}${server.max_clients ? ` of at most ${count(server.max_clients)}` : ""}`,
      ),
      fact(
        "Memory",
        max ? `${bytes(used)} of ${bytes(max)} (${((100 * used) / max).toFixed(1)} %)` : `${bytes(used)}, no limit set`,
      ),
      fact(
        "When memory is full",
        plain(server.eviction_policy),
        " ",
        server.eviction_policy && server.eviction_policy !== "noeviction" ? tag("bad", "may evict the stream") : null,
      ),
    ),
  );
}

function persistencePanel(persistence) {
  const rows = Object.entries(persistence ?? {});
  return panel(
    "Persistence",
    { "data-testid": "server-persistence" },
    rows.length === 0
      ? notice("empty", "Unknown", "The server did not say.")
      : facts(rows.map(([name, value]) => fact(readable(name), plain(value, name)))),
  );
}

function hold(one) {
  if (typeof one === "string") return h("li", {}, one);
  return h(
    "li",
    {},
    one.text ?? h("strong", {}, brief(one.group, 60)),
    one.needs ? [" Oldest needed: ", entryLink(one.needs)] : null,
  );
}

function retentionPanel(retention) {
  if (!retention) return panel("Retention", {}, notice("empty", "Unknown", "The console could not read it."));
  const bound = {
    maxlen: "the newest entries by number (MAXLEN ~ on every append)",
    age: "entries up to an age (XTRIM MINID ~)",
    guarded: "entries up to an age, and whatever a group has not acked",
  }[retention.policy];
  const holds = retention.holds ?? [];
  const lost = (retention.lost ?? []).filter((one) => one.entries > 0);
  return panel(
    "Retention",
    { "data-testid": "server-retention" },
    facts(
      fact("Policy", h("strong", {}, plain(retention.policy)), bound ? `: keeps ${bound}` : ""),
      retention.age_ms == null || retention.policy === "maxlen" ? null : fact("Age", duration(retention.age_ms)),
      retention.maxlen == null || retention.policy !== "maxlen" ? null : fact("Length", count(retention.maxlen)),
      retention.policy === "guarded" ? fact("Waits for", (retention.groups ?? []).join(", ") || "nobody") : null,
      retention.stale_group_after_ms == null || retention.policy !== "guarded"
        ? null
        : fact("Other groups", `waited for until ${duration(retention.stale_group_after_ms)} without a sign of life`),
      retention.hard_cap_entries == null
        ? null
        : fact(
            "Hard cap",
            `${plural(retention.hard_cap_entries, "entry", "entries")}${retention.hard_cap_memory_percent == null ? "" : `, or ${retention.hard_cap_memory_percent} % of the memory`}; producers are then answered 429`,
          ),
      fact(
        "Held back by",
        holds.length === 0 ? "nothing" : h("ul", { "data-testid": "retention-holds" }, holds.map(hold)),
      ),
      fact(
        "Lost unread",
        lost.length === 0
          ? "nothing"
          : h(
              "ul",
              {},
              lost.map((one) =>
                h("li", {}, tag("bad", plural(one.entries, "entry", "entries")), " never reached ", brief(one.group)),
              ),
            ),
      ),
    ),
  );
}

function reaperPanel(reaper) {
  return panel(
    "Reaper",
    { "data-testid": "server-reaper" },
    reaper?.active
      ? facts(
          fact("Active", tag("ok", "yes")),
          fact("Host", plain(reaper.host)),
          fact("PID", reaper.pid == null ? "unknown" : String(reaper.pid)),
          fact("Address", plain(reaper.address)),
        )
      : notice(
          "warn",
          "No reaper is active",
          "Dead consumers' entries are not handed over, and retention is not enforced, until one is started: run reaper.",
        ),
  );
}

function capabilitiesPanel(list) {
  return panel(
    "Capabilities",
    { "data-testid": "server-capabilities" },
    h(
      "table",
      { class: "data" },
      h("caption", { class: "sr" }, "What newer servers can do"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Capability"), h("th", { scope: "col" }, "State"))),
      h(
        "tbody",
        {},
        (list ?? []).map((one) =>
          h(
            "tr",
            {},
            h(
              "td",
              {},
              readable(one.name),
              one.command ? h("small", { class: "recent-line mono" }, one.command) : null,
            ),
            h(
              "td",
              {},
              tag(CAPABILITY[one.state] ?? "", one.state),
              one.reason ? h("small", { class: "recent-line" }, one.reason.slice(0, 200)) : null,
            ),
          ),
        ),
      ),
    ),
  );
}

export function create() {
  const body = h("div", { "data-testid": "server" }, skeleton(3));
  let turn = 0;
  let timer = 0;
  let known = false;
  let sign = "";

  async function load() {
    clearTimeout(timer);
    const mine = (turn += 1);
    try {
      const server = await get("/api/server");
      if (mine !== turn) return;
      known = true;
      const next = JSON.stringify(server);
      // Selected text survives while nothing changes.
      if (next !== sign) {
        sign = next;
        body.replaceChildren(
          h(
            "div",
            { class: "columns two live" },
            h("div", {}, serverPanel(server), persistencePanel(server.persistence), reaperPanel(server.reaper)),
            h("div", {}, retentionPanel(server.retention), capabilitiesPanel(server.capabilities)),
          ),
        );
      }
    } catch (error) {
      if (mine === turn && !known) body.replaceChildren(problemNotice(error, load));
    }
    if (mine === turn) timer = setTimeout(load, REFRESH_MS);
  }

  return {
    el: h(
      "div",
      {},
      viewHead(
        "Server",
        "The Redis server as the console sees it.",
        button("Refresh", load, { "data-testid": "server-refresh" }),
      ),
      body,
    ),
    show: () => {
      load();
    },
    close() {
      turn += 1;
      clearTimeout(timer);
    },
  };
}
