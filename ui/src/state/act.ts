//! Does what a control asks for, and says so where it fails.

import { asProblem } from "$api";
import { sentence } from "$i18n/problem";
import { toast } from "$shared/toasts.svelte";

/** Waits for a command that a control started; a failure is shown. Resolves to the result, or `undefined`. */
export async function act<R>(work: Promise<R>): Promise<R | undefined> {
  try {
    return await work;
  } catch (thrown) {
    toast(sentence(asProblem(thrown)), { tone: "bad" });
    return undefined;
  }
}
