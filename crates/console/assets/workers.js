// The workers: every process that has registered itself, where it is, and what it has done.

import { h, setText } from "./dom.js";
import { count, duration, dateTime } from "./format.js";
import { now } from "./live.js";
import { link } from "./router.js";
import { dataTable } from "./table.js";
import { brief, notice, panel, setTag, skeleton, viewHead } from "./ui.js";

export function create() {
  const number = (head, name) => ({ head, num: true, field: name, text: (row) => count(row.counters?.[name]) });
  const table = dataTable({
    caption: "Worker processes",
    testid: "workers-table",
    // Two machines may have the same name, and so their processes the same ID.
    key: (row) => `${row.id} ${row.group} ${row.address}`,
    rowTestid: (row) => `worker-${row.id}`,
    columns: [
      {
        head: "Process",
        class: "text",
        make: (row) =>
          h(
            "div",
            {},
            h("strong", {}, brief(row.id, 60)),
            h("small", { class: "recent-line" }, brief(`${row.host}, PID ${row.pid}`, 60)),
          ),
      },
      { head: "Address", class: "nowrap", make: (row) => brief(row.address, 48) },
      {
        head: "Group",
        make: (row) => h("a", { href: link("pending", [], { group: row.group }), class: "id" }, brief(row.group, 40)),
      },
      {
        head: "Reachable",
        field: "reachable",
        make: () => h("div", {}, h("span"), h("small", { class: "recent-line" })),
        update: (el, row) => {
          setTag(el.firstElementChild, row.reachable ? "ok" : "bad", row.reachable ? "yes" : "no");
          setText(el.lastElementChild, row.reachable ? "" : (row.reason ?? "").slice(0, 200));
        },
      },
      {
        head: "Up for",
        class: "nowrap",
        make: (row) => h("span", { title: dateTime(row.started_ms) }),
        update: (el, row) => setText(el, duration(row.started_ms == null ? null : Math.max(0, now() - row.started_ms))),
      },
      {
        head: "Claiming",
        make: () => h("div", {}, h("span"), h("small", { class: "recent-line" })),
        update: (el, row) => {
          setText(el.firstElementChild, row.claim_auto == null ? "unknown" : row.claim_auto ? "automatic" : "by hand");
          setText(el.lastElementChild, row.fault_injection ? "fault injection on" : "");
        },
      },
      {
        head: "Consumers",
        class: "text",
        make: () => h("span"),
        update: (el, row) =>
          setText(
            el,
            (row.consumers ?? []).slice(0, 50).join(", ") +
              (row.consumers?.length > 50 ? ` and ${row.consumers.length - 50} more` : ""),
          ),
      },
      number("Processed", "processed"),
      number("Acked", "acked"),
      number("Claimed", "claimed"),
      number("Retried", "retried"),
      number("Dead-lettered", "dead_lettered"),
    ],
    empty: notice(
      "empty",
      "No worker is registered",
      "Start one: ",
      h("code", {}, "notifications-worker"),
      " or ",
      h("code", {}, "analytics-worker"),
      ". It appears here within a few seconds.",
    ),
  });
  const waiting = skeleton(2);
  const box = panel("Processes", { "data-testid": "workers" }, waiting);
  return {
    el: h(
      "div",
      {},
      viewHead(
        "Workers",
        "Processes that read for a group. Each is asked at its ops address; one that does not answer is shown with what Redis knows of it.",
      ),
      box,
    ),
    update(live) {
      if (!live.state) return;
      if (waiting.isConnected) waiting.replaceWith(h("div", { class: "live" }, table.el));
      table.update(live.state.processes ?? []);
    },
  };
}
