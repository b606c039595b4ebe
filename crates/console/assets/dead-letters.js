// Dead letters of a group: filters, the list, and redriving or purging those that are chosen or all that match.

import { get, path } from "./api.js";
import { bulkPanel } from "./bulk.js";
import { h, setOptions, setText } from "./dom.js";
import { count, localInput, plural, time, toLocalInput } from "./format.js";
import { go, link } from "./router.js";
import { session } from "./session.js";
import { dataTable } from "./table.js";
import { brief, button, entryLink, field, fieldOf, input, notice, orderLink, panel, problemNotice, select, viewHead } from "./ui.js";

const REASONS = ["max_deliveries", "rejected", "poison", "payload_lost"];
const REFRESH_MS = 5000;

export function create() {
  let query = new URLSearchParams();
  let turn = 0;
  let timer = 0;
  let letters = [];
  let typing = false;
  const chosen = new Set();

  const controls = {
    group: select("group", [], { "data-keep": "", "data-testid": "dlq-group", onchange: () => apply() }),
    type: input("text", "type", { list: "dlq-types", "data-testid": "dlq-type" }),
    order_id: input("text", "order_id", { "data-testid": "dlq-order-id" }),
    reason: input("text", "reason", { list: "dlq-reasons", "data-testid": "dlq-reason" }),
    entry: input("text", "entry", { placeholder: "1716998413541-0", "data-testid": "dlq-entry" }),
    since: input("datetime-local", "since", { step: 1, "data-testid": "dlq-since" }),
    until: input("datetime-local", "until", { step: 1, "data-testid": "dlq-until" }),
    order: select("order", [["desc", "newest first"], ["asc", "oldest first"]], { "data-testid": "dlq-order" }),
  };
  const submit = h("button", { type: "submit", "data-testid": "dlq-apply" }, "Apply");
  const form = h("form", { class: "form-row", "data-testid": "dlq-form", oninput: () => { typing = true; }, onsubmit: (event) => { event.preventDefault(); apply(); } },
    field("Group", controls.group), field("Type", controls.type), field("Order ID", controls.order_id), field("Reason", controls.reason), field("Entry ID", controls.entry),
    field("From", controls.since), field("Until", controls.until), field("Order", controls.order), submit,
    h("a", { class: "button quiet", href: link("dead-letters"), onclick: () => { typing = false; } }, "No filter"),
    h("datalist", { id: "dlq-types" }, session.event_types.map((value) => h("option", { value }))),
    h("datalist", { id: "dlq-reasons" }, REASONS.map((value) => h("option", { value }))));

  const counts = h("p", { class: "muted", "data-testid": "dlq-counts" });
  const all = h("input", { type: "checkbox", "aria-label": "Choose all on this page", "data-testid": "dlq-select-all", onchange: () => {
    for (const letter of letters) all.checked ? chosen.add(letter.letter_id) : chosen.delete(letter.letter_id);
    for (const box of table.el.querySelectorAll("input[type=checkbox]")) box.checked = all.checked;
    chosenChanged();
  } });
  const bulk = bulkPanel({ onDone: () => { chosen.clear(); chosenChanged(); load(); } });
  const redriveChosen = button("", () => bulk.redrive(controls.group.value, { ids: [...chosen] }), { class: "small", "data-testid": "redrive-selected" });
  const purgeChosen = button("", () => bulk.purge(controls.group.value, { ids: [...chosen] }), { class: "small warns", "data-testid": "purge-selected" });
  const redriveAll = button("Redrive all matching…", () => bulk.redrive(controls.group.value, { filter: filter() }), { class: "small", "data-testid": "redrive-all" });
  const purgeAll = button("Purge all matching…", () => bulk.purge(controls.group.value, { filter: filter() }), { class: "small warns", "data-testid": "purge-all" });

  const table = dataTable({
    caption: "Dead letters", testid: "dlq-table", kind: "stack pairs", key: (row) => row.letter_id, rowTestid: (row) => `letter-${row.letter_id}`,
    columns: [
      { head: "Choose", class: "lever", hiddenHead: true, make: (row) => h("input", {
        type: "checkbox", "aria-label": `Choose ${row.letter_id}`, "data-testid": `select-${row.letter_id}`,
        onchange: (event) => { event.target.checked ? chosen.add(row.letter_id) : chosen.delete(row.letter_id); chosenChanged(); },
      }), update: (box, row) => { box.checked = chosen.has(row.letter_id); } },
      { head: "Entry", class: "nowrap", make: (row) => row.id ? entryLink(row.id) : h("span", {}, "unknown") },
      { head: "Given up", class: "nowrap", text: (row) => time(row.time_ms) },
      { head: "Type", class: "word", make: (row) => brief(fieldOf(row.fields, "type") ?? "–") },
      { head: "Order", make: (row) => fieldOf(row.fields, "order_id") == null ? h("span", {}, "–") : orderLink(fieldOf(row.fields, "order_id")) },
      { head: "Reason", field: "reason", make: (row) => h("span", { class: "tag" }, brief(row.reason, 40)) },
      { head: "Error", class: "text", make: (row) => brief(row.error ?? "–", 120) },
      { head: "Deliveries", num: true, text: (row) => count(row.deliveries) },
      { head: "Redrives", num: true, text: (row) => count(row.redrives ?? 0) },
      { head: "Actions", class: "nowrap", make: (row) => h("div", { class: "controls tight" },
        h("a", { class: "button small", href: link("letter", [controls.group.value, row.letter_id]), "data-testid": `inspect-${row.letter_id}`, "aria-label": `Inspect ${row.letter_id}` }, "Inspect"),
        button("Redrive", () => bulk.redrive(controls.group.value, { ids: [row.letter_id] }), { class: "small lever", "data-testid": `redrive-${row.letter_id}`, "aria-label": `Redrive ${row.letter_id}` })) },
    ],
    empty: notice("empty", "No dead letters here", "Nothing in this group was given up on, or nothing matches the filter."),
  });
  const status = h("p", { class: "muted", "data-testid": "dlq-status" });
  const trouble = h("div");
  const more = h("p", { class: "controls" });
  const el = h("div", {},
    viewHead("Dead letters", "Entries that a group has given up on, payload and all. Redriving sends one back to the group that failed it, and to no other."),
    h("section", { class: "panel", "aria-label": "Filter" }, form, counts),
    panel("Letters", { "data-testid": "dlq-panel" },
      h("div", { class: "controls lever" }, h("label", { class: "check" }, all, "All on this page"), redriveChosen, purgeChosen, redriveAll, purgeAll),
      bulk.el, trouble, status, h("div", { class: "live" }, table.el), more));

  function chosenChanged() {
    setText(redriveChosen, `Redrive selected (${chosen.size})…`);
    setText(purgeChosen, `Purge selected (${chosen.size})…`);
    redriveChosen.disabled = purgeChosen.disabled = chosen.size === 0;
    all.checked = letters.length > 0 && letters.every((letter) => chosen.has(letter.letter_id));
  }

  function filter() {
    const wanted = {};
    for (const name of ["type", "order_id", "reason", "entry"]) if (query.get(name)) wanted[name] = query.get(name);
    for (const name of ["since_ms", "until_ms"]) if (query.get(name)) wanted[name] = Number(query.get(name));
    return wanted;
  }

  function apply() {
    typing = false;
    const value = (name) => controls[name].value.trim();
    go(link("dead-letters", [], {
      group: value("group"), type: value("type"), order_id: value("order_id"), reason: value("reason"), entry: value("entry"),
      since_ms: localInput(value("since")), until_ms: localInput(value("until")), order: value("order") === "asc" ? "asc" : "",
    }));
  }

  async function load(quiet = false) {
    clearTimeout(timer);
    const mine = (turn += 1);
    const group = controls.group.value;
    if (!group) return;
    try {
      const [page, overall] = await Promise.all([
        get(path`/api/groups/${group}/dead-letters`, { ...filter(), order: query.get("order") ?? "desc", from: query.get("from"), count: 50 }),
        get("/api/dead-letters"),
      ]);
      if (mine !== turn) return;
      letters = page.letters;
      trouble.replaceChildren();
      table.update(letters);
      setText(status, `${plural(letters.length, "letter")} on this page${page.scanned > letters.length ? `, ${count(page.scanned)} looked at` : ""}${page.next ? "; there are more" : ""}.`);
      setText(counts, overall.groups.map((one) => `${one.group}: ${plural(one.count, "letter")}${one.dropped ? `, ${count(one.dropped)} dropped for want of room` : ""}`).join(" · "));
      more.replaceChildren(...(page.next ? [h("a", { class: "button", href: link("dead-letters", [], { ...Object.fromEntries(query), group, from: page.next }), "data-testid": "next-page" }, "Next page")] : []));
      chosenChanged();
    } catch (error) {
      if (mine !== turn || (quiet && error.status >= 500)) { /* what is shown stays */ } else trouble.replaceChildren(problemNotice(error, () => load()));
    }
    if (mine === turn) timer = setTimeout(() => load(true), REFRESH_MS);
  }

  chosenChanged();
  return {
    el,
    show(route) {
      query = route.query;
      chosen.clear();
      const group = query.get("group");
      if (group) {
        if (![...controls.group.options].some((option) => option.value === group)) controls.group.append(h("option", { value: group }, group));
        controls.group.value = group;
      }
      if (!typing) {
        for (const name of ["type", "order_id", "reason", "entry"]) controls[name].value = query.get(name) ?? "";
        controls.since.value = toLocalInput(query.get("since_ms"));
        controls.until.value = toLocalInput(query.get("until_ms"));
        controls.order.value = query.get("order") ?? "desc";
      }
      load();
    },
    update(live) {
      const groups = (live.state?.groups ?? []).filter((one) => one.managed);
      const had = controls.group.value;
      if (!had && !controls.group.dataset.wanted) controls.group.dataset.wanted = (groups.find((one) => one.dead_letters > 0) ?? groups[0])?.name ?? "";
      setOptions(controls.group, groups.map((one) => [one.name, one.name]));
      if (!had && controls.group.value) load();
    },
    close() {
      turn += 1;
      clearTimeout(timer);
      bulk.close();
    },
  };
}
