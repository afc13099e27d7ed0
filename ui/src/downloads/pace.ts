//! How fast a job goes and how long it will still take, from successive values of what is done.

/** Long enough that a slow second does not show, short enough to follow a change of the network. */
const WINDOW_MS = 10_000;
/** Less than this says nothing yet. */
const KNOWN_AFTER_MS = 2_000;

type Look = { at: number; done: number };

export class Pace {
  #looks: Look[] = [];

  /** Call about once a second while the job runs, whether it moved or not: a stall must show. */
  look(done: number, at: number) {
    const last = this.#looks.at(-1);
    // It began anew: another file, another stage.
    if (last && done < last.done) this.#looks = [];
    this.#looks.push({ at, done });
    while (this.#looks.length > 2 && this.#looks[1]!.at <= at - WINDOW_MS) this.#looks.shift();
  }

  /** Per second; `null` while it is not known. */
  get rate(): number | null {
    const [first, last] = [this.#looks[0], this.#looks.at(-1)];
    if (!first || !last || last.at - first.at < KNOWN_AFTER_MS) return null;
    return ((last.done - first.done) * 1000) / (last.at - first.at);
  }

  /** Milliseconds to the end; `null` while it is not known, and in a stall. */
  left(total: number): number | null {
    const { rate } = this;
    const last = this.#looks.at(-1);
    if (!last || rate === null || rate <= 0 || total <= 0) return null;
    return ((total - last.done) / rate) * 1000;
  }
}
