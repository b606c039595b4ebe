// Maintenance: trimming the stream by length or minimum ID, with what that would take away; resetting a demo.

import { get, path, post } from "./api.js";
import { ask } from "./dialog.js";
import { h, setText, show } from "./dom.js";
import { count, dateTime, idBefore, idTime, plural } from "./format.js";
import { live } from "./live.js";
import { session } from "./session.js";
import { done } from "./toast.js";
import { act, brief, field, input, notice, panel, viewHead } from "./ui.js";

/** At most this many entries are read to find out what a trim would remove. */
const LOOKED_AT = 500;

/** The oldest entry that an exact trim would keep, if it is near enough to an end to be looked up. */
async function firstKept(wanted) {
  if (wanted.min_id) return wanted.min_id;
  if (wanted.maxlen < 1 || wanted.maxlen > LOOKED_AT) return null;
  const page = await get("/api/entries", { start: "-", end: "+", order: "desc", count: wanted.maxlen });
  return page.entries.at(-1)?.id ?? null;
}

/** How many entries an exact trim would remove: `{n, least}`. */
async function removed(wanted, length) {
  if (wanted.maxlen != null) return { n: Math.max(0, length - wanted.maxlen), least: false };
  const page = await get("/api/entries", { start: "-", end: "+", order: "asc", count: LOOKED_AT });
  const older = page.entries.filter((entry) => idBefore(entry.id, wanted.min_id)).length;
  return { n: older, least: older === page.entries.length && page.next != null };
}

/** What a trim would do to one group, in words; null if nothing. */
async function loses(group, wanted, kept) {
  const words = [];
  const unread =
    wanted.maxlen != null
      ? group.lag == null
        ? "unknown"
        : Math.max(0, group.lag - wanted.maxlen)
      : group.lag === 0
        ? 0
        : idBefore(group.last_delivered_id, wanted.min_id)
          ? "some"
          : 0;
  if (unread === "unknown") words.push("its lag is unknown, so entries that it has not read may be among them");
  else if (unread === "some") words.push("it has not read up to that ID: entries that it has not read are removed");
  else if (unread > 0)
    words.push(`${plural(unread, "entry", "entries")} that it has not read ${unread === 1 ? "is" : "are"} removed`);
  if (group.pending > 0) {
    const oldest = (await get(path`/api/groups/${group.name}/pending`, { count: 1 })).entries[0];
    if (wanted.maxlen === 0 || (kept && oldest && idBefore(oldest.id, kept)))
      words.push("the payload of pending entries is removed: they become dead letters without a payload");
    else if (!kept) words.push(`it has ${count(group.pending)} pending, which may be among them`);
  }
  return words.length > 0 ? words.join("; ") : null;
}

export function create() {
  const length = input("number", "maxlen", { min: 0, required: true, value: 1000, "data-testid": "trim-maxlen" });
  const minId = input("text", "min_id", {
    placeholder: "1716998413541-0",
    pattern: "\\d+(-\\d+)?",
    "data-testid": "trim-min-id",
    oninput: sayTime,
  });
  const byLength = h("input", {
    type: "radio",
    name: "by",
    value: "length",
    checked: true,
    "data-testid": "trim-by-length",
    onchange: switched,
  });
  const byId = h("input", { type: "radio", name: "by", value: "id", "data-testid": "trim-by-id", onchange: switched });
  const exact = h("input", { type: "checkbox", name: "exact", "data-testid": "trim-exact" });
  const lengthField = field("Keep the newest", length, "MAXLEN: that many entries stay.");
  const idField = field("Remove entries before", minId, "MINID: an ID, or the milliseconds of one.");
  const submit = h("button", { type: "submit", class: "danger", "data-testid": "trim-submit" }, "Trim…");
  const now = h("p", { class: "muted", "data-testid": "trim-length" });
  const form = h(
    "form",
    {
      class: "trim-form",
      "data-testid": "trim-form",
      onsubmit: (event) => {
        event.preventDefault();
        act(submit, "Trimming", trim);
      },
    },
    h(
      "fieldset",
      { class: "plain" },
      h("legend", {}, "What stays"),
      h("label", { class: "check" }, byLength, "by length"),
      h("label", { class: "check" }, byId, "by minimum ID"),
    ),
    h(
      "div",
      { class: "form-row hints" },
      lengthField,
      idField,
      h("label", { class: "check" }, exact, "exactly (slower)"),
      submit,
    ),
  );
  const result = h("p", { role: "status", "data-testid": "trim-result" });

  function sayTime() {
    const ms = idTime(minId.value.trim());
    setText(
      idField.querySelector("small"),
      minId.value && ms
        ? `MINID: entries written before ${dateTime(ms)} go.`
        : "MINID: an ID, or the milliseconds of one.",
    );
  }

  function switched() {
    show(lengthField, byLength.checked);
    show(idField, byId.checked);
    length.required = byLength.checked;
    minId.required = byId.checked;
  }
  switched();

  async function trim() {
    const state = live.state;
    const wanted = byLength.checked ? { maxlen: Number(length.value) } : { min_id: minId.value.trim() };
    const groups = state?.groups ?? [];
    const [kept, gone] = await Promise.all([firstKept(wanted), removed(wanted, state?.stream.length ?? 0)]);
    const losses = (
      await Promise.all(groups.map(async (group) => [group.name, await loses(group, wanted, kept)]))
    ).filter(([, words]) => words);
    const most = `${gone.least ? "At least " : exact.checked ? "" : "At most "}${plural(gone.n, "entry", "entries")}`;
    const answer = await ask({
      title: "Trim the stream?",
      testid: "trim-dialog",
      danger: true,
      confirm: "Trim",
      body: [
        h(
          "p",
          {},
          `${most} of ${count(state?.stream.length)} would be removed from ${session.stream}, the oldest first. `,
          exact.checked
            ? "The trim is exact."
            : "The trim is approximate: only whole macro-nodes go, so fewer may be removed, or none.",
        ),
        losses.length > 0
          ? notice(
              "warn",
              "Groups that lose something",
              null,
              h(
                "ul",
                {},
                losses.map(([name, words]) => h("li", {}, h("strong", {}, brief(name)), ": ", words, ".")),
              ),
            )
          : h("p", {}, gone.n === 0 ? "No group loses anything." : "Every group has read and acked what goes."),
        h(
          "p",
          {},
          "Removed entries cannot be brought back. XTRIM waits for no group, whatever the retention policy is.",
        ),
      ],
    });
    if (!answer) return;
    const outcome = await post("/api/trim", { ...wanted, exact: exact.checked });
    const words = `${plural(outcome.deleted, "entry", "entries")} removed; ${count(outcome.length)} left.`;
    setText(
      result,
      outcome.deleted === 0 && !exact.checked
        ? `${words} An approximate trim removes whole macro-nodes only, and none was wholly out of range.`
        : words,
    );
    done(`Trimmed: ${words}`);
  }

  const resetButton = h(
    "button",
    {
      type: "button",
      class: "danger",
      "data-testid": "reset",
      onclick: (event) =>
        act(event.currentTarget, "Resetting", async () => {
          const answer = await ask({
            title: "Reset the demo?",
            testid: "reset-dialog",
            danger: true,
            confirm: "Delete everything and start anew",
            body: h(
              "p",
              {},
              `The stream ${session.stream} is deleted with its ${count(live.state?.stream.length)} entries, its groups, their pending entries and their dead letters; all totals and the figures of analytics begin again at 0. Every consumer is removed, and those that the demo begins with are added anew.`,
            ),
          });
          if (!answer) return;
          const outcome = await post("/api/reset");
          done(`The demo begins anew with ${plural(outcome.consumers, "consumer")}.`);
        }),
    },
    "Reset the demo…",
  );

  return {
    el: h(
      "div",
      {},
      viewHead("Maintenance", "What changes the stream itself."),
      session.read_only
        ? notice(
            "empty",
            "This console is read-only",
            "It shows everything and changes nothing; trimming and resetting are not offered.",
          )
        : null,
      panel(
        "Trim (XTRIM)",
        { class: "panel lever", "data-testid": "trim" },
        now,
        form,
        result,
        h(
          "details",
          { "data-testid": "trim-explained" },
          h("summary", {}, "Why an approximate trim removes less than asked"),
          h(
            "p",
            {},
            "Redis keeps a stream in macro-nodes of up to 100 entries (",
            h("code", {}, "stream-node-max-entries"),
            "). An approximate trim (",
            h("code", {}, "MAXLEN ~"),
            " or ",
            h("code", {}, "MINID ~"),
            ") lets go of whole macro-nodes only, which is much cheaper than rewriting one. On a stream of 300 entries ",
            h("code", {}, "MAXLEN ~ 50"),
            " lands near 100; on a small stream it may remove nothing. As a guard on growth that is what you want.",
          ),
          h(
            "p",
            {},
            "An exact trim lands on the number asked for. On a busy stream it costs noticeably more; use it where the exact count matters.",
          ),
        ),
      ),
      session.demo
        ? panel(
            "Reset",
            { class: "panel lever", "data-testid": "reset-panel" },
            h("p", {}, "Drops the demo's stream and seeds its groups anew."),
            h("div", { class: "controls" }, resetButton),
          )
        : null,
    ),
    update(state) {
      setText(
        now,
        state.state ? `${session.stream} holds ${plural(state.state.stream.length, "entry", "entries")} now.` : "",
      );
    },
  };
}
