// Replay of any range of the stream (XRANGE), which no group's position notices.

import { get } from "./api.js";
import { h } from "./dom.js";
import { plural } from "./format.js";
import { now } from "./live.js";
import { go, link } from "./router.js";
import { entryTable } from "./table.js";
import { act, button, field, input, panel, problemNotice, select, skeleton, viewHead } from "./ui.js";

const PRESETS = [
  ["Oldest first", () => ({ start: "-", end: "+", order: "asc" })],
  ["Newest first", () => ({ start: "-", end: "+", order: "desc" })],
  ["Last minute", () => ({ start: String(Math.floor(now() - 60000)), end: "+", order: "desc" })],
  ["Last 15 minutes", () => ({ start: String(Math.floor(now() - 900000)), end: "+", order: "desc" })],
  ["Last hour", () => ({ start: String(Math.floor(now() - 3600000)), end: "+", order: "desc" })],
];

export function create() {
  let query = null;
  let running = null;
  const start = input("text", "start", { required: true, "data-testid": "replay-start" });
  const end = input("text", "end", { required: true, "data-testid": "replay-end" });
  const amount = input("number", "count", { min: 1, max: 500, required: true, "data-testid": "replay-count" });
  const order = select(
    "order",
    [
      ["asc", "oldest first"],
      ["desc", "newest first"],
    ],
    { "data-testid": "replay-order" },
  );
  const submit = h("button", { type: "submit", class: "primary", "data-testid": "replay-submit" }, "Replay");
  const form = h(
    "form",
    {
      class: "form-row hints",
      "data-testid": "replay-form",
      onsubmit: (event) => {
        event.preventDefault();
        go(
          link("replay", [], {
            start: start.value.trim(),
            end: end.value.trim(),
            count: amount.value,
            order: order.value,
          }),
        );
      },
    },
    field("From", start, "An ID, milliseconds, or - for the beginning"),
    field("To", end, "An ID, milliseconds, or + for the end"),
    field("Entries", amount),
    field("Order", order),
    submit,
  );
  const presets = h(
    "div",
    { class: "controls", role: "group", "aria-label": "Ranges" },
    PRESETS.map(([label, range]) =>
      button(label, () => go(link("replay", [], { ...range(), count: amount.value })), { class: "small" }),
    ),
  );
  const status = h("p", { class: "muted", role: "status", "data-testid": "replay-status" });
  const result = h("div", { "data-testid": "replay-result" });
  const more = h("p", { class: "controls" });
  const el = h(
    "div",
    {},
    viewHead("Replay", "Reads any range of the stream again (XRANGE). No group's position or pending list notices."),
    h("section", { class: "panel", "aria-label": "Range" }, form, presets),
    panel("Entries", { "data-testid": "replay-panel" }, status, result, more),
  );

  async function load() {
    running?.abort();
    running = new AbortController();
    result.replaceChildren(skeleton(2));
    more.replaceChildren();
    status.textContent = "Reading…";
    await act(submit, "Replay", async () => {
      try {
        const page = await get("/api/entries", Object.fromEntries(query), running.signal);
        const table = entryTable("Replayed entries", "replay-table");
        table.update(page.entries);
        result.replaceChildren(table.el);
        status.textContent = `${plural(page.entries.length, "entry", "entries")}${page.next ? ", and there are more" : ""}.`;
        if (page.next) {
          const cursor = query.get("order") === "desc" ? { end: page.next } : { start: page.next };
          more.replaceChildren(
            h(
              "a",
              {
                class: "button",
                href: link("replay", [], { ...Object.fromEntries(query), ...cursor }),
                "data-testid": "next-page",
              },
              "Next page",
            ),
          );
        }
      } catch (error) {
        if (error.name === "AbortError") return;
        status.textContent = "";
        result.replaceChildren(problemNotice(error, load));
      }
    });
  }

  return {
    el,
    show(route) {
      const asked = route.query;
      query = new URLSearchParams({
        start: asked.get("start") || "-",
        end: asked.get("end") || "+",
        count: asked.get("count") || "50",
        order: asked.get("order") === "desc" ? "desc" : "asc",
      });
      start.value = query.get("start");
      end.value = query.get("end");
      amount.value = query.get("count");
      order.value = query.get("order");
      load();
    },
    close: () => running?.abort(),
  };
}
