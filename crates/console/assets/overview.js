// The overview: the stream, its totals and rates, every group with its consumers and levers, the newest entries.

import { sparkline } from "./sparkline.js";
import { h, keyed, setAttr, setText, show } from "./dom.js";
import { ago, count, idTime, rate, time } from "./format.js";
import { groupCard } from "./group.js";
import { now, rates, series } from "./live.js";
import { produceForm } from "./produce.js";
import { session } from "./session.js";
import { entryTable } from "./table.js";
import { entryLink, notice, panel, skeleton, viewHead } from "./ui.js";

/** A total with its rate and its chart. */
function tile(label, key, pick, withChart = true) {
  const value = h("dd", { class: "big", "data-testid": `total-${key}` });
  const side = h("dd", { class: "side" });
  const spark = withChart ? sparkline(`${label} a second`, rate) : null;
  return {
    el: h(
      "div",
      { class: "tile", "data-testid": `tile-${key}` },
      h("dt", {}, label),
      value,
      side,
      spark ? h("dd", {}, spark.el) : null,
    ),
    update(state) {
      const total = pick(state);
      setText(value, count(total));
      setAttr(value, "data-value", total);
      const all = rates((point) => pick(point));
      setText(side, rate(all.at(-1)));
      spark?.update(all);
    },
  };
}

function streamTile() {
  const value = h("dd", { class: "big", "data-testid": "stream-length" });
  const side = h("dd", { class: "side" });
  const spark = sparkline("Length", count);
  return {
    el: h(
      "div",
      { class: "tile", "data-testid": "tile-length" },
      h("dt", {}, "Stream length"),
      value,
      side,
      h("dd", {}, spark.el),
    ),
    update(state) {
      setText(value, count(state.stream.length));
      setAttr(value, "data-value", state.stream.length);
      setText(side, `${count(state.stream.entries_added)} ever added`);
      spark.update(series((point) => point.length));
    },
  };
}

function rangeTile() {
  const place = { first: h("dd", { "data-testid": "first-id" }), last: h("dd", { "data-testid": "last-id" }) };
  const span = h("dd", { class: "side" });
  return {
    el: h(
      "div",
      { class: "tile double", "data-testid": "tile-range" },
      h("dt", {}, "First entry"),
      place.first,
      h("dt", {}, "Last entry"),
      place.last,
      span,
    ),
    update(state) {
      for (const [name, id] of [
        ["first", state.stream.first_id],
        ["last", state.stream.last_id],
      ]) {
        if (place[name].dataset.value === String(id)) continue;
        place[name].dataset.value = String(id);
        place[name].replaceChildren(id ? entryLink(id) : "none");
      }
      const ms = state.stream.last_id ? idTime(state.stream.last_id) : null;
      setText(span, ms == null ? "The stream is empty" : `${ago(now() - ms)}, ${time(ms)}`);
    },
  };
}

export function create() {
  const tiles = [
    streamTile(),
    rangeTile(),
    tile("Produced", "produced", (at) => at.totals?.produced),
    tile("Acked", "acked", (at) => at.totals?.acked),
    tile("Claimed", "claimed", (at) => at.totals?.claimed),
    tile("Retried", "retried", (at) => at.totals?.retried),
    tile("Dead-lettered", "dead-lettered", (at) => at.totals?.dead_lettered),
  ];
  const figures = h(
    "dl",
    { class: "tiles live", "data-testid": "totals", "aria-label": "Totals" },
    tiles.map((one) => one.el),
  );
  const groups = h("div", { "data-testid": "groups" });
  const noGroups = h(
    "div",
    { class: "apart", hidden: true, "data-testid": "no-groups" },
    notice(
      "empty",
      "No groups yet",
      "Nobody has read this stream. A group appears as soon as a worker of it starts:",
      h(
        "p",
        {},
        h("code", {}, "notifications-worker"),
        ", ",
        h("code", {}, "analytics-worker"),
        ", or all of them with ",
        h("code", {}, "orderflow up"),
        ".",
      ),
    ),
  );
  const leftOut = h("p", { class: "notice warn apart", hidden: true, "data-testid": "left-out" });
  let processes = [];
  const updateGroups = keyed(
    groups,
    (group) => group.name,
    (group) => {
      const card = groupCard(group);
      return { el: card.el, update: (next) => card.update(next, processes) };
    },
  );
  const newest = entryTable(
    "Newest entries",
    "newest",
    notice("empty", "The stream is empty", "Produce an event, here or with POST /v1/events of producer-api."),
  );
  const waiting = h("div", { "data-testid": "waiting" }, skeleton());
  const groupsTitle = h("h2", { class: "sr" }, "Consumer groups");
  const body = h(
    "div",
    { hidden: true },
    figures,
    produceForm(),
    h("section", {}, groupsTitle, groups, noGroups, leftOut),
    panel("Newest entries", { "data-testid": "newest-panel" }, h("div", { class: "live" }, newest.el)),
  );
  const neverSeen = notice(
    "warn",
    "Nothing to show yet",
    "Redis has not been reached since the console started. What it holds appears here as soon as it answers.",
  );

  return {
    el: h("div", {}, viewHead("Overview", `The stream ${session.stream} and who reads it, live.`), waiting, body),
    update(live) {
      if (!live.state) {
        const away = live.redis && !live.redis.available;
        if (away && !neverSeen.isConnected) waiting.replaceChildren(neverSeen);
        return;
      }
      show(waiting, false);
      show(body, true);
      for (const one of tiles) one.update(live.state);
      processes = live.state.processes ?? [];
      updateGroups(live.state.groups);
      show(noGroups, live.state.groups.length === 0);
      const omitted = live.state.left_out ?? [];
      show(leftOut, omitted.length > 0);
      setText(leftOut, `${omitted.join("; ")}: there are too many to show them all.`);
      newest.update(live.state.tail ?? []);
    },
  };
}
