// What an operator can do to groups and consumers: each lever's question, request and result in words.

import { path, post, remove } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { live } from "./live.js";
import { done } from "./toast.js";
import { act, entryLink, field, notice, select } from "./ui.js";

const consumerPath = (group, consumer, rest = "") => path`/api/groups/${group}/consumers/${consumer}` + rest;

function groupOf(name) {
  return live.state?.groups.find((group) => group.name === name) ?? null;
}

/** Names of the other consumers of a group that could take entries over. */
function peersOf(group, consumer) {
  const members = groupOf(group)?.consumers ?? [];
  return members.filter((member) => member.name !== consumer && member.alive).map((member) => member.name);
}

export const pause = (control, group, consumer, paused) =>
  act(control, `${paused ? "Pausing" : "Resuming"} ${consumer}`, async () => {
    await post(consumerPath(group, consumer, paused ? "/pause" : "/resume"));
    done(`${consumer} ${paused ? "is paused: it finishes what it has and reads nothing new" : "goes on reading"}.`);
  });

export const pauseGroup = (control, group, paused) =>
  act(control, `${paused ? "Pausing" : "Resuming"} ${group}`, async () => {
    const answer = await post(path`/api/groups/${group}/` + (paused ? "pause" : "resume"));
    done(`${group}: ${paused ? "paused" : "resumed"} in ${plural(answer.processes, "process", "processes")}.`);
  });

export const claiming = (control, group, auto) =>
  act(control, `Automatic claiming of ${group}`, async () => {
    const answer = await post(path`/api/groups/${group}/claiming`, { auto });
    done(
      `${group}: automatic claiming is ${auto ? "on" : "off"} in ${plural(answer.processes, "process", "processes")}.`,
    );
  });

export const crash = (control, group, consumer, n = 3) =>
  act(control, `Crash next ${n} on ${consumer}`, async () => {
    const answer = await post(consumerPath(group, consumer, "/drop-next"), { count: n });
    done(
      `${consumer} will drop its next ${plural(answer.queued, "delivery", "deliveries")}: they stay pending until they are claimed.`,
    );
  });

export const claim = (control, group, consumer, onResult) =>
  act(control, `XAUTOCLAIM to ${consumer}`, async () => {
    const answer = await post(consumerPath(group, consumer, "/claim"), {});
    done(
      `${consumer} claimed ${count(answer.claimed.length)}, processed ${count(answer.processed)}, deleted ${count(answer.deleted.length)}.`,
    );
    onResult?.(claimResult(answer, consumer));
    return answer;
  });

function idList(name, ids, testid) {
  if (ids.length === 0) return null;
  return h(
    "div",
    { "data-testid": testid },
    h("h3", {}, name),
    h(
      "div",
      { class: "ids", tabindex: "0", role: "group", "aria-label": name },
      ids.map((id) => entryLink(id)),
    ),
  );
}

/** What a claim did, IDs and all. */
function claimResult(answer, consumer) {
  const figure = (name, value, id) =>
    h("div", {}, h("dt", {}, name), h("dd", { "data-testid": `claim-${id}`, "data-value": value }, count(value)));
  return h(
    "div",
    { class: "notice gap", "data-testid": "claim-result" },
    h(
      "p",
      { class: "notice-title" },
      `XAUTOCLAIM to ${consumer}, entries idle for at least ${duration(answer.min_idle_ms)}`,
    ),
    h(
      "dl",
      { class: "stats" },
      figure("Claimed", answer.claimed.length, "claimed"),
      figure("Processed", answer.processed, "processed"),
      figure("Will be retried", answer.retried ?? 0, "retried"),
      figure("Unfinished", answer.unfinished ?? 0, "unfinished"),
      figure("Dead letters", answer.dead_lettered?.length ?? 0, "dead-lettered"),
      figure("Deleted", answer.deleted.length, "deleted"),
    ),
    answer.claimed.length === 0 && answer.deleted.length === 0 ? h("p", {}, "Nothing was idle for that long.") : null,
    idList("Claimed", answer.claimed, "claimed-ids"),
    idList("Dead-lettered", answer.dead_lettered ?? [], "dead-lettered-ids"),
    idList(
      "Deleted: retention had removed their payload, so they are recorded as dead letters and are pending no more",
      answer.deleted,
      "deleted-ids",
    ),
  );
}

export async function handover(control, group, consumer) {
  const peers = peersOf(group, consumer);
  const to = select(
    "to",
    peers.map((name) => [name, name]),
    { "data-testid": "handover-to" },
  );
  const pending = groupOf(group)?.consumers.find((member) => member.name === consumer)?.pending;
  const answer = await ask({
    title: `Hand over what is pending at ${consumer}`,
    testid: "handover-dialog",
    body:
      peers.length === 0
        ? notice("warn", "There is nobody to hand over to.", `${group} has no other live consumer. Add one first.`)
        : [
            h(
              "p",
              {},
              `Entries that ${consumer} holds (${count(pending)} pending) are moved to another consumer of ${group}, without a new delivery being counted. ${consumer} stays and goes on reading. Entries that a handler is working on are kept.`,
            ),
            field("To", to),
          ],
    confirm: "Hand over",
  });
  if (!answer?.to) return;
  await act(control, `Handing over from ${consumer}`, async () => {
    const result = await post(consumerPath(group, consumer, "/handover"), { to: answer.to });
    done(
      `${plural(result.moved, "entry", "entries")} moved from ${consumer} to ${answer.to}; ${count(result.kept)} kept, ${count(result.lost.length)} lost to retention.`,
      result.lost.length > 0
        ? h(
            "span",
            {},
            " ",
            result.lost.slice(0, 20).map((id) => [entryLink(id), " "]),
          )
        : null,
    );
  });
}

export async function removeConsumer(control, group, consumer) {
  const peers = peersOf(group, consumer);
  const member = groupOf(group)?.consumers.find((one) => one.name === consumer);
  const dead = member && !member.alive;
  const to = select("to", [["", "any live peer"], ...peers.map((name) => [name, name])], {
    "data-testid": "remove-to",
  });
  const answer = await ask({
    title: `Remove ${consumer} from ${group}?`,
    testid: "remove-dialog",
    danger: true,
    body: [
      h(
        "p",
        {},
        dead
          ? `${consumer} is not running. `
          : `${consumer} stops reading and finishes what its handlers are working on. `,
        `What it still holds (${count(member?.pending)} pending now) is handed over to a peer, and only then is the consumer deleted: XGROUP DELCONSUMER alone would destroy its pending entries.`,
      ),
      peers.length === 0
        ? notice(
            "warn",
            "There is no peer.",
            `${group} has no other live consumer. If anything is pending this is refused; if not, nobody reads for ${group} afterwards. Add a consumer first.`,
          )
        : field("Hand over to", to),
    ],
    confirm: `Remove ${consumer}`,
  });
  if (!answer) return;
  await act(control, `Removing ${consumer}`, async () => {
    const result = await remove(consumerPath(group, consumer), { to: answer.to });
    const moved = result.handed_over_to
      ? `${plural(result.handed_over, "pending entry", "pending entries")} handed over to ${result.handed_over_to}`
      : "nothing was pending";
    done(
      result.deleted
        ? `${consumer} is removed; ${moved}.`
        : `${consumer} has stopped; ${moved}. The consumer itself is still listed in Redis.`,
    );
  });
}

export const addConsumer = (control, group, name, process) =>
  act(control, `Adding ${name} to ${group}`, async () => {
    const result = await post(path`/api/groups/${group}/consumers`, { name, process: process || null });
    done(`${result.name} reads for ${group} in process ${result.process}.`);
    return result;
  });
