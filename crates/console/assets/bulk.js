// Redriving and purging dead letters: counted first, asked, then done with progress and a Stop.

import { lines, path } from "./api.js";
import { ask } from "./dialog.js";
import { h, setText, show } from "./dom.js";
import { count, dateTime, plural } from "./format.js";
import { done, failed } from "./toast.js";
import { brief, button, field, input, notice } from "./ui.js";

/** Runs one request; answers the end's counts. */
async function run(group, verb, body, onProgress, signal) {
  let end = null;
  await lines(
    path`/api/groups/${group}/dead-letters/` + verb,
    body,
    (line) => {
      if (line.progress) onProgress(line.progress);
      if (line.end) end = line.end;
    },
    signal,
  );
  if (!end) throw new Error("The answer was cut off before its end. What was done is done; the rest is still there.");
  if (end.outcome === "failed") throw new Error(`${end.reason ?? "it failed"} (${count(end.done)} done before)`);
  return end;
}

/** Which of them, in words: what is typed into the filter and not applied yet does not count. */
function which({ filter }) {
  if (!filter) return null;
  const wanted = Object.entries(filter).map(([name, value]) =>
    name.endsWith("_ms") ? `${name === "since_ms" ? "from" : "until"} ${dateTime(value)}` : `${name} ${value}`,
  );
  return h(
    "p",
    { "data-testid": "bulk-which" },
    wanted.length === 0
      ? h("strong", {}, "No filter is applied: these are all dead letters of the group.")
      : ["Those that fit the filter: ", wanted.map((one, index) => [index > 0 ? ", " : null, brief(one, 80)]), "."],
  );
}

/** The area where a run is shown. `onDone` is called after one that changed something. */
export function bulkPanel({ onDone }) {
  const bar = h("progress", { max: 1, "aria-label": "Progress", "data-testid": "bulk-progress" });
  const words = h("p", { role: "status", "data-testid": "bulk-status" });
  const stopButton = button("Stop", () => abort?.abort(), { "data-testid": "bulk-stop" });
  const el = h(
    "div",
    { class: "notice", hidden: true, "data-testid": "bulk" },
    words,
    bar,
    h("div", { class: "controls" }, stopButton),
  );
  let abort = null;

  function begin(text) {
    abort = new AbortController();
    bar.removeAttribute("value");
    setText(words, text);
    show(el, true);
    return abort.signal;
  }

  /** How many the request is about, without changing anything; null if it was stopped or failed. */
  async function matching(group, verb, body) {
    if (body.ids) return body.ids.length;
    const signal = begin("Counting what matches…");
    try {
      const end = await run(
        group,
        verb,
        { ...body, dry_run: true, rate: null },
        (at) => setText(words, `Counting: ${count(at.matched)} match of ${count(at.looked_at)} looked at.`),
        signal,
      );
      return end.matched;
    } catch (error) {
      failed("Counting", error);
      return null;
    } finally {
      abort = null;
      show(el, false);
    }
  }

  async function carryOut(group, verb, body, total, doing, doneWord) {
    const signal = begin(`${doing}…`);
    let last = null;
    const say = (at) => {
      last = at;
      bar.max = Math.max(1, total, at.matched);
      bar.value = at.done + at.gone + at.failed;
      setText(
        words,
        `${doing}: ${count(at.done)} of ${count(Math.max(total, at.matched))} done${at.gone ? `, ${count(at.gone)} gone already` : ""}${at.failed ? `, ${count(at.failed)} failed` : ""}.`,
      );
    };
    try {
      const end = await run(group, verb, { ...body, dry_run: false }, say, signal);
      const rest = `${end.gone ? `, ${count(end.gone)} were gone already` : ""}${end.failed ? `, ${count(end.failed)} failed` : ""}`;
      done(
        `${plural(end.done, "dead letter")} ${doneWord}${rest}${end.outcome === "stopped" ? ". Stopped before the end" : ""}.`,
      );
    } catch (error) {
      if (error.name === "AbortError")
        done(`Stopped. ${plural(last?.done ?? 0, "dead letter")} ${doneWord} before; the rest is still there.`);
      else failed(doing, error);
    } finally {
      abort = null;
      show(el, false);
      onDone();
    }
  }

  async function redrive(group, body) {
    if (abort) return;
    const total = await matching(group, "redrive", body);
    if (total === null) return;
    const rate = input("number", "rate", {
      min: 1,
      max: 100000,
      placeholder: "no limit",
      "data-testid": "redrive-rate",
    });
    const answer = await ask({
      title: total === 0 ? "Nothing matches" : `Send ${plural(total, "dead letter")} back to ${group}?`,
      testid: "redrive-dialog",
      body:
        total === 0
          ? notice("empty", null, "No dead letter matches the filter now.")
          : [
              which(body),
              h(
                "p",
                {},
                `Each is deleted from the dead letters and put on ${group}'s redrive stream in one step; ${group} alone reads it again, with fresh attempts. What fails again comes back here.`,
              ),
              total > 1
                ? field("At most this many a second", rate, "Leave it empty to send them as fast as Redis takes them.")
                : null,
            ],
      confirm: total === 0 ? "Close" : `Redrive ${count(total)}`,
    });
    if (!answer || total === 0) return;
    await carryOut(
      group,
      "redrive",
      { ...body, rate: answer.rate ? Number(answer.rate) : null },
      total,
      "Redriving",
      "sent back",
    );
  }

  async function purge(group, body) {
    if (abort) return;
    const total = await matching(group, "purge", body);
    if (total === null) return;
    const answer = await ask({
      title: total === 0 ? "Nothing matches" : `Delete ${plural(total, "dead letter")} of ${group} for good?`,
      testid: "purge-dialog",
      danger: true,
      body:
        total === 0
          ? notice("empty", null, "No dead letter matches the filter now.")
          : [
              which(body),
              h(
                "p",
                {},
                "Their payloads, errors and history are deleted. There is no way back: where retention has removed an entry from the stream, this is the last copy of it.",
              ),
              body.ids ? null : h("p", {}, "Letters that begin to match while this runs are deleted as well."),
            ],
      typed: total === 0 ? null : `purge ${total}`,
      confirm: total === 0 ? "Close" : `Purge ${count(total)}`,
    });
    if (!answer || total === 0) return;
    await carryOut(group, "purge", { ...body, rate: null }, total, "Purging", "deleted");
  }

  return { el, redrive, purge, close: () => abort?.abort() };
}
