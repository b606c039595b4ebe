// The filter of the dead letters: its form, and what an address asks for.

import { h } from "./dom.js";
import { localInput, toLocalInput } from "./format.js";
import { go, link } from "./router.js";
import { session } from "./session.js";
import { field, input, select } from "./ui.js";

const REASONS = ["max_deliveries", "rejected", "poison", "payload_lost"];
const TEXTS = ["type", "order_id", "reason", "entry"];
const TIMES = ["since_ms", "until_ms"];

/** The filter in an address, as the API takes it. */
export function wantedBy(query) {
  const wanted = {};
  for (const name of TEXTS) if (query.get(name)) wanted[name] = query.get(name);
  for (const name of TIMES) if (query.get(name)) wanted[name] = Number(query.get(name));
  return wanted;
}

/** The form. It leads to the address of what it asks for; `fill` takes an address, but not what is being typed. */
export function filterForm() {
  let typing = false;
  const order = [
    ["desc", "newest first"],
    ["asc", "oldest first"],
  ];
  const controls = {
    group: select("group", [], { "data-keep": "", "data-testid": "dlq-group", onchange: apply }),
    type: input("text", "type", { list: "dlq-types", "data-testid": "dlq-type" }),
    order_id: input("text", "order_id", { "data-testid": "dlq-order-id" }),
    reason: input("text", "reason", { list: "dlq-reasons", "data-testid": "dlq-reason" }),
    entry: input("text", "entry", { placeholder: "1716998413541-0", "data-testid": "dlq-entry" }),
    since: input("datetime-local", "since", { step: 1, "data-testid": "dlq-since" }),
    until: input("datetime-local", "until", { step: 1, "data-testid": "dlq-until" }),
    order: select("order", order, { "data-testid": "dlq-order" }),
  };

  function apply() {
    typing = false;
    const value = (name) => controls[name].value.trim();
    const texts = Object.fromEntries(TEXTS.map((name) => [name, value(name)]));
    go(
      link("dead-letters", [], {
        group: value("group"),
        ...texts,
        since_ms: localInput(value("since")),
        until_ms: localInput(value("until")),
        order: value("order") === "asc" ? "asc" : "",
      }),
    );
  }

  const forget = () => {
    typing = false;
  };
  const choices = (id, values) =>
    h(
      "datalist",
      { id },
      values.map((value) => h("option", { value })),
    );
  const el = h(
    "form",
    {
      class: "form-row",
      "data-testid": "dlq-form",
      oninput: () => {
        typing = true;
      },
      onsubmit: (event) => {
        event.preventDefault();
        apply();
      },
    },
    field("Group", controls.group),
    field("Type", controls.type),
    field("Order ID", controls.order_id),
    field("Reason", controls.reason),
    field("Entry ID", controls.entry),
    field("From", controls.since),
    field("Until", controls.until),
    field("Order", controls.order),
    h("button", { type: "submit", "data-testid": "dlq-apply" }, "Apply"),
    h("a", { class: "button quiet", href: link("dead-letters"), onclick: forget }, "No filter"),
    choices("dlq-types", session.event_types),
    choices("dlq-reasons", REASONS),
  );

  return {
    el,
    group: controls.group,
    fill(query) {
      const group = query.get("group");
      if (group) {
        const known = [...controls.group.options].some((option) => option.value === group);
        if (!known) controls.group.append(h("option", { value: group }, group));
        controls.group.value = group;
      }
      if (typing) return;
      for (const name of TEXTS) controls[name].value = query.get(name) ?? "";
      controls.since.value = toLocalInput(query.get("since_ms"));
      controls.until.value = toLocalInput(query.get("until_ms"));
      controls.order.value = query.get("order") ?? "desc";
    },
  };
}
