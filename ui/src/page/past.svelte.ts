//! What the page held before each continuation, so that one can be taken back and brought again.

/** A text may be long; more steps than these nobody goes back. */
const STEPS_MAX = 100;

export class Past {
  #before = $state.raw<string[]>([]);
  #after = $state.raw<string[]>([]);

  get canUndo(): boolean {
    return this.#before.length > 0;
  }

  get canRedo(): boolean {
    return this.#after.length > 0;
  }

  /** A continuation was begun from this text. */
  did(from: string) {
    this.#before = [...this.#before, from].slice(-STEPS_MAX);
    this.#after = [];
  }

  /** The text before the last continuation; `undefined` where none is known. */
  undo(now: string): string | undefined {
    const before = this.#before.at(-1);
    this.#before = this.#before.slice(0, -1);
    this.#after = [...this.#after, now];
    return before;
  }

  redo(now: string): string | undefined {
    const after = this.#after.at(-1);
    if (after === undefined) return undefined;
    this.#after = this.#after.slice(0, -1);
    this.#before = [...this.#before, now];
    return after;
  }
}
