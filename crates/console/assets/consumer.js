// One consumer of a group: a row with its figures, its last entries and its levers, updated in place.

import { h, keyed, setAttr, setText, show } from "./dom.js";
import { ago, count, duration, time } from "./format.js";
import { now } from "./live.js";
import { pull } from "./pull.js";
import { link } from "./router.js";
import { brief, button, entryLink, setTag, uid } from "./ui.js";

const OUTCOMES = {
  acked: ["✓", "ok", "acked"],
  retried: ["↻", "warn", "will be retried"],
  postponed: ["⏸", "warn", "waits for its receiver"],
  dead_lettered: ["✕", "bad", "dead-lettered"],
  dropped: ["⊘", "bad", "dropped, still pending"],
  ownership_lost: ["⇄", "warn", "claimed by another"],
  released: ["↩", "info", "released"],
  abandoned: ["…", "warn", "abandoned"],
};
const outcomeOf = (outcome) => OUTCOMES[outcome] ?? ["?", "", String(outcome)];

const STATES = {
  running: ["ok", "running"],
  starting: ["info", "starting"],
  leaving: ["info", "leaving"],
  name_lost: ["warn", "name lost"],
  dead: ["bad", "dead"],
  unreachable: ["warn", "process unreachable"],
  unknown: ["", "unknown"],
};

function stateOf(consumer) {
  if (consumer.paused && consumer.state === "running") return ["warn", "paused"];
  return STATES[consumer.state] ?? ["", consumer.state];
}

/** "Crash next 3" is coming: how many are still to be dropped. */
function dropWords(consumer) {
  const words = [];
  if (consumer.drop_next) words.push(`drops the next ${count(consumer.drop_next)}`);
  if (consumer.dropped) words.push(`${count(consumer.dropped)} dropped`);
  if (consumer.in_flight) words.push(`${count(consumer.in_flight)} in flight`);
  if (consumer.parked) words.push(`${count(consumer.parked)} waiting for a retry`);
  return words.join(", ");
}

function recentItem() {
  const glyph = h("i", { "aria-hidden": "true" });
  const words = h("span");
  const type = h("span");
  const at = h("span", { class: "muted" });
  const reason = h("span", { class: "muted" });
  const id = h("span");
  return {
    el: h("li", {}, h("span", { class: "glyphs" }, glyph), id, type, words, reason, at),
    update(item) {
      const [sign, kind, text] = outcomeOf(item.outcome);
      setText(glyph, sign);
      if (glyph.className !== kind) glyph.className = kind;
      setText(words, item.attempt > 1 ? `${text} (attempt ${item.attempt})` : text);
      if (id.dataset.id !== item.id) {
        id.dataset.id = item.id;
        id.replaceChildren(entryLink(item.id));
      }
      setText(type, item.type == null ? "" : item.type.slice(0, 60));
      setText(reason, item.reason ? item.reason.slice(0, 300) : "");
      setText(at, time(item.at_ms));
    },
  };
}

export const COLUMNS = [
  "Consumer",
  "State",
  "Processed",
  "Pending",
  "Idle",
  "Reaped",
  "Recent entries",
  "Process",
  "Levers",
];

/** The row: a `<tbody>` of its own, so that what it opens belongs to it. */
export function consumerRow(group, first, onClaimed) {
  const name = first.name;
  const key = `${group}-${name}`;
  const cell = (label, fieldName, props, ...children) =>
    h("td", { role: "cell", "data-label": label, "data-field": fieldName, ...props }, children);
  const state = h("span", { class: "tag" });
  const extra = h("small", { class: "recent-line", "data-field": "extra" });
  const processed = cell("Processed", "processed", { class: "num" });
  const pendingLink = h("a", { href: link("pending", [], { group, consumer: name }), class: "id" });
  const pending = cell("Pending", "pending", { class: "num" }, pendingLink);
  const idle = cell("Idle", "idle", { class: "num nowrap" });
  const reaped = cell("Reaped", "reaped", { class: "num" });
  const glyphs = h("span", { class: "glyphs", "aria-hidden": "true" });
  const lastLine = h("span", { class: "recent-line" });
  const process = h("a", { href: link("workers"), class: "id" });
  const noProcess = h("span", { class: "muted" }, "none");
  const listId = uid("recent");
  const list = h("ul", { class: "recent-list", "data-testid": `recent-${key}` });
  const updateList = keyed(list, (item) => `${item.id} ${item.attempt} ${item.outcome} ${item.at_ms}`, recentItem);
  const moreRow = h(
    "tr",
    { role: "row", class: "more-row", id: listId, hidden: true },
    h("td", { role: "cell", colspan: COLUMNS.length }, list),
  );
  let latest = first;
  const toggle = button(
    "More",
    () => {
      const open = toggle.getAttribute("aria-expanded") !== "true";
      toggle.setAttribute("aria-expanded", String(open));
      show(moreRow, open);
      if (open) updateList(latest.recent ?? []);
    },
    {
      class: "quiet small",
      "aria-expanded": "false",
      "aria-controls": listId,
      "aria-label": `More: last entries of ${name}`,
      "data-testid": `recent-toggle-${key}`,
    },
  );

  const lever = (label, id, press, props = {}) =>
    button(label, (event) => press(event.currentTarget), {
      class: "small",
      "data-testid": `${id}-${key}`,
      "aria-label": `${label.replace("…", "")} ${name}`,
      ...props,
    });
  const pauseButton = lever("Pause", "pause", (control) => pull("pause", control, group, name, !latest.paused));
  const claimButton = lever("Claim now", "claim", (control) => pull("claim", control, group, name, onClaimed), {
    title: "XAUTOCLAIM to this consumer: it takes and processes what has been idle for long enough, whoever held it",
  });
  const handButton = lever("Hand over…", "handover", (control) => pull("handover", control, group, name));
  const removeButton = lever("Remove…", "remove", (control) => pull("removeConsumer", control, group, name), {
    class: "small warns",
  });
  const crashButton = lever("Crash next 3", "crash", (control) => pull("crash", control, group, name), {
    title: "Drops the next three deliveries without acking them, as a process that dies would",
  });
  const buttons = h("div", { class: "controls lever" }, pauseButton, claimButton, handButton, removeButton);

  const el = h(
    "tbody",
    { role: "rowgroup", "data-testid": `consumer-${key}` },
    h(
      "tr",
      { role: "row" },
      h("th", { scope: "row", role: "rowheader", class: "name", "data-label": "Consumer" }, brief(name, 60)),
      cell("State", "state", {}, h("div", {}, state, extra)),
      processed,
      pending,
      idle,
      reaped,
      cell(
        "Recent",
        "recent",
        { class: "recent" },
        h("div", {}, h("div", { class: "recent-head" }, glyphs, toggle), lastLine),
      ),
      cell("Process", "process", { class: "text" }, h("div", {}, process, noProcess)),
      cell("Levers", "levers", { class: "lever" }, buttons),
    ),
    moreRow,
  );

  return {
    el,
    update(consumer, groupState) {
      latest = consumer;
      setTag(state, ...stateOf(consumer));
      setText(extra, dropWords(consumer));
      // A process that cannot be reached has said nothing: its figures are unknown, not zero.
      const counters = consumer.counters;
      for (const [node, value] of [
        [processed, counters?.processed],
        [reaped, counters?.claimed],
      ]) {
        setText(node, count(value));
        setAttr(node, "data-value", value);
      }
      setText(pendingLink, count(consumer.pending));
      setAttr(pending, "data-value", consumer.pending);
      setAttr(pendingLink, "aria-label", `${count(consumer.pending)} pending at ${name}`);
      setText(idle, duration(consumer.idle_ms));
      const recent = consumer.recent ?? [];
      const signs = [...recent].reverse().map((item) => outcomeOf(item.outcome));
      const sign = signs.map((one) => one[0]).join("");
      if (glyphs.dataset.sign !== sign) {
        glyphs.dataset.sign = sign;
        glyphs.replaceChildren(...signs.map(([text, kind]) => h("i", { class: kind }, text)));
      }
      setText(
        lastLine,
        recent.length === 0
          ? consumer.state === "running"
            ? "nothing yet"
            : "none known"
          : `${outcomeOf(recent[0].outcome)[2]}${recent[0].type ? ` ${recent[0].type.slice(0, 30)}` : ""}, ${ago(now() - recent[0].at_ms)}`,
      );
      show(toggle.parentElement, recent.length > 0);
      if (!moreRow.hidden) updateList(recent);
      show(process, consumer.process != null);
      show(noProcess, consumer.process == null);
      if (consumer.process != null) setText(process, consumer.process);

      const reachable = ["running", "starting", "name_lost"].includes(consumer.state);
      const managed = groupState.managed;
      setText(pauseButton, consumer.paused ? "Resume" : "Pause");
      setAttr(pauseButton, "aria-label", `${consumer.paused ? "Resume" : "Pause"} ${name}`);
      for (const one of [pauseButton, claimButton, handButton]) show(one, managed && reachable);
      show(removeButton, managed && (reachable || consumer.state === "dead"));
      const faults = managed && reachable && groupState.fault_injection === true;
      if (faults && !crashButton.isConnected) claimButton.after(crashButton);
      else if (!faults && crashButton.parentNode) crashButton.remove();
    },
  };
}
