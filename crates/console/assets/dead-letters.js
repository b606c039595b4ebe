// Dead letters of a group: filters, the list, and redriving or purging those that are chosen or all that match.

import { get, path } from "./api.js";
import { bulkPanel } from "./bulk.js";
import { h, setOptions, setText } from "./dom.js";
import { filterForm, wantedBy } from "./letter-filter.js";
import { count, plural, time } from "./format.js";
import { link } from "./router.js";
import { dataTable } from "./table.js";
import { brief, button, entryLink, fieldOf, notice, orderLink, panel, problemNotice, viewHead } from "./ui.js";

const REFRESH_MS = 5000;

export function create() {
  let query = new URLSearchParams();
  let turn = 0;
  let timer = 0;
  let letters = [];
  const chosen = new Set();

  const filter = filterForm();
  const group = filter.group;

  const counts = h("p", { class: "muted", "data-testid": "dlq-counts" });
  const all = h("input", {
    type: "checkbox",
    "aria-label": "Choose all on this page",
    "data-testid": "dlq-select-all",
    onchange: () => {
      for (const letter of letters) all.checked ? chosen.add(letter.letter_id) : chosen.delete(letter.letter_id);
      for (const box of table.el.querySelectorAll("input[type=checkbox]")) box.checked = all.checked;
      chosenChanged();
    },
  });
  const bulk = bulkPanel({
    onDone: () => {
      chosen.clear();
      chosenChanged();
      load();
    },
  });
  const redriveChosen = button("", () => bulk.redrive(group.value, { ids: [...chosen] }), {
    class: "small",
    "data-testid": "redrive-selected",
  });
  const purgeChosen = button("", () => bulk.purge(group.value, { ids: [...chosen] }), {
    class: "small warns",
    "data-testid": "purge-selected",
  });
  const redriveAll = button("Redrive all matching…", () => bulk.redrive(group.value, { filter: wantedBy(query) }), {
    class: "small",
    "data-testid": "redrive-all",
  });
  const purgeAll = button("Purge all matching…", () => bulk.purge(group.value, { filter: wantedBy(query) }), {
    class: "small warns",
    "data-testid": "purge-all",
  });

  const table = dataTable({
    caption: "Dead letters",
    testid: "dlq-table",
    kind: "stack pairs",
    key: (row) => row.letter_id,
    rowTestid: (row) => `letter-${row.letter_id}`,
    columns: [
      {
        head: "Choose",
        class: "lever",
        hiddenHead: true,
        make: (row) =>
          h("input", {
            type: "checkbox",
            "aria-label": `Choose ${row.letter_id}`,
            "data-testid": `select-${row.letter_id}`,
            onchange: (event) => {
              event.target.checked ? chosen.add(row.letter_id) : chosen.delete(row.letter_id);
              chosenChanged();
            },
          }),
        update: (box, row) => {
          box.checked = chosen.has(row.letter_id);
        },
      },
      { head: "Entry", class: "nowrap", make: (row) => (row.id ? entryLink(row.id) : h("span", {}, "unknown")) },
      { head: "Given up", class: "nowrap", text: (row) => time(row.time_ms) },
      { head: "Type", class: "word", make: (row) => brief(fieldOf(row.fields, "type") ?? "–") },
      {
        head: "Order",
        make: (row) =>
          fieldOf(row.fields, "order_id") == null ? h("span", {}, "–") : orderLink(fieldOf(row.fields, "order_id")),
      },
      { head: "Reason", field: "reason", make: (row) => h("span", { class: "tag" }, brief(row.reason, 40)) },
      { head: "Error", class: "text", make: (row) => brief(row.error ?? "–", 120) },
      { head: "Deliveries", num: true, text: (row) => count(row.deliveries) },
      { head: "Redrives", num: true, text: (row) => count(row.redrives ?? 0) },
      {
        head: "Actions",
        class: "nowrap",
        make: (row) =>
          h(
            "div",
            { class: "controls tight" },
            h(
              "a",
              {
                class: "button small",
                href: link("letter", [group.value, row.letter_id]),
                "data-testid": `inspect-${row.letter_id}`,
                "aria-label": `Inspect ${row.letter_id}`,
              },
              "Inspect",
            ),
            button("Redrive", () => bulk.redrive(group.value, { ids: [row.letter_id] }), {
              class: "small lever",
              "data-testid": `redrive-${row.letter_id}`,
              "aria-label": `Redrive ${row.letter_id}`,
            }),
          ),
      },
    ],
    empty: notice(
      "empty",
      "No dead letters here",
      "Nothing in this group was given up on, or nothing matches the filter.",
    ),
  });
  const status = h("p", { class: "muted", "data-testid": "dlq-status" });
  const trouble = h("div");
  const more = h("p", { class: "controls" });
  const el = h(
    "div",
    {},
    viewHead(
      "Dead letters",
      "Entries that a group has given up on, payload and all. Redriving sends one back to the group that failed it, and to no other.",
    ),
    h("section", { class: "panel", "aria-label": "Filter" }, filter.el, counts),
    panel(
      "Letters",
      { "data-testid": "dlq-panel" },
      h(
        "div",
        { class: "controls lever" },
        h("label", { class: "check" }, all, "All on this page"),
        redriveChosen,
        purgeChosen,
        redriveAll,
        purgeAll,
      ),
      bulk.el,
      trouble,
      status,
      h("div", { class: "live" }, table.el),
      more,
    ),
  );

  function chosenChanged() {
    setText(redriveChosen, `Redrive selected (${chosen.size})…`);
    setText(purgeChosen, `Purge selected (${chosen.size})…`);
    redriveChosen.disabled = purgeChosen.disabled = chosen.size === 0;
    all.checked = letters.length > 0 && letters.every((letter) => chosen.has(letter.letter_id));
  }

  async function load(quiet = false) {
    clearTimeout(timer);
    const mine = (turn += 1);
    const name = group.value;
    if (!name) return;
    try {
      const [page, overall] = await Promise.all([
        get(path`/api/groups/${name}/dead-letters`, {
          ...wantedBy(query),
          order: query.get("order") ?? "desc",
          from: query.get("from"),
          count: 50,
        }),
        get("/api/dead-letters"),
      ]);
      if (mine !== turn) return;
      letters = page.letters;
      trouble.replaceChildren();
      table.update(letters);
      setText(
        status,
        `${plural(letters.length, "letter")} on this page${page.scanned > letters.length ? `, ${count(page.scanned)} looked at` : ""}${page.next ? "; there are more" : ""}.`,
      );
      setText(
        counts,
        overall.groups
          .map(
            (one) =>
              `${one.group}: ${plural(one.count, "letter")}${one.dropped ? `, ${count(one.dropped)} dropped for want of room` : ""}`,
          )
          .join(" · "),
      );
      more.replaceChildren(
        ...(page.next
          ? [
              h(
                "a",
                {
                  class: "button",
                  href: link("dead-letters", [], { ...Object.fromEntries(query), group: name, from: page.next }),
                  "data-testid": "next-page",
                },
                "Next page",
              ),
            ]
          : []),
      );
      chosenChanged();
    } catch (error) {
      if (mine !== turn || (quiet && error.status >= 500)) {
        /* what is shown stays */
      } else trouble.replaceChildren(problemNotice(error, () => load()));
    }
    if (mine === turn) timer = setTimeout(() => load(true), REFRESH_MS);
  }

  chosenChanged();
  return {
    el,
    show(route) {
      query = route.query;
      chosen.clear();
      if (query.get("group") !== group.value) table.update([]);
      filter.fill(query);
      load();
    },
    update(live) {
      const groups = (live.state?.groups ?? []).filter((one) => one.managed);
      const had = group.value;
      // Without a wish: the group that has some.
      if (!had && !group.dataset.wanted)
        group.dataset.wanted = (groups.find((one) => one.dead_letters > 0) ?? groups[0])?.name ?? "";
      setOptions(
        group,
        groups.map((one) => [one.name, one.name]),
      );
      if (!had && group.value) load();
    },
    close() {
      turn += 1;
      clearTimeout(timer);
      bulk.close();
    },
  };
}
