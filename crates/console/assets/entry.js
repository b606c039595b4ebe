// One entry: its fields, and where each group stands with it.

import { get, path } from "./api.js";
import { h } from "./dom.js";
import { count, dateTime, duration, idTime } from "./format.js";
import { afterOutage } from "./live.js";
import { link } from "./router.js";
import { brief, button, fieldList, notice, panel, problemNotice, skeleton, tag, viewHead } from "./ui.js";

const STATES = {
  undelivered: ["info", "not delivered yet", "The group has not come to it."],
  pending: ["warn", "pending", "Delivered and not acked yet."],
  waiting_for_retry: ["warn", "waiting for a retry", "An attempt failed; the consumer tries again when it is due."],
  dead_letter: ["bad", "dead letter", "Given up on; it can be sent back."],
  sent_back: ["info", "sent back", "A dead letter that waits to be read again."],
  done: ["ok", "done", "Acked."],
  gone: ["", "gone", "It is not in the stream, and nothing tells that the group was given it before."],
  unknown: ["", "unknown", "The group is past it; it may be among dead letters that are too many to look through."],
};

function standing(group) {
  const [kind, word, meaning] = STATES[group.state] ?? ["", group.state, ""];
  const facts = [];
  if (group.consumer != null)
    facts.push([
      "Consumer",
      h(
        "a",
        { href: link("pending", [], { group: group.group, consumer: group.consumer }) },
        brief(group.consumer, 60),
      ),
    ]);
  if (group.idle_ms != null) facts.push(["Idle", duration(group.idle_ms)]);
  if (group.deliveries != null) facts.push(["Deliveries", count(group.deliveries)]);
  if (group.dead_letter_id != null)
    facts.push([
      "Dead letter",
      h("a", { class: "id", href: link("letter", [group.group, group.dead_letter_id]) }, group.dead_letter_id),
    ]);
  return h(
    "section",
    { class: "panel", "data-testid": `standing-${group.group}` },
    h("h3", {}, brief(group.group, 60), " ", tag(kind, word)),
    h("p", { class: "muted" }, meaning),
    facts.length > 0
      ? h(
          "dl",
          { class: "stats" },
          facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
        )
      : null,
  );
}

export function create() {
  const head = h("div");
  const body = h("div", { "data-testid": "entry" });
  let id = "";
  let turn = 0;

  const outage = afterOutage(() => load());

  async function load() {
    const mine = (turn += 1);
    head.replaceChildren(
      viewHead(
        ["Entry ", h("span", { class: "mono" }, id)],
        idTime(id) == null ? null : `Written ${dateTime(idTime(id))} (the time in its ID).`,
        button("Refresh", load, { "data-testid": "entry-refresh" }),
        h("a", { class: "button", href: link("replay", [], { start: id, order: "asc" }) }, "Replay from here"),
      ),
    );
    if (!body.firstChild) body.replaceChildren(skeleton(2));
    try {
      const entry = await get(path`/api/entries/${id}`);
      if (mine !== turn) return;
      body.replaceChildren(
        panel(
          "Fields",
          { "data-testid": "entry-fields" },
          entry.fields
            ? fieldList(entry.fields)
            : notice(
                "warn",
                "Not in the stream",
                "No entry has this ID: there never was one, or retention has removed it.",
              ),
        ),
        h(
          "section",
          { "aria-labelledby": "standings" },
          h("h2", { id: "standings" }, "Where the groups stand with it"),
          entry.groups.length === 0
            ? notice("empty", "No groups", "Nobody reads this stream yet.")
            : h("div", { class: "columns three standings" }, entry.groups.map(standing)),
        ),
      );
    } catch (error) {
      if (mine !== turn) return;
      outage.failed(error);
      body.replaceChildren(problemNotice(error, load));
    }
  }

  return {
    el: h("div", {}, head, body),
    show(route) {
      if (route.parts[0] !== id) body.replaceChildren();
      id = route.parts[0] ?? "";
      load();
      return `Entry ${id}`;
    },
    update: outage.update,
    close: () => {
      turn += 1;
    },
  };
}
