//! What the person has chosen in the wizard. It outlives the room: leaving and coming back finds it as it was.

import { api, asProblem, type ByHand, type Chosen, type ImportanceFrom, type MakingPlan, type MeasureRequest, type Model, type ModelId, type Output, type Problem, type SchemePlan, type Strength, type Target } from "$api";
import { language } from "$i18n";
import { mirror } from "$state/mirror.svelte";
import { basesFor } from "../models/library";
import { compareSet, customBytes, fileName, groupSizes, nameFor, PLAIN, recommended, schemeName, STEPS, type Group, type Step } from "./steps";

/** What a context costs is shown for this one first: the family's own. */
const CONTEXT_FIRST = 4096;

export type Measure = Omit<MeasureRequest, "text" | "evaluation"> & { text: Chosen | null; evaluation: { folder: Chosen | null; shots: number } | null };
export type Importance = { kind: "none" } | { kind: "bundled" } | { kind: "text"; chosen: Chosen | null } | { kind: "file"; chosen: Chosen | null };
export type Custom = { on: boolean; scheme: string; byHand: ByHand[] };
/** The choices as they are kept for the next start. Files are not: a face never learns where they are. */
export type Kept = {
  step: Step; source: ModelId | null; adapters: Strength[]; context: number; several: boolean; picks: string[] | null; custom: Custom; importance: Importance["kind"]; measure: Measure;
  name: string | null; output: Output;
}; // prettier-ignore
/** Something that will come out. */
export type Outcome = { key: string; file: string; bytes: number; about: boolean; plan: SchemePlan; target: Target };

const usualMeasure = (): Measure => ({ perplexity: true, context: 512, text: null, divergence: false, speed: true, samples: true, evaluation: null });
const noCustom = (): Custom => ({ on: false, scheme: "Q4_K_M", byHand: [] });

export function measures(measure: Measure): boolean {
  return measure.perplexity || measure.divergence || measure.speed || measure.samples || measure.evaluation !== null;
}

/** As the command takes it; `null`: nothing is measured. */
export function requestOf(measure: Measure): MeasureRequest | null {
  if (!measures(measure)) return null;
  const { text, evaluation, ...flags } = measure;
  return { ...flags, text: text?.id ?? null, evaluation: evaluation?.folder ? { chosen: evaluation.folder.id, shots: evaluation.shots } : null };
}

class Making {
  step = $state<Step>("source");
  source = $state<ModelId | null>(null);
  adapters = $state<Strength[]>([]);
  context = $state(CONTEXT_FIRST);
  /** Several formats are made and compared; else one. */
  several = $state(false);
  /** `null`: the recommended one. */
  picks = $state<string[] | null>(null);
  custom = $state<Custom>(noCustom());
  importance = $state<Importance>({ kind: "none" });
  measure = $state<Measure>(usualMeasure());
  /** `null`: the one that follows from the source. */
  typedName = $state<string | null>(null);
  output = $state<Output>("gguf");

  plan = $state.raw<MakingPlan | null>(null);
  problem = $state<Problem | null>(null);
  reading = $state(false);
  #sizes = $state.raw<Partial<Record<Group, number>>>({});
  #asked = "";
  #sized: ModelId | null = null;

  get model(): Model | undefined {
    return this.source === null ? undefined : mirror.models.get(this.source);
  }

  /** The adapters that are still in the library, in their order. */
  get chosenAdapters(): { row: Model; strength: number }[] {
    return this.adapters.flatMap(({ model, strength }) => {
      const row = mirror.models.get(model);
      return row ? [{ row, strength }] : [];
    });
  }

  get name(): string {
    return this.typedName ?? nameFor(this.model, this.chosenAdapters.map(({ row }) => row));
  }

  get schemes(): SchemePlan[] {
    return this.plan?.schemes ?? [];
  }

  /** The formats that are chosen and that there are, in the order of the table. */
  get picked(): string[] {
    const best = recommended(this.schemes);
    const wanted = this.picks ?? (best && !this.custom.on ? [best] : []);
    return this.schemes.map((row) => row.scheme).filter((scheme) => wanted.includes(scheme));
  }

  get outcomes(): Outcome[] {
    const plain = this.picked.map((scheme): Target => ({ scheme, by_hand: [] }));
    // Without a format set by hand it is the scheme's own, which may be chosen already.
    const same = this.custom.byHand.length === 0 && this.picked.includes(this.custom.scheme);
    const targets = this.custom.on && !same ? [...plain, { scheme: this.custom.scheme, by_hand: $state.snapshot(this.custom.byHand) }] : plain;
    return targets.flatMap((target) => {
      const plan = this.schemes.find((row) => row.scheme === target.scheme);
      if (!plan) return [];
      const key = schemeName(target);
      const bytes = customBytes(plan, target.by_hand, this.#sizes);
      return [{ key, file: fileName(this.name, key, this.output), bytes, about: target.by_hand.length > 0, plan, target }];
    });
  }

  get bytes(): number {
    return this.outcomes.reduce((sum, outcome) => sum + outcome.bytes, 0);
  }

  get short(): boolean {
    return this.plan !== null && this.bytes > this.plan.free_bytes;
  }

  /** Of making alone. */
  get seconds(): number | null {
    const each = this.plan?.seconds_per_scheme ?? null;
    return each === null ? null : each * this.outcomes.length;
  }

  get reason(): string {
    return this.plan?.reason[language()] ?? "";
  }

  /** A folder holds a merge, in plain numbers. */
  get folderFits(): boolean {
    return this.adapters.length > 0 && this.outcomes.length > 0 && this.outcomes.every(({ target }) => PLAIN.includes(target.scheme) && target.by_hand.length === 0);
  }

  /** The wizard waits for a file or a folder that was announced. */
  get waitsFor(): "importance" | "measure" | null {
    if ((this.importance.kind === "text" || this.importance.kind === "file") && !this.importance.chosen) return "importance";
    return this.measure.evaluation && !this.measure.evaluation.folder ? "measure" : null;
  }

  get ready(): boolean {
    return this.model !== undefined && this.outcomes.length > 0 && this.name.trim() !== "" && this.plan?.problems.length === 0 && !this.short && !this.reading && this.waitsFor === null;
  }

  /** What the plan depends on. */
  get key(): string {
    return this.source === null ? "" : [this.source, this.context, ...this.adapters.map(({ model, strength }) => `${model}*${strength}`)].join();
  }

  /** Starts from this model; an adapter starts from the base that it likely belongs to. */
  take(model: Model) {
    if (model.kind === "adapter") {
      const base = basesFor(model)[0];
      this.adapters = [{ model: model.id, strength: 1 }];
      this.#from(base ?? null);
      this.step = base ? "adapters" : "source";
    } else {
      if (this.source !== model.id) this.adapters = [];
      this.#from(model);
    }
  }

  #from(model: Model | null) {
    if (this.source === (model?.id ?? null)) return;
    this.source = model?.id ?? null;
    this.picks = null;
    this.custom.on = false;
    this.typedName = null;
    this.output = "gguf";
    this.context = model && model.context_tokens > 0 ? Math.min(CONTEXT_FIRST, model.context_tokens) : CONTEXT_FIRST;
  }

  choose(scheme: string) {
    if (!this.several) {
      this.picks = [scheme];
      this.custom.on = false;
    } else {
      const now = this.picked;
      this.picks = now.includes(scheme) ? now.filter((other) => other !== scheme) : [...now, scheme];
    }
    if (!this.folderFits) this.output = "gguf";
  }

  chooseCustom(on: boolean) {
    this.custom.on = on;
    if (on) this.output = "gguf";
    if (!this.several) this.picks = on ? [] : null;
    if (on && this.schemes.length > 0 && !this.schemes.some((row) => row.scheme === this.custom.scheme)) this.custom.scheme = this.schemes[0]!.scheme;
    void this.#size();
  }

  compare(several: boolean) {
    this.several = several;
    if (several) this.picks = [...new Set([...compareSet(this.schemes), ...(this.picks ?? [])])];
    else {
      const best = recommended(this.schemes);
      const kept = this.picked.find((scheme) => scheme === best) ?? this.picked[0];
      this.picks = kept === undefined || kept === best ? null : [kept];
      if (this.picks === null) this.custom.on = false;
    }
  }

  setFormat(group: string, format: string | null) {
    const others = this.custom.byHand.filter((row) => row.group !== group);
    this.custom.byHand = format === null ? others : [...others, { group, format }];
  }

  /** Asks what would come out. A late answer to an old question is dropped. */
  async read() {
    const key = this.key;
    this.#asked = key;
    if (this.source === null) {
      this.plan = this.problem = null;
      return;
    }
    this.reading = true;
    try {
      const plan = await api.planMaking({ source: this.source, adapters: $state.snapshot(this.adapters), context: this.context });
      if (this.#asked !== key) return;
      this.plan = plan;
      this.problem = null;
    } catch (thrown) {
      if (this.#asked !== key) return;
      this.plan = null;
      this.problem = asProblem(thrown);
    }
    this.reading = false;
  }

  /** How large the groups are is needed only where a format is set by hand. */
  async #size() {
    const source = this.source;
    if (source === null || this.#sized === source) return;
    try {
      const { tensors } = await api.readMetadata({ model: source });
      if (this.source !== source) return;
      this.#sizes = groupSizes(tensors);
      this.#sized = source;
    } catch {
      // Without them the size is the scheme's own, and said to be about right.
      this.#sizes = {};
    }
  }

  start() {
    const importance = this.importance;
    const from: ImportanceFrom | null =
      importance.kind === "bundled" ? { kind: "bundled" } : importance.kind === "none" || !importance.chosen ? null : { kind: importance.kind, chosen: importance.chosen.id };
    return api.make({
      name: this.name.trim(),
      source: this.source!,
      adapters: $state.snapshot(this.adapters),
      targets: this.outcomes.map(({ target }) => target),
      importance: from,
      measure: requestOf($state.snapshot(this.measure) as Measure),
      output: this.output,
    });
  }

  get kept(): Kept {
    const measure = $state.snapshot(this.measure) as Measure;
    return {
      step: this.step, source: this.source, adapters: $state.snapshot(this.adapters), context: this.context, several: this.several, picks: $state.snapshot(this.picks),
      custom: $state.snapshot(this.custom), importance: this.importance.kind, name: this.typedName, output: this.output,
      measure: { ...measure, text: null, evaluation: measure.evaluation && { ...measure.evaluation, folder: null } },
    }; // prettier-ignore
  }

  /** As it was kept, perhaps by another version. Without its source there is nothing to go on with but what is wanted of any. */
  restore(kept: Partial<Kept>) {
    this.measure = { ...usualMeasure(), ...kept.measure };
    const kind = kept.importance ?? "none";
    this.importance = kind === "text" || kind === "file" ? { kind, chosen: null } : { kind };
    this.several = kept.several ?? false;
    if (kept.source == null || !mirror.models.has(kept.source)) return;
    this.source = kept.source;
    this.adapters = (kept.adapters ?? []).filter(({ model }) => mirror.models.has(model));
    this.context = kept.context ?? CONTEXT_FIRST;
    this.picks = kept.picks ?? null;
    this.custom = { ...noCustom(), ...kept.custom };
    this.typedName = kept.name ?? null;
    this.output = kept.output ?? "gguf";
    this.step = kept.step && STEPS.includes(kept.step) ? kept.step : "source";
    if (this.custom.on) void this.#size();
  }

  next() {
    this.step = STEPS[Math.min(STEPS.length - 1, STEPS.indexOf(this.step) + 1)]!;
  }

  back() {
    this.step = STEPS[Math.max(0, STEPS.indexOf(this.step) - 1)]!;
  }

  /** Everything as at first. */
  reset() {
    this.step = "source";
    this.#from(null);
    this.adapters = [];
    this.several = false;
    this.custom = noCustom();
    this.importance = { kind: "none" };
    this.measure = usualMeasure();
  }
}

export const making = new Making();
