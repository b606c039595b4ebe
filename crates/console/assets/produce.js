// The form that produces events: how many, of which type.

import { post } from "./api.js";
import { h } from "./dom.js";
import { plural } from "./format.js";
import { session } from "./session.js";
import { done } from "./toast.js";
import { act, entryLink, field, input, panel, select } from "./ui.js";

export function produceForm() {
  const amount = input("number", "count", {
    min: 1,
    max: 500,
    value: 10,
    required: true,
    "data-testid": "produce-count",
  });
  const type = select("type", [["", "random"], ...session.event_types.map((name) => [name, name])], {
    "data-testid": "produce-type",
  });
  const submit = h("button", { type: "submit", class: "primary", "data-testid": "produce-submit" }, "Produce");
  const form = h(
    "form",
    {
      class: "form-row",
      "data-testid": "produce-form",
      onsubmit: (event) => {
        event.preventDefault();
        act(submit, "Producing", async () => {
          const answer = await post("/api/produce", { count: Number(amount.value), type: type.value || null });
          const last = answer.ids.at(-1);
          done(
            `${plural(answer.produced, "event")} produced.`,
            last ? h("span", {}, " The last is ", entryLink(last), ".") : null,
          );
        });
      },
    },
    field("Events", amount),
    field("Type", type),
    submit,
  );
  return panel("Produce", { class: "panel lever produce", "data-testid": "produce" }, form);
}
