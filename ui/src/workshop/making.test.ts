//! The wizard: three clicks from a source to the start, choices that stay, and what is sent.

import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import { fakeWire, fresh } from "../../tests/fake";
import type { Change, Chosen, JsonValue, Model } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { unset } from "../panel/layers";
import { making, requestOf } from "./making.svelte";
import Following from "./Following.svelte";
import { make, workshop } from "./workshop.svelte";
import WorkshopRoom from "./WorkshopRoom.svelte";

const model = (id: number, name: string, more: Partial<Model> = {}) =>
  ({
    id, name, path: `/m/${name}`, bundled: false, kind: "base", state: "ready", architecture: "llama", quantization: "F16", source: { kind: "file" }, family: "", hash: "unknown",
    checked_ms: null, in_storage: false, adapter: null, persona: null, file_bytes: 13e9, parameter_count: 6.9e9, context_tokens: 4096, sha256: null, template: "", template_source: "none",
    thinks: false, parameters: unset, loaded_by: null, device: null, device_reason: null, added_ms: id, used_ms: null, ...more,
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

it("finds the choices again after a restart, and asks anew for files", async () => {
  const { unmount } = render(Following);
  making.take(mirror.models.get(1)!);
  making.adapters = [{ model: 2, strength: 0.5 }];
  making.picks = ["Q3_K_M"];
  making.importance = { kind: "file", chosen: { id: 9, name: "x.dat" } as Chosen };
  making.measure = { ...making.measure, context: 4096, speed: false, evaluation: { folder: { id: 3, name: "exam" } as Chosen, shots: 5 } };
  making.typedName = "My own";
  making.step = "measure";
  workshop.compared = [1, 3];
  await waitFor(() => expect(wire.named("set_setting")).toHaveLength(1));
  const kept = wire.named("set_setting")[0] as { key: string; value: JsonValue };
  unmount();
  making.reset();
  workshop.compared = [];

  mirror.apply([{ kind: "setting", value: kept }, { kind: "removed", value: { table: "model", id: 3 } }]);
  render(Following);
  await waitFor(() => expect(making.source).toBe(1));
  expect([making.adapters, making.picks, making.name, making.step]).toEqual([[{ model: 2, strength: 0.5 }], ["Q3_K_M"], "My own", "measure"]);
  expect(making.importance).toEqual({ kind: "file", chosen: null });
  expect(making.measure).toMatchObject({ context: 4096, speed: false, evaluation: { folder: null, shots: 5 } });
  expect([making.waitsFor, workshop.compared]).toEqual(["importance", [1]]);
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
