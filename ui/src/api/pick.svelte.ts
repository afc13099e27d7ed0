//! Choosing a file where the system has no dialog for the page: what is being asked; PickDialog asks it.

import type { Chosen } from "./bindings";
import type { Choice } from "./transport";

export type Question = {
  kind: Choice;
  /** What a file to write is called unless the person says otherwise. */
  name: string;
  /** The endings that are wanted, without their dots; none: any. */
  extensions: string[];
  answer: (chosen: Chosen | null) => void;
};

class Picking {
  question = $state.raw<Question | null>(null);

  /** Closes the question. `null`: nothing was chosen. */
  answer(chosen: Chosen | null) {
    const { question } = this;
    this.question = null;
    question?.answer(chosen);
  }
}

export const picking = new Picking();

/** Asks. A question that was open is over without a choice. */
export function pick(kind: Choice, name = "", extensions: string[] = []): Promise<Chosen | null> {
  picking.answer(null);
  return new Promise((answer) => (picking.question = { kind, name, extensions, answer }));
}
