//! Where models run: the choice, what is known of each device, and another try for a driver that was refused.

import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import type { Device } from "$api";
import { fakeWire, fresh } from "../../tests/fake";
import { devices } from "../models/models.svelte";
import DeviceSettings from "./DeviceSettings.svelte";

const device = (id: string, more: Partial<Device> = {}): Device => ({ id, name: id.toUpperCase(), detail: "", available: true, refused: false, reason: null, ...more });
const REFUSED = device("gpu:b", { available: false, refused: true, reason: "it computes wrong results" });

let wire: ReturnType<typeof fakeWire>;
let list: Device[];

beforeEach(() => {
  list = [device("cpu"), device("gpu:a", { detail: "radv Mesa 24.2" }), REFUSED];
  wire = fakeWire({
    devices: () => list,
    try_graphics_again: () => ((list = [device("cpu"), device("gpu:a"), device("gpu:b")]), null),
    diagnostics: {},
    compute_choices: null,
    tuning: null,
  });
  fresh("en");
  devices.again();
});

it("is chosen by itself unless the person says otherwise", async () => {
  render(DeviceSettings);
  await userEvent.click(await screen.findByLabelText("Models run on: Automatic"));
  const options = await screen.findAllByRole("option");
  expect(options.map((option) => option.textContent?.trim().split(/\s/)[0])).toEqual(["Automatic", "CPU", "GPU:A", "GPU:B"]);
  expect(options[2]!.textContent).toContain("radv Mesa 24.2");
  await userEvent.click(options[2]!);
  expect(wire.named("set_setting")).toEqual([{ key: "device", value: "gpu:a" }]);
});

it("says why a card is not used, and tries its driver again", async () => {
  render(DeviceSettings);
  expect(await screen.findByText(/GPU:B · Not available: it computes wrong results/)).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(wire.named("try_graphics_again")).toHaveLength(1);
  await waitFor(() => expect(screen.queryByText(/wrong results/)).toBeNull());
});
