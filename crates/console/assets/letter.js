// One dead letter: its payload, its error, how it came here, and sending it back or deleting it.

import { get, path } from "./api.js";
import { bulkPanel } from "./bulk.js";
import { h } from "./dom.js";
import { count, dateTime, plural } from "./format.js";
import { link } from "./router.js";
import {
  brief,
  button,
  entryLink,
  fieldList,
  fieldOf,
  foreign,
  notice,
  orderLink,
  panel,
  problemNotice,
  skeleton,
  viewHead,
} from "./ui.js";

const MEANINGS = {
  max_deliveries: "It was tried as often as the group allows, and failed each time.",
  rejected: "The handler refused it as something that trying again cannot help.",
  poison: "It cannot be understood as an order event.",
  payload_lost: "Retention removed its payload while it was pending.",
};

export function create() {
  const head = h("div");
  const body = h("div", { "data-testid": "letter" });
  let group = "";
  let id = "";
  let turn = 0;
  const bulk = bulkPanel({ onDone: () => load() });

  function shown(letter) {
    const order = fieldOf(letter.fields, "order_id");
    const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
    return [
      panel(
        "Why it is here",
        { "data-testid": "letter-why" },
        h(
          "dl",
          { class: "fields facts" },
          fact("Reason", [
            h("span", { class: "tag bad", "data-testid": "letter-reason" }, brief(letter.reason, 60)),
            " ",
            MEANINGS[letter.reason] ?? "",
          ]),
          fact(
            "Error",
            h("span", { "data-testid": "letter-error" }, letter.error ? foreign(letter.error, 400) : "none recorded"),
          ),
          fact("Deliveries", count(letter.deliveries)),
          fact("Last consumer", letter.consumer ? brief(letter.consumer) : "unknown"),
        ),
      ),
      panel(
        "History",
        { "data-testid": "letter-history" },
        h(
          "dl",
          { class: "fields facts" },
          fact("Entry", letter.id ? entryLink(letter.id) : "unknown"),
          fact("Given up", dateTime(letter.time_ms)),
          fact("Sent back before", letter.redrives ? plural(letter.redrives, "time") : "never"),
          order == null ? null : fact("Order", orderLink(order)),
        ),
      ),
      panel(
        "Payload",
        { "data-testid": "letter-payload" },
        letter.fields.length > 0
          ? fieldList(letter.fields)
          : notice("empty", "No payload", "Retention had removed it from the stream before the entry was given up on."),
      ),
    ];
  }

  async function load() {
    const mine = (turn += 1);
    if (!body.firstChild) body.replaceChildren(skeleton(3));
    try {
      const letter = await get(path`/api/groups/${group}/dead-letters/${id}`);
      if (mine === turn) body.replaceChildren(...shown(letter));
    } catch (error) {
      if (mine !== turn) return;
      body.replaceChildren(
        error.status === 404
          ? notice(
              "empty",
              "This dead letter is not here any more",
              "It was sent back to its group or purged.",
              h("p", {}, h("a", { href: link("dead-letters", [], { group }) }, "Back to the dead letters")),
            )
          : problemNotice(error, load),
      );
    }
  }

  return {
    el: h("div", {}, head, bulk.el, body),
    show(route) {
      [group = "", id = ""] = route.parts;
      head.replaceChildren(
        h(
          "p",
          {},
          h("a", { href: link("dead-letters", [], { group }), class: "id" }, "← Dead letters of ", brief(group)),
        ),
        viewHead(
          ["Dead letter ", h("span", { class: "mono" }, id)],
          null,
          h(
            "span",
            { class: "controls lever" },
            button("Redrive…", () => bulk.redrive(group, { ids: [id] }), {
              class: "primary",
              "data-testid": "letter-redrive",
            }),
            button("Purge…", () => bulk.purge(group, { ids: [id] }), { class: "warns", "data-testid": "letter-purge" }),
          ),
        ),
      );
      body.replaceChildren();
      load();
      return `Dead letter ${id}`;
    },
    close() {
      turn += 1;
      bulk.close();
    },
  };
}
