//! Short messages at the foot of the window, some with the way back.

export type Toast = {
  id: number;
  text: string;
  tone: "plain" | "bad";
  /** Takes back what the message tells of. */
  undo?: (() => void) | undefined;
  /** What a person is likely to do next. */
  action?: Action | undefined;
};

export type Action = { label: string; run: () => void };
type Options = { undo?: () => void; tone?: "plain" | "bad"; action?: Action };

/** Long enough to read two lines and reach the button. */
const SHOWN_MS = 8_000;
/** A person reads no more at once; the oldest goes. */
const SHOWN_MAX = 3;

class Toasts {
  list = $state<Toast[]>([]);
  #next = 1;
  #timers = new Map<number, ReturnType<typeof setTimeout>>();

  add(text: string, options: Options = {}) {
    const id = this.#next++;
    this.list = [...this.list, { id, text, tone: options.tone ?? "plain", undo: options.undo, action: options.action }].slice(-SHOWN_MAX);
    this.release(id);
    return id;
  }

  remove(id: number) {
    this.hold(id);
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  /** While the pointer or the focus is on it, it stays. */
  hold(id: number) {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  release(id: number) {
    this.hold(id);
    this.#timers.set(
      id,
      setTimeout(() => this.remove(id), SHOWN_MS),
    );
  }
}

export const toasts = new Toasts();

export function toast(text: string, options: Options = {}) {
  return toasts.add(text, options);
}
