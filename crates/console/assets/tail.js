// The live tail: new entries as they are written, filtered by the console, paused by the reader, bounded in number.

import { askLogin, eventsUrl } from "./api.js";
import { h, setText, show } from "./dom.js";
import { count, plural } from "./format.js";
import { go, link } from "./router.js";
import { session } from "./session.js";
import { entryTable } from "./table.js";
import { button, field, input, notice, panel, select, viewHead } from "./ui.js";

const KEPT = 500;
const RETRY_MS = 2000;
/** However fast entries come, the list is drawn this often at most. */
const DRAW_MS = 200;
const FILTERS = ["type", "order_id", "customer", "contains"];

export function create() {
  let source = null;
  let closed = false;
  let filters = {};
  let retry = 0;
  let drawing = 0;
  let paused = false;
  let rows = [];
  let waiting = [];
  let skipped = 0;
  let seen = 0;
  let overflowed = 0;

  const controls = {
    type: select("type", [["", "any"], ...session.event_types.map((name) => [name, name])], {
      "data-testid": "tail-type",
    }),
    order_id: input("text", "order_id", { "data-testid": "tail-order-id" }),
    customer: input("text", "customer", { "data-testid": "tail-customer" }),
    contains: input("text", "contains", { "data-testid": "tail-contains" }),
  };
  const form = h(
    "form",
    {
      class: "form-row",
      "data-testid": "tail-form",
      onsubmit: (event) => {
        event.preventDefault();
        go(link("tail", [], Object.fromEntries(new FormData(form))));
      },
    },
    field("Type", controls.type),
    field("Order ID", controls.order_id),
    field("Customer", controls.customer),
    field("Any value contains", controls.contains),
    h("button", { type: "submit", "data-testid": "tail-apply" }, "Apply"),
    h("a", { class: "button quiet", href: link("tail") }, "No filter"),
  );

  const pauseButton = button("Pause", () => setPaused(!paused), { "data-testid": "tail-pause" });
  const clearButton = button(
    "Clear",
    () => {
      rows = [];
      waiting = [];
      seen = 0;
      skipped = 0;
      overflowed = 0;
      draw();
    },
    { "data-testid": "tail-clear" },
  );
  const status = h("p", { class: "muted", "data-testid": "tail-status" });
  const lost = h("p", { class: "notice warn", hidden: true, role: "status", "data-testid": "tail-lost" });
  const skippedNote = h("p", { class: "notice warn", hidden: true, "data-testid": "tail-skipped" });
  const table = entryTable(
    "New entries, newest first",
    "tail-table",
    notice(
      "empty",
      "Waiting for new entries",
      "What is written from now on appears here, newest first. For what was written before, use Replay.",
    ),
  );
  const list = h(
    "div",
    { role: "log", "aria-live": "off", "aria-label": "New entries", "data-testid": "tail-list" },
    table.el,
  );
  const el = h(
    "div",
    {},
    viewHead(
      "Live tail",
      `New entries as they are written, the newest ${KEPT} of them. Reading here takes nothing away from any group.`,
    ),
    h("section", { class: "panel", "aria-label": "Filter" }, form),
    panel(
      "Entries",
      { "data-testid": "tail-panel" },
      h("div", { class: "controls" }, pauseButton, clearButton, status),
      lost,
      skippedNote,
      list,
    ),
  );

  function setPaused(wanted) {
    paused = wanted;
    setText(pauseButton, paused ? "Go on" : "Pause");
    if (!paused) {
      rows = [...waiting, ...rows].slice(0, KEPT);
      waiting = [];
      overflowed = 0;
    }
    draw();
  }

  function draw() {
    if (drawing) return;
    drawing = setTimeout(() => {
      drawing = 0;
      table.update(rows);
      const held = waiting.length + overflowed;
      setText(
        status,
        paused
          ? `Paused. ${plural(held, "new entry", "new entries")} meanwhile${overflowed ? `, of which the newest ${KEPT} are kept` : ""}.`
          : `${plural(seen, "entry", "entries")} since this was opened; ${count(rows.length)} shown.`,
      );
      show(skippedNote, skipped > 0);
      setText(
        skippedNote,
        `${plural(skipped, "entry", "entries")} skipped: they came faster than this browser took them. They are in the stream; use Replay to see them.`,
      );
    }, DRAW_MS);
  }

  function away(text) {
    show(lost, text != null);
    if (text != null) setText(lost, text);
  }

  function open() {
    close();
    source = new EventSource(eventsUrl("/api/tail", filters));
    source.addEventListener("open", () => away(null));
    source.addEventListener("entry", (event) => {
      seen += 1;
      const list = paused ? waiting : rows;
      list.unshift(JSON.parse(event.data));
      if (list.length > KEPT) {
        list.length = KEPT;
        if (paused) overflowed += 1;
      }
      draw();
    });
    source.addEventListener("skipped", (event) => {
      skipped += JSON.parse(event.data).count;
      draw();
    });
    source.addEventListener("away", (event) =>
      away(`Redis is away: ${JSON.parse(event.data).reason ?? "no answer"}. The tail goes on when it is back.`),
    );
    source.addEventListener("back", () => away(null));
    source.addEventListener("error", () => {
      close();
      away("The connection to the console is lost. Trying again; what is written meanwhile is not shown here.");
      retry = setTimeout(async () => {
        await askLogin();
        if (!closed && !source) open();
      }, RETRY_MS);
    });
  }

  function close() {
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  return {
    el,
    show(route) {
      filters = {};
      for (const name of FILTERS) {
        const value = route.query.get(name) ?? "";
        filters[name] = value;
        const control = controls[name];
        if (control.tagName === "SELECT" && value && ![...control.options].some((option) => option.value === value))
          control.append(h("option", { value }, value));
        control.value = value;
      }
      rows = [];
      waiting = [];
      draw();
      open();
    },
    close() {
      closed = true;
      clearTimeout(drawing);
      close();
    },
  };
}
