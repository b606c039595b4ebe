// Pending entries of a group (XPENDING): who holds them, for how long, delivered how often; and claiming them.

import { get, path } from "./api.js";
import { h, setOptions, setText, show } from "./dom.js";
import { count, duration } from "./format.js";
import { claim } from "./levers.js";
import { go, link } from "./router.js";
import { dataTable } from "./table.js";
import { brief, button, entryLink, field, input, notice, panel, problemNotice, select, viewHead } from "./ui.js";

const REFRESH_MS = 2000;

export function create() {
  let query = null;
  let threshold = null;
  let timer = 0;
  let running = null;
  let loaded = false;
  let closed = false;

  const group = select("group", [], { "data-keep": "", "data-testid": "pending-group", onchange: apply });
  const consumer = select("consumer", [["", "any"]], {
    "data-keep": "",
    "data-testid": "pending-consumer",
    onchange: apply,
  });
  const minIdle = input("number", "min_idle_ms", {
    min: 0,
    placeholder: "0",
    "data-testid": "pending-min-idle",
    onchange: apply,
  });
  const pageSize = select(
    "count",
    [
      ["20", "20"],
      ["50", "50"],
      ["200", "200"],
    ],
    { "data-testid": "pending-count", onchange: apply },
  );
  const auto = h("input", { type: "checkbox", checked: true, "data-testid": "pending-auto" });
  const form = h(
    "form",
    {
      class: "form-row",
      "data-testid": "pending-form",
      onsubmit: (event) => {
        event.preventDefault();
        apply();
      },
    },
    field("Group", group),
    field("Consumer", consumer),
    field("Idle for at least (ms)", minIdle),
    field("Rows", pageSize),
    h("label", { class: "check" }, auto, "Refresh every 2 s"),
    h("button", { type: "submit" }, "Refresh"),
  );

  const target = select("target", [], { "data-testid": "claim-target" });
  const claimButton = button("XAUTOCLAIM to selected consumer", claimNow, {
    class: "primary",
    "data-testid": "claim-submit",
  });
  const hint = h("p", { class: "muted", "data-testid": "claim-hint" });
  const result = h("div", { "aria-live": "polite", "data-testid": "claim-panel" });
  const claimPanel = panel(
    "Claim what is stuck",
    { class: "panel lever", "data-testid": "claim" },
    hint,
    h("div", { class: "form-row" }, field("Consumer", target), claimButton),
    result,
  );

  const table = dataTable({
    caption: "Pending entries",
    testid: "pending-table",
    kind: "stack pairs",
    key: (row) => row.id,
    rowTestid: (row) => `pending-${row.id}`,
    columns: [
      { head: "ID", class: "nowrap", make: (row) => entryLink(row.id) },
      {
        head: "Consumer",
        field: "consumer",
        make: (row) => brief(row.consumer, 60),
        update: (el, row) => setText(el, row.consumer.slice(0, 60)),
      },
      { head: "Idle", num: true, field: "idle", text: (row) => duration(row.idle_ms) },
      {
        head: "Claimable",
        field: "claimable",
        text: (row) =>
          threshold == null || row.idle_ms == null
            ? "unknown"
            : row.idle_ms >= threshold
              ? "yes: idle for long enough"
              : `in ${duration(threshold - row.idle_ms)}`,
      },
      { head: "Deliveries", num: true, field: "deliveries", text: (row) => count(row.deliveries) },
    ],
    empty: notice("empty", "Nothing is pending", "Every entry that was given to a consumer here has been acked."),
  });
  const more = h("p", { class: "controls" });
  const trouble = h("div");
  const total = h("p", { class: "muted", "data-testid": "pending-total" });
  const el = h(
    "div",
    {},
    viewHead(
      "Pending entries",
      "Entries that a consumer was given and has not acked (XPENDING). A crash leaves them here until somebody claims them.",
    ),
    h("section", { class: "panel", "aria-label": "Filter" }, form),
    claimPanel,
    panel("Entries", { "data-testid": "pending-panel" }, total, trouble, h("div", { class: "live" }, table.el), more),
  );

  function apply() {
    // A field that is taken away while it is edited reports a change: that must not lead back here.
    if (closed) return;
    go(
      link("pending", [], {
        group: group.value,
        consumer: consumer.value,
        min_idle_ms: minIdle.value,
        count: pageSize.value === "50" ? "" : pageSize.value,
      }),
    );
  }

  async function claimNow(event) {
    const answer = await claim(event.currentTarget, group.value, target.value, (shown) =>
      result.replaceChildren(shown),
    );
    if (answer) load();
  }

  async function load() {
    clearTimeout(timer);
    running?.abort();
    const mine = (running = new AbortController());
    if (query && group.value) {
      try {
        const page = await get(
          path`/api/groups/${group.value}/pending`,
          {
            consumer: query.get("consumer"),
            min_idle_ms: query.get("min_idle_ms"),
            after: query.get("after"),
            count: query.get("count") ?? 50,
          },
          mine.signal,
        );
        loaded = true;
        table.update(page.entries);
        trouble.replaceChildren();
        const first = query.has("after");
        more.replaceChildren(
          ...(first
            ? [h("a", { class: "button", href: pageLink(null), "data-testid": "first-page" }, "First page")]
            : []),
          ...(page.next
            ? [h("a", { class: "button", href: pageLink(page.next), "data-testid": "next-page" }, "Next page")]
            : []),
        );
      } catch (error) {
        if (error.name === "AbortError") return;
        // Values already shown stay; the banner says that they are old if Redis is away.
        if (!loaded || error.status < 500) trouble.replaceChildren(problemNotice(error, load));
      }
    }
    if (mine === running) timer = setTimeout(() => (auto.checked && !document.hidden ? load() : rearm()), REFRESH_MS);
  }

  function rearm() {
    timer = setTimeout(() => (auto.checked && !document.hidden ? load() : rearm()), REFRESH_MS);
  }

  const pageLink = (after) => link("pending", [], { ...Object.fromEntries(query), after });

  return {
    el,
    show(route) {
      query = route.query;
      group.dataset.wanted = query.get("group") ?? "";
      consumer.dataset.wanted = query.get("consumer") ?? "";
      for (const control of [group, consumer]) {
        const wanted = control.dataset.wanted;
        if (wanted && control.value !== wanted) {
          if (![...control.options].some((option) => option.value === wanted))
            control.append(h("option", { value: wanted }, wanted));
          control.value = wanted;
        }
      }
      if (!query.get("consumer")) consumer.value = "";
      if (document.activeElement !== minIdle) minIdle.value = query.get("min_idle_ms") ?? "";
      pageSize.value = query.get("count") ?? "50";
      load();
    },
    update(live) {
      const groups = live.state?.groups ?? [];
      const had = group.value;
      if (!had && !group.dataset.wanted) {
        // Without a wish: the group that has something pending.
        group.dataset.wanted = (groups.find((one) => one.pending > 0) ?? groups[0])?.name ?? "";
      }
      setOptions(
        group,
        groups.map((one) => [one.name, one.name]),
      );
      const chosen = groups.find((one) => one.name === group.value);
      const members = chosen?.consumers ?? [];
      setOptions(consumer, [["", "any"], ...members.map((one) => [one.name, `${one.name} (${count(one.pending)})`])]);
      const takers = members.filter((one) => one.alive && ["running", "starting"].includes(one.state));
      setOptions(
        target,
        takers.map((one) => [one.name, one.name]),
      );
      show(claimPanel, Boolean(chosen?.managed));
      claimButton.disabled = takers.length === 0;
      threshold = chosen?.claim_min_idle_ms ?? null;
      setText(
        hint,
        takers.length === 0
          ? "No consumer of this group can claim now: none is running in a process that can be reached."
          : `The consumer takes over every entry of the group that has been idle for at least ${duration(threshold)}, whoever holds it, and processes it. The claim counts as a delivery.`,
      );
      setText(
        total,
        !chosen
          ? ""
          : chosen.pending === 0
            ? `Nothing is pending in ${chosen.name}.`
            : `${count(chosen.pending)} pending in ${chosen.name}, the oldest for ${duration(chosen.oldest_pending_ms)}.`,
      );
      if (!had && group.value) load();
    },
    close() {
      closed = true;
      clearTimeout(timer);
      running?.abort();
      running = null;
    },
  };
}
