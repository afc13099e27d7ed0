//! What the models room shows and is searched for: the list, the hub's answers, or one repository.

import { SvelteMap } from "svelte/reactivity";
import { api, asProblem, type Catalogue, type Entry, type HubHit, type JobId, type Problem, type Recommendation } from "$api";
import { view } from "$state/view.svelte";
import { NO_FILTERS, type Filters } from "./filters";

export type Place = { at: "list" } | { at: "hub"; text: string } | { at: "repository"; address: string };

const LIST: Place = { at: "list" };

class Finding {
  /** What stands in the search field. */
  text = $state("");
  filters = $state<Filters>(NO_FILTERS);
  /** The catalogue's entry whose details are shown. */
  entry = $state<string | null>(null);
  /** A job whose row is to be brought into view. */
  reveal = $state<JobId | null>(null);
  /** Counts the wishes to search: the field takes the focus at each. */
  wishes = $state(0);
  #path = $state<Place[]>([]);

  get place(): Place {
    return this.#path.at(-1) ?? LIST;
  }

  go(place: Place) {
    if (place.at === "list") this.#path = [];
    else this.#path = [...this.#path, place];
  }

  back() {
    this.#path = this.#path.slice(0, -1);
  }

  search(text: string) {
    const { place } = this;
    if (place.at === "hub" && place.text === text) return void hubSearch.ask(text, true);
    this.#path = [{ at: "hub", text }];
  }

  /** Opens the room at this place. */
  show(place: Place, job: JobId | null = null) {
    view.room = "models";
    view.model = null;
    this.entry = null;
    this.reveal = job;
    if (place.at === "list") this.#path = [];
    else if (JSON.stringify(place) !== JSON.stringify(this.place)) this.#path = [place];
  }
}

export const finding = new Finding();

/** The catalogue, as it is for this machine and what is on it now. */
class Shelf {
  catalogue = $state.raw<Catalogue | null>(null);
  problem = $state.raw<Problem | null>(null);

  /** The advice that was taken: it stays while its model comes, whatever else the free memory would suggest meanwhile. */
  #taken = $state.raw<Recommendation | null>(null);

  get advice(): Recommendation | null {
    return this.#taken ?? this.catalogue?.recommended ?? null;
  }

  take() {
    this.#taken = this.advice;
  }

  async read() {
    try {
      this.catalogue = await api.catalogue();
      this.problem = null;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  entry(id: string | null): Entry | undefined {
    return id === null ? undefined : this.catalogue?.entries.find((entry) => entry.id === id);
  }
}

export const shelf = new Shelf();

type Answer = { hits: HubHit[] | null; problem: Problem | null };

/** Answers are kept while the window is open: going back to them asks nobody again. */
class HubSearch {
  #answers = new SvelteMap<string, Answer>();

  of(text: string): Answer {
    return this.#answers.get(text) ?? { hits: null, problem: null };
  }

  async ask(text: string, anew = false) {
    const known = this.#answers.get(text);
    if (known && !known.problem && !anew) return;
    this.#answers.set(text, { hits: null, problem: null });
    try {
      this.#answers.set(text, { hits: await api.searchHub({ text }), problem: null });
    } catch (thrown) {
      this.#answers.set(text, { hits: null, problem: asProblem(thrown) });
    }
  }
}

export const hubSearch = new HubSearch();
