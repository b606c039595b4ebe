// Tables of rows that come and go: headers with scope, keyed rows, and on a narrow screen one block a row.

import { h, keyed, setText, show } from "./dom.js";
import { brief, entryLink, fieldOf, notice, orderLink } from "./ui.js";
import { dateTime, idTime, time } from "./format.js";

/**
 * `columns`: `{head, text(row)}`, or `{head, make(row)}` for a node, made once a row, or `{head, make, update(node, row)}`.
 * `kind` says how it becomes narrow: "stack", "stack pairs", "stack flow", or "" for a table that is narrow anyway.
 * The roles are spelled out because the narrow layout takes the table's own away.
 */
export function dataTable({ caption, columns, key, testid, rowTestid, empty, kind = "stack" }) {
  const body = h("tbody", { role: "rowgroup" });
  const table = h(
    "table",
    { class: `data ${kind}`, role: "table", "data-testid": testid },
    h("caption", { class: "sr" }, caption),
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        columns.map((column) =>
          h(
            "th",
            { scope: "col", role: "columnheader", class: column.num ? "num" : null },
            column.hiddenHead ? h("span", { class: "sr" }, column.head) : column.head,
          ),
        ),
      ),
    ),
    body,
  );
  const none = empty ? h("div", { hidden: true, "data-testid": testid ? `${testid}-empty` : null }, empty) : null;
  const update = keyed(body, key, (row) => {
    const cells = columns.map((column) =>
      h(
        "td",
        {
          role: "cell",
          class: column.num ? "num" : column.class,
          "data-label": column.head,
          "data-field": column.field,
        },
        column.make ? column.make(row) : null,
      ),
    );
    return {
      el: h("tr", { role: "row", "data-testid": rowTestid?.(row), "data-id": key(row) }, cells),
      update: (next) =>
        columns.forEach((column, index) => {
          if (column.text) setText(cells[index], column.text(next));
          else if (column.update) column.update(cells[index].firstElementChild, next);
        }),
    };
  });
  return {
    el: h("div", { class: "table-box" }, table, none),
    update: (rows) => {
      update(rows);
      if (none) {
        show(none, rows.length === 0);
        show(table, rows.length > 0);
      }
    },
  };
}

const KNOWN = new Set(["type", "order_id", "customer", "amount"]);

/** What an entry holds beyond the usual fields, in short. */
function rest(fields) {
  const others = fields.filter(([name]) => !KNOWN.has(name));
  return h(
    "span",
    { class: "rest muted" },
    others.slice(0, 3).map(([name, value]) => h("span", {}, brief(name, 24), "=", brief(value, 24), " ")),
    others.length > 3 ? `and ${others.length - 3} more` : null,
  );
}

/** Columns of a list of stream entries. */
function entryColumns() {
  const plain = (head, name) => ({
    head,
    class: "text",
    field: name,
    make: (row) => brief(fieldOf(row.fields, name) ?? "–"),
  });
  return [
    { head: "ID", class: "nowrap", field: "id", make: (row) => entryLink(row.id) },
    {
      head: "Written",
      class: "nowrap",
      make: (row) => h("span", { title: dateTime(idTime(row.id)) }, time(idTime(row.id))),
    },
    { ...plain("Type", "type"), class: "word" },
    {
      head: "Order",
      class: "text",
      field: "order_id",
      make: (row) => {
        const order = fieldOf(row.fields, "order_id");
        return order == null ? h("span", {}, "–") : orderLink(order);
      },
    },
    plain("Customer", "customer"),
    { ...plain("Amount", "amount"), num: true },
    { head: "Other fields", class: "text", make: (row) => rest(row.fields) },
  ];
}

export function entryTable(caption, testid, empty) {
  return dataTable({
    caption,
    testid,
    kind: "stack flow",
    columns: entryColumns(),
    key: (row) => row.id,
    rowTestid: (row) => `entry-${row.id}`,
    empty: empty ?? notice("empty", "No entries", "Nothing in the stream is in this range."),
  });
}
