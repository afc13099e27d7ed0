//! What the network and the disk in the settings promise.

import { render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { fakeWire, fresh } from "../../tests/fake";
import { mendsOf } from "$shared/mends";
import Network from "./Network.svelte";
import { hostOf, isEndpoint, isProxy, net } from "./network.svelte";
import Storage from "./Storage.svelte";

const GB = 1e9;
const endpoint = (name: string, more: object = {}) => ({ name, url: `https://${name}.example`, dialect: "hugging_face", from_environment: false, token: "none", ...more });

let wire: ReturnType<typeof fakeWire>;

beforeEach(() => {
  wire = fakeWire({
    network: { endpoints: [endpoint("given", { from_environment: true, token: "environment" }), endpoint("one", { token: "keyring" }), endpoint("two")], proxy: "", offline: false },
    connections: [
      { at_ms: 2, host: "one.example", purpose: "file", status: 206, bytes: 2e6, problem: null, made: true },
      { at_ms: 1, host: "two.example", purpose: "search", status: null, bytes: 0, problem: "offline", made: false },
    ],
    test_endpoint: ({ url }: { url: string }) => (url.includes("two") ? Promise.reject({ code: "host_unreachable", values: { host: "two.example", reason: "no route" }, detail: "" }) : { latency_ms: 38, bytes_per_second: 3.1e7 }),
    set_token: "file",
    disk_use: { folder: "/m/models", models_bytes: 13 * GB, partial_bytes: GB, deleted_bytes: 4 * GB, free_bytes: 100 * GB, total_bytes: 500 * GB, largest: [] },
    diagnostics: { home: "/h", models: "/h/models" },
  }); // prettier-ignore
  fresh("en");
  net.tests = {};
  view.settings("network");
});

const item = async (name: string) => (await screen.findByText(name, { exact: true })).closest("li")!;

it("switches offline at once, and keeps the default as no value", async () => {
  render(Network);
  await userEvent.click(await screen.findByRole("switch", { name: "Offline" }));
  expect(wire.named("set_setting")).toEqual([{ key: "offline", value: true }]);
  mirror.apply([{ kind: "setting", value: { key: "offline", value: true } }]);
  await userEvent.click(screen.getByRole("switch", { name: "Offline" }));
  expect(wire.named("set_setting").at(-1)).toEqual({ key: "offline", value: null });
});

it("moves an endpoint in the order, and never keeps what the environment set", async () => {
  render(Network);
  await userEvent.click(await screen.findByRole("button", { name: "Move two up" }));
  expect(wire.named("set_endpoints")[0]).toEqual({
    endpoints: [
      { name: "two", url: "https://two.example", dialect: "hugging_face" },
      { name: "one", url: "https://one.example", dialect: "hugging_face" },
    ],
  });
  expect(screen.queryByRole("button", { name: "Move given up" })).toBe(null);
});

it("tests an endpoint: its latency and speed, or why it was not reached", async () => {
  render(Network);
  await userEvent.click(await screen.findByRole("button", { name: "Test one" }));
  await waitFor(async () => expect((await item("one")).textContent).toContain("answers in 38 ms · 31.0 MB/s"));
  await userEvent.click(screen.getByRole("button", { name: "Test two" }));
  await waitFor(async () => expect((await item("two")).textContent).toContain("two.example was not reached: no route"));
});

it("takes a token in a password field, says where it is kept, and never shows it", async () => {
  render(Network);
  await userEvent.click(within(await item("two")).getByRole("button", { name: "More for two" }));
  await userEvent.click(await screen.findByRole("menuitem", { name: "Set a token" }));
  const field = (await screen.findByLabelText("Token", { selector: "input" })) as HTMLInputElement;
  expect(field.type).toBe("password");
  expect((await screen.findByRole("dialog")).textContent).toContain("It is sent to two.example and to no other host");
  await userEvent.type(field, "hf_secret");
  await userEvent.click(screen.getByRole("button", { name: "Keep the token" }));
  expect(wire.named("set_token")).toEqual([{ url: "https://two.example", token: "hf_secret" }]);
  await waitFor(() => expect(screen.queryByRole("dialog")).toBe(null));
  expect(document.body.innerHTML).not.toContain("hf_secret");
});

it("adds no endpoint that is no web address, or that is there already", async () => {
  render(Network);
  await userEvent.click(await screen.findByRole("button", { name: "Add an endpoint" }));
  const field = await screen.findByLabelText("Address");
  const add = within(await screen.findByRole("dialog")).getByRole("button", { name: "Add an endpoint" });
  for (const [typed, words] of [["two.example", "This is not a web address"], ["ftp://two.example", "This is not a web address"], ["https://two.example/", "in the list already"]] as const) {
    await userEvent.clear(field);
    await userEvent.type(field, typed);
    await userEvent.click(add);
    await waitFor(() => expect(screen.getByRole("dialog").textContent).toContain(words));
  }
  expect(wire.named("set_endpoints")).toEqual([]);
});

it("lists the connections made, and marks those that offline refused", async () => {
  render(Network);
  await waitFor(() => expect(screen.getAllByRole("row")).toHaveLength(3));
  const [, made, refused] = screen.getAllByRole("row");
  expect(made!.textContent).toMatch(/one\.example.*download.*206.*2\.0 MB/s);
  expect(refused!.textContent).toMatch(/two\.example.*search.*not made: offline/s);
  expect(screen.getByText("One connection, 2.0 MB received")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Forget the list" }));
  expect(wire.named("forget_connections")).toHaveLength(1);
});

it("holds the speed limit in bytes, and no value for none", async () => {
  render(Network);
  const field = await screen.findByLabelText("Speed limit, MB/s");
  await userEvent.type(field, "2.5{Enter}");
  expect(wire.named("set_setting")).toContainEqual({ key: "download_limit", value: 2_500_000 });
  mirror.apply([{ kind: "setting", value: { key: "download_limit", value: 2_500_000 } }]);
  await waitFor(() => expect((field as HTMLInputElement).value).toBe("2.5"));
  await userEvent.clear(field);
  await userEvent.type(field, "{Enter}");
  expect(wire.named("set_setting").at(-1)).toEqual({ key: "download_limit", value: null });
});

it.each([
  ["https://hub.example", true, true],
  ["http://127.0.0.1:7890", true, true],
  ["socks5://127.0.0.1:1080", false, true],
  ["hub.example", false, false],
  ["file:///etc", false, false],
  ["", false, false],
])("takes %s for an endpoint: %s, for a proxy: %s", (url, forEndpoint, forProxy) => {
  expect(isEndpoint(url)).toBe(forEndpoint);
  expect(isProxy(url)).toBe(forProxy);
});

it("names the host with its port, as tokens are kept", () => {
  expect(hostOf("https://hub.example:8443/x")).toBe("hub.example:8443");
  expect(hostOf("https://hub.example/x")).toBe("hub.example");
});

it("mends a gated repository by its page and a token, and offline by switching it off", () => {
  view.room = "models";
  const gated = mendsOf({ code: "gated", values: { repository: "a/b", url: "https://hub.example/a/b" }, detail: "" });
  expect(gated.map((mend) => mend.label)).toEqual(["Open its page", "Set a token"]);
  gated[0]!.run();
  expect(view.link).toBe("https://hub.example/a/b");
  view.link = null;
  mendsOf({ code: "offline", values: {}, detail: "" })[0]!.run();
  expect(wire.named("set_setting")).toEqual([{ key: "offline", value: null }]);
});

it("shows the disk, and frees what was deleted only after a question", async () => {
  render(Storage);
  const section = (await screen.findByText("Disk")).closest("section")!;
  expect(section.textContent).toMatch(/100 GB free of 500 GB.*Models\s*13\.0 GB.*Unfinished downloads\s*1\.0 GB.*Deleted, can be undone\s*4\.0 GB/s);
  await userEvent.click(screen.getByRole("button", { name: /Free it now/ }));
  expect(wire.named("purge_deleted")).toEqual([]);
  await userEvent.click(await screen.findByRole("button", { name: "Free 4.0 GB" }));
  expect(wire.named("purge_deleted")).toHaveLength(1);
});
