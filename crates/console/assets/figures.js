// The figures of analytics as tiles and tables: totals, types, the funnel, customers.

import { h } from "./dom.js";
import { count, money } from "./format.js";
import { dataTable } from "./table.js";
import { brief, notice } from "./ui.js";

function bar(part) {
  const fill = h("span", { class: "bar" });
  fill.style.width = `${Math.max(0, Math.min(100, part * 100))}%`;
  return h("div", { class: "bar-track", "aria-hidden": "true" }, fill);
}

export function summaryTiles(summary) {
  const tile = (name, value, id, side) =>
    h(
      "div",
      { class: "tile" },
      h("dt", {}, name),
      h("dd", { class: "big", "data-testid": `analytics-${id}` }, value),
      side ? h("dd", { class: "side" }, side) : null,
    );
  return h(
    "dl",
    { class: "tiles" },
    tile("Revenue", money(summary.revenue), "revenue", "order.paid only"),
    tile("Events", count(summary.events), "events"),
    tile("Customers", count(summary.customers), "customers", "from_ts_ms" in summary ? "last seen in this time" : null),
    "average_order_value" in summary
      ? tile(
          "Average order",
          summary.average_order_value == null ? "none yet" : money(summary.average_order_value),
          "average",
          "revenue by paid orders",
        )
      : null,
  );
}

export function typesTable(summary) {
  if (summary.by_type == null)
    return notice(
      "warn",
      "Unknown for this time",
      "It begins or ends within a day whose minutes are not kept any more.",
    );
  const rows = Object.entries(summary.by_type).map(([type, figures]) => ({ type, ...figures }));
  const top = Math.max(1, ...rows.map((row) => row.count));
  const table = dataTable({
    caption: "Events by type",
    testid: "analytics-types",
    kind: "",
    key: (row) => row.type,
    rowTestid: (row) => `type-${row.type}`,
    columns: [
      { head: "Type", make: (row) => brief(row.type) },
      { head: "Events", num: true, text: (row) => count(row.count) },
      { head: "Share", make: (row) => bar(row.count / top) },
      { head: "Amount", num: true, text: (row) => money(row.amount) },
    ],
    empty: notice("empty", "Nothing counted", "No event was counted in this time."),
  });
  table.update(rows);
  return table.el;
}

/** Orders that came to each stage. Only the figures of all time have them. */
export function funnel(all) {
  const orders = all.orders ?? {};
  const placed = orders["order.placed"] ?? 0;
  const stages = [
    ["order.placed", "Placed"],
    ["order.paid", "Paid"],
    ["order.shipped", "Shipped"],
    ["order.cancelled", "Cancelled"],
  ].map(([type, name]) => ({ type, name, value: orders[type] ?? 0 }));
  const top = Math.max(1, ...stages.map((stage) => stage.value));
  const table = dataTable({
    caption: "Orders that came to each stage",
    testid: "analytics-funnel",
    kind: "",
    key: (row) => row.type,
    rowTestid: (row) => `funnel-${row.type}`,
    columns: [
      { head: "Stage", text: (row) => row.name },
      { head: "Orders", num: true, text: (row) => count(row.value) },
      { head: "Share", make: (row) => bar(row.value / top) },
      {
        head: "Of placed",
        num: true,
        text: (row) => (placed === 0 ? "–" : `${((100 * row.value) / placed).toFixed(1)} %`),
      },
    ],
  });
  table.update(stages);
  return table.el;
}

export function customers(list) {
  const table = dataTable({
    caption: "Customers with the highest revenue",
    testid: "analytics-top",
    kind: "",
    key: (row) => row.customer,
    columns: [
      { head: "Customer", make: (row) => brief(row.customer, 60) },
      { head: "Revenue", num: true, text: (row) => money(row.revenue) },
    ],
    empty: notice("empty", "No customers yet", "Nobody has paid for an order yet."),
  });
  table.update(list);
  return table.el;
}
