// One consumer group on the overview: its figures, charts and levers, and its consumers.

import { COLUMNS, consumerRow } from "./consumer.js";
import { sparkline } from "./sparkline.js";
import { h, keyed, setAttr, setOptions, setText, show } from "./dom.js";
import { count, duration, plural, rate } from "./format.js";
import { rates, series } from "./live.js";
import { pull } from "./pull.js";
import { link } from "./router.js";
import { brief, button, entryLink, field, input, notice, select, setTag, tag } from "./ui.js";

/** A group can have hundreds of consumers; more than this are shown when asked for. */
const CONSUMERS_SHOWN = 20;

export function groupCard(first) {
  const name = first.name;
  const id = (word) => `${word}-${name}`;
  let latest = first;

  const stat = (label, key, node = h("dd"), hint = null) => {
    setAttr(node, "data-testid", `${id("group")}-${key}`);
    return [h("div", {}, h("dt", { title: hint }, label), node), node];
  };
  const pendingLink = h("a", { href: link("pending", [], { group: name }) });
  const deadLink = h("a", { href: link("dead-letters", [], { group: name }) });
  const lastId = h("dd");
  const [lagBox, lag] = stat("Lag", "lag", h("dd"), "Entries that the group has not been given yet");
  const [lagTimeBox, lagTime] = stat(
    "Lag in time",
    "lag-time",
    h("dd"),
    "Age of the oldest entry that it has not been given yet",
  );
  const [pendingBox, pending] = stat(
    "Pending",
    "pending",
    h("dd", {}, pendingLink),
    "Given to a consumer and not acked yet",
  );
  const [oldestBox, oldest] = stat("Oldest pending", "oldest-pending");
  const [deadBox, dead] = stat("Dead letters", "dead-letters", h("dd", {}, deadLink));
  const [redriveBox, redrive] = stat("Sent back, waiting", "redrive-queued");
  const [ackedBox, acked] = stat("Acked", "acked");
  const [lastBox] = stat("Last delivered", "last-delivered", lastId);

  const ackSpark = sparkline("Acks a second", rate);
  const lagSpark = sparkline("Lag", count, "second");
  const ackNow = h("strong");
  const lagNow = h("strong");

  const autoTag = tag("", "");
  const autoButton = button("", (event) => pull("claiming", event.currentTarget, name, latest.claim_auto !== true), {
    class: "small",
    "data-testid": id("claim-auto"),
  });
  const pauseButton = button("Pause all", (event) => pull("pauseGroup", event.currentTarget, name, true), {
    class: "small",
    "data-testid": id("pause-all"),
    "aria-label": `Pause all of ${name}`,
  });
  const resumeButton = button("Resume all", (event) => pull("pauseGroup", event.currentTarget, name, false), {
    class: "small",
    "data-testid": id("resume-all"),
    "aria-label": `Resume all of ${name}`,
  });
  const controls = h("div", { class: "controls lever" }, autoButton, pauseButton, resumeButton);

  const newName = input("text", "name", {
    required: true,
    maxlength: 200,
    placeholder: "worker-d",
    "data-testid": id("add-name"),
  });
  const newProcess = select("process", [["", "any process"]], { "data-testid": id("add-process") });
  const addButton = h("button", { type: "submit", "data-testid": id("add-consumer") }, "Add consumer");
  const addForm = h(
    "form",
    {
      class: "form-row lever",
      "data-testid": id("add-form"),
      "aria-label": `Add a consumer to ${name}`,
      onsubmit: async (event) => {
        event.preventDefault();
        if (await pull("addConsumer", addButton, name, newName.value.trim(), newProcess.value)) newName.value = "";
      },
    },
    field("New consumer's name", newName),
    field("In process", newProcess),
    addButton,
  );

  const result = h("div", { "aria-live": "polite", "data-testid": id("claim-panel") });
  const onClaimed = (shown) =>
    result.replaceChildren(
      shown,
      h(
        "p",
        {},
        button("Close", () => result.replaceChildren(), { class: "small quiet" }),
      ),
    );

  const unreachable = h("div", { class: "notice warn", hidden: true, "data-testid": id("unreachable") });
  const filter = input("search", "filter", {
    placeholder: "part of a name",
    "data-testid": id("consumer-filter"),
    oninput: () => drawConsumers(),
  });
  const filterBox = field("Filter consumers", filter, null, { hidden: true });
  const table = h(
    "table",
    { class: "data consumers-table", role: "table", "data-testid": id("consumers") },
    h("caption", { class: "sr" }, `Consumers of ${name}`),
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        COLUMNS.map((head, index) =>
          h(
            "th",
            {
              scope: "col",
              role: "columnheader",
              class: index >= 2 && index <= 5 ? "num" : head === "Levers" ? "lever" : null,
            },
            head,
          ),
        ),
      ),
    ),
  );
  let all = false;
  const more = button(
    "",
    () => {
      all = !all;
      drawConsumers();
    },
    { class: "quiet", hidden: true, "data-testid": id("all-consumers") },
  );
  const none = h(
    "div",
    { hidden: true },
    notice(
      "empty",
      "No consumers",
      "Nobody reads for this group now. Start a worker, or add a consumer to a running one.",
    ),
  );
  const rows = keyed(
    table,
    (consumer) => consumer.name,
    (consumer) => consumerRow(name, consumer, onClaimed),
    table.tHead,
  );

  function drawConsumers() {
    const wanted = filter.value.trim().toLowerCase();
    const members = latest.consumers.filter((one) => one.name.toLowerCase().includes(wanted));
    const shown = all ? members : members.slice(0, CONSUMERS_SHOWN);
    rows(shown, latest);
    show(table, shown.length > 0);
    show(none, latest.consumers.length === 0);
    show(filterBox, latest.consumers.length > CONSUMERS_SHOWN);
    show(more, members.length > CONSUMERS_SHOWN);
    setText(more, all ? `Show the first ${CONSUMERS_SHOWN} only` : `Show all ${count(members.length)} consumers`);
  }

  const el = h(
    "section",
    { class: "panel", "data-testid": id("group"), "aria-labelledby": id("group-title") },
    h(
      "div",
      { class: "group-head" },
      h(
        "h3",
        { id: id("group-title"), tabindex: "-1" },
        brief(name, 80),
        first.managed ? null : tag("", "foreign group"),
        autoTag,
        h("span", { class: "old" }, "old values"),
      ),
      controls,
    ),
    h(
      "div",
      { class: "live group-body" },
      h("dl", { class: "stats" }, lagBox, lagTimeBox, pendingBox, oldestBox, deadBox, redriveBox, ackedBox, lastBox),
      h(
        "div",
        { class: "group-charts" },
        h("div", {}, h("p", {}, "Acks ", ackNow), ackSpark.el),
        h("div", {}, h("p", {}, "Lag ", lagNow), lagSpark.el),
      ),
    ),
    unreachable,
    h("div", { class: "consumers live" }, filterBox, table, none, more),
    result,
    addForm,
  );

  return {
    el,
    update(group, processes) {
      latest = group;
      for (const [node, value] of [
        [lag, group.lag],
        [acked, group.totals?.acked],
        [redrive, group.redrive_queued],
      ]) {
        setText(node, count(value));
        setAttr(node, "data-value", value);
      }
      setText(lagTime, group.lag === 0 ? "none" : duration(group.lag_ms));
      setText(pendingLink, count(group.pending));
      setAttr(pending, "data-value", group.pending);
      setText(oldest, group.pending === 0 ? "none" : duration(group.oldest_pending_ms));
      setText(deadLink, count(group.dead_letters));
      setAttr(dead, "data-value", group.dead_letters);
      if (lastId.dataset.value !== group.last_delivered_id) {
        lastId.dataset.value = group.last_delivered_id;
        lastId.replaceChildren(group.last_delivered_id === "0-0" ? "nothing yet" : entryLink(group.last_delivered_id));
      }
      show(redriveBox, Boolean(group.redrive_queued));
      show(ackedBox, group.managed);
      show(deadBox, group.managed);

      const acks = rates((point) => point.groups[name]?.acked);
      const lags = series((point) => point.groups[name]?.lag);
      ackSpark.update(acks);
      lagSpark.update(lags);
      setText(ackNow, rate(acks.at(-1)));
      setText(lagNow, count(group.lag));

      const auto = group.claim_auto;
      show(autoTag, group.managed);
      setTag(
        autoTag,
        auto === true ? "ok" : auto === false ? "warn" : "",
        auto == null
          ? "automatic claiming unknown"
          : `automatic claiming ${auto ? "on" : "off"}, idle ≥ ${duration(group.claim_min_idle_ms)}`,
      );
      setText(autoButton, auto === true ? "Claim by hand only" : "Claim automatically");
      setAttr(autoButton, "aria-label", `${auto === true ? "Claim by hand only" : "Claim automatically"}: ${name}`);
      const mine = processes.filter((one) => one.group === name);
      // Levers need somebody who hears them.
      const heard = group.managed && mine.some((one) => one.reachable);
      show(controls, heard);
      show(addForm, heard);
      setOptions(newProcess, [
        ["", "any process"],
        ...mine.filter((one) => one.reachable).map((one) => [one.id, one.id]),
      ]);
      const silent = mine.filter((one) => !one.reachable);
      show(unreachable, silent.length > 0);
      if (silent.length > 0) {
        setText(
          unreachable,
          `${plural(silent.length, "process", "processes")} cannot be reached: ${silent
            .slice(0, 3)
            .map((one) => `${one.id} at ${one.address}${one.reason ? ` (${one.reason})` : ""}`)
            .join(
              "; ",
            )}${silent.length > 3 ? "; …" : ""}. What Redis knows of its consumers is shown; the rest is unknown.`,
        );
      }
      drawConsumers();
    },
  };
}
