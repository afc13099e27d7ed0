//! The sentence of a problem, in the window's language.

import type { Problem } from "$api";
import { m } from ".";

/** Never the bare code: an unknown one reads as an internal error, with its detail. */
export function sentence(problem: Problem): string {
  const known = m.problems[problem.code];
  if (known) return known(problem.values);
  const internal = m.problems["internal"]!({});
  return problem.detail ? `${internal} (${problem.detail})` : internal;
}
