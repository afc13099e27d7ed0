//! Keeps the end of the conversation in view while it grows, and only while the reader is there.

/** Nearer to the end than this counts as being there. */
const NEAR_PX = 8;
/** A scroll within this time of a wheel, a key or a touch is the reader's; others come from sizes that became known. */
const READER_MS = 400;

export class Stick {
  /** The reader is at the end. */
  stuck = $state(true);
  /** The end is out of sight. */
  away = $state(false);
  #scroller: HTMLElement | undefined;
  #last = 0;
  #height = 0;
  #touched = 0;

  attach = (scroller: HTMLElement) => {
    this.#scroller = scroller;
    const touched = () => void (this.#touched = performance.now());
    const wheel = (event: WheelEvent) => {
      touched();
      if (event.deltaY < 0 && scroller.scrollHeight > scroller.clientHeight) this.stuck = false;
    };
    const scroll = () => this.#scrolled();
    const options = { passive: true };
    scroller.addEventListener("wheel", wheel, options);
    for (const name of ["touchmove", "pointerdown", "keydown"]) scroller.addEventListener(name, touched, options);
    scroller.addEventListener("scroll", scroll, options);
    // Whatever made the list taller, or the window smaller: fonts, formulas, colours of code, the composer.
    // The list sets its own height as a style: seen as such, before the frame is painted.
    const heights = new MutationObserver(() => this.follow());
    for (const list of scroller.children) heights.observe(list, { attributeFilter: ["style"] });
    const room = new ResizeObserver(() => this.follow());
    room.observe(scroller);
    return () => {
      scroller.removeEventListener("wheel", wheel);
      for (const name of ["touchmove", "pointerdown", "keydown"]) scroller.removeEventListener(name, touched);
      scroller.removeEventListener("scroll", scroll);
      heights.disconnect();
      room.disconnect();
      this.#scroller = undefined;
    };
  };

  #scrolled() {
    const scroller = this.#scroller;
    if (!scroller) return;
    const left = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
    this.away = left > NEAR_PX;
    const up = scroller.scrollTop < this.#last - 1;
    const sameSize = scroller.scrollHeight === this.#height;
    this.#last = scroller.scrollTop;
    this.#height = scroller.scrollHeight;
    if (left <= NEAR_PX && !up) this.stuck = true;
    else if (up && left > NEAR_PX && (sameSize || performance.now() - this.#touched < READER_MS)) this.stuck = false;
  }

  /** After something grew: go on showing the end, if the reader was there. */
  follow() {
    const scroller = this.#scroller;
    if (!scroller) return;
    if (!this.stuck) {
      this.away = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop > NEAR_PX;
      return;
    }
    scroller.scrollTop = scroller.scrollHeight;
    this.#last = scroller.scrollTop;
    this.#height = scroller.scrollHeight;
  }

  toEnd() {
    this.stuck = true;
    this.follow();
  }
}
