//! The program's own defaults, asked for once.

import { api, type Defaults } from "$api";

class ProgramDefaults {
  #value = $state<Defaults | null>(null);
  #asked = false;

  /** `null` until they have come. */
  get value(): Defaults | null {
    if (!this.#asked) {
      this.#asked = true;
      void api.defaults().then(
        (value) => (this.#value = value),
        () => (this.#asked = false),
      );
    }
    return this.#value;
  }
}

export const defaults = new ProgramDefaults();
