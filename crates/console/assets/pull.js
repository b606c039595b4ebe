// Fetches the levers when one is pulled: the page is drawn without them.

import { failed } from "./toast.js";

const fetched = () => import("./levers.js");

/** Pulls the lever of that name. Its problems are told to the user; the answer is undefined then. */
export async function pull(name, ...args) {
  let levers;
  try {
    levers = await fetched();
  } catch {
    failed("Nothing was done", new Error("this part of the page could not be fetched from the console. Try again."));
    return undefined;
  }
  return levers[name](...args);
}

/** Has them here before the console could be away. */
export const warm = () =>
  fetched().catch(() => {
    /* pulling one tries again, and tells */
  });
