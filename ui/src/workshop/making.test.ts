//! The wizard: three clicks from a source to the start, choices that stay, and what is sent.

import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import { fakeWire, fresh } from "../../tests/fake";
import type { Change, Model } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { unset } from "../panel/layers";
import { making, requestOf } from "./making.svelte";
import { make, workshop } from "./workshop.svelte";
import WorkshopRoom from "./WorkshopRoom.svelte";

const model = (id: number, name: string, more: Partial<Model> = {}) =>
  ({
    id, name, path: `/m/${name}`, bundled: false, kind: "base", state: "ready", architecture: "llama", quantization: "F16", source: { kind: "file" }, family: "", hash: "unknown",
    checked_ms: null, in_storage: false, adapter: null, persona: null, file_bytes: 13e9, parameter_count: 6.9e9, context_tokens: 4096, sha256: null, template: "", template_source: "none",
    thinks: false, parameters: unset, loaded_by: null, device: null, added_ms: id, used_ms: null, ...more,
  }) as Model; // prettier-ignore
const scheme = (name: string, bytes: number, recommended = false) => ({
  scheme: name, bytes, bits_per_weight: 5, memory_bytes: bytes, verdict: "well", decode_tokens_s: 8, perplexity_known: null, recommended,
}); // prettier-ignore
const PLAN = {
  schemes: [scheme("F16", 13e9), scheme("Q5_K_M", 5e9), scheme("Q4_K_M", 4e9, true), scheme("Q3_K_M", 3e9)],
  requantizes: false, free_bytes: 100e9, seconds_per_scheme: 60, reason: { zh: "合适", en: "It fits." }, problems: [],
}; // prettier-ignore

let wire: ReturnType<typeof fakeWire>;
beforeEach(() => {
  fresh();
  wire = fakeWire({ plan_making: PLAN, make: 7 });
  const rows = [model(1, "Llama-2-7b-hf"), model(2, "Alpaca-LoRA", { kind: "adapter", adapter: { base: "meta-llama/Llama-2-7b-hf", rank: 64 } }), model(3, "Other")];
  mirror.apply(rows.map((value): Change => ({ kind: "model", value })));
  making.reset();
  workshop.show({ at: "making" });
});

it("takes two clicks from the source to the start, with the recommended format", async () => {
  render(WorkshopRoom);
  await userEvent.click(screen.getByRole("radio", { name: /Llama-2-7b-hf/ }));
  const start = screen.getByRole<HTMLButtonElement>("button", { name: "Start" });
  await waitFor(() => expect(start.disabled).toBe(false));
  await userEvent.click(start);
  expect(wire.named("make")).toEqual([
    {
      name: "Llama-2-7b-hf", source: 1, adapters: [], targets: [{ scheme: "Q4_K_M", by_hand: [] }], importance: null, output: "gguf",
      measure: { perplexity: true, context: 512, text: null, divergence: false, speed: true, samples: true, evaluation: null },
    },
  ]); // prettier-ignore
  await waitFor(() => expect(workshop.place).toEqual({ at: "job", job: 7 }));
});

it("keeps the choices when the room is left", async () => {
  const { unmount } = render(WorkshopRoom);
  making.take(mirror.models.get(1)!);
  await waitFor(() => expect(making.picked).toEqual(["Q4_K_M"]));
  making.compare(true);
  making.choose("F16");
  view.room = "chats";
  unmount();
  render(WorkshopRoom);
  expect(making.picked).toEqual(["F16", "Q5_K_M", "Q4_K_M", "Q3_K_M"]);
  expect(making.outcomes.map((one) => one.file)).toEqual(["F16", "Q5_K_M", "Q4_K_M", "Q3_K_M"].map((name) => `Llama-2-7b-hf-${name}.gguf`));
});

it("starts from an adapter with the base that its author names, under the adapter's name", () => {
  make(mirror.models.get(2)!);
  expect([making.source, making.adapters, making.step]).toEqual([1, [{ model: 2, strength: 1 }], "adapters"]);
  expect(making.name).toBe("Alpaca");
});

it("does not start what the disk cannot hold, nor while a file is still to be chosen", async () => {
  render(WorkshopRoom);
  making.take(mirror.models.get(1)!);
  await waitFor(() => expect(making.ready).toBe(true));
  making.importance = { kind: "text", chosen: null };
  expect(making.ready).toBe(false);
  making.importance = { kind: "none" };
  making.plan = { ...making.plan!, free_bytes: 1e9 };
  expect([making.short, making.ready]).toEqual([true, false]);
});

it("asks for no report where nothing is measured", () => {
  expect(requestOf({ perplexity: false, context: 512, text: null, divergence: false, speed: false, samples: false, evaluation: null })).toBeNull();
});
