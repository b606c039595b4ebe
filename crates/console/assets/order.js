// One order: what analytics knows of it, and all its events in the stream.

import { get, path } from "./api.js";
import { h } from "./dom.js";
import { dateTime, money } from "./format.js";
import { dataTable, entryTable } from "./table.js";
import { brief, button, entryLink, notice, panel, problemNotice, skeleton, tag, viewHead } from "./ui.js";

const KINDS = { cancelled: "bad", shipped: "ok", paid: "ok", placed: "info" };

function analyticsPanel(answer) {
  const { order, problem } = answer;
  if (!order) {
    const unknown = !problem || problem.status === 404;
    return unknown
      ? notice(
          "empty",
          "Analytics does not know this order",
          "It has had no event that was counted, or its state was dropped some time after its last event.",
        )
      : notice("problem", problem.title ?? "Analytics did not answer", problem.detail ?? null);
  }
  const history = dataTable({
    caption: "What analytics has counted of this order",
    testid: "order-history",
    key: (row) => row.id,
    columns: [
      { head: "ID", class: "nowrap", make: (row) => entryLink(row.id) },
      { head: "Type", make: (row) => brief(row.type) },
      { head: "Event time", text: (row) => dateTime(row.ts_ms) },
      { head: "Amount", num: true, text: (row) => money(row.amount) },
      { head: "Customer", make: (row) => brief(row.customer) },
    ],
  });
  history.update(order.history ?? []);
  return [
    h(
      "dl",
      { class: "stats" },
      h(
        "div",
        {},
        h("dt", {}, "State"),
        h("dd", { "data-testid": "order-state" }, tag(KINDS[order.state] ?? "", order.state)),
      ),
      h("div", {}, h("dt", {}, "Customer"), h("dd", {}, brief(order.customer ?? "unknown"))),
      Object.entries(order.first_seen ?? {}).map(([type, ms]) =>
        h("div", {}, h("dt", {}, "First ", brief(type)), h("dd", {}, dateTime(ms))),
      ),
    ),
    history.el,
  ];
}

export function create() {
  const head = h("div");
  const body = h("div", { "data-testid": "order" });
  let id = "";
  let turn = 0;

  async function load() {
    const mine = (turn += 1);
    head.replaceChildren(
      viewHead(["Order ", brief(id, 128)], null, button("Refresh", load, { "data-testid": "order-refresh" })),
    );
    if (!body.firstChild) body.replaceChildren(skeleton(2));
    try {
      const answer = await get(path`/api/orders/${id}`);
      if (mine !== turn) return;
      const entries = entryTable(
        "Events of this order",
        "order-entries",
        notice(
          "empty",
          "No events in the stream",
          "The stream holds no entry of this order: there never was one, or retention has removed them.",
        ),
      );
      entries.update(answer.entries);
      body.replaceChildren(
        panel("State in analytics", { "data-testid": "order-analytics" }, analyticsPanel(answer)),
        panel("Events in the stream", { "data-testid": "order-events" }, entries.el),
      );
    } catch (error) {
      if (mine === turn) body.replaceChildren(problemNotice(error, load));
    }
  }

  return {
    el: h("div", {}, head, body),
    show(route) {
      if (route.parts[0] !== id) body.replaceChildren();
      id = route.parts[0] ?? "";
      load();
      return `Order ${id.slice(0, 60)}`;
    },
    close: () => {
      turn += 1;
    },
  };
}
