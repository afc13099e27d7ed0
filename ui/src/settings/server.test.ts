//! What the server page and the log of requests promise: what really runs, a hidden token, plain warnings, examples that work.

import { render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import { useTransport, type Model, type Request } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { fakeWire, fresh } from "../../tests/fake";
import CloseAsked from "./CloseAsked.svelte";
import RequestLog from "./RequestLog.svelte";
import { example, isIp, isLoopback, isOrigin, server } from "./server.svelte";
import Server from "./Server.svelte";

const TOKEN = `hk-${"ab12".repeat(16)}`;
const set = (key: string, value: unknown) => mirror.apply([{ kind: "setting", value: { key, value: value as never } }]);
const request = (id: number, more: Partial<Request> = {}): Request => ({ id, begun_ms: id * 1_000, took_ms: 2_400, method: "POST", path: "/v1/chat/completions", model: "Alpaca", state: "done", prompt_tokens: 812, tokens: 128, error: null, text: null, ...more });
const put = (...rows: Request[]) => mirror.apply(rows.map((value) => ({ kind: "request" as const, value })));

let wire: ReturnType<typeof fakeWire>;

beforeEach(() => {
  wire = fakeWire({ server_token: TOKEN, renew_server_token: "hk-new0" });
  fresh("en");
  server.token = null;
  server.shown = false;
  mirror.apply([{ kind: "model", value: { id: 1, name: "It's a \"model\"", kind: "chat", state: "ready", loaded_by: "me", device: "CPU", added_ms: 0, used_ms: null } as unknown as Model }]);
});

it("is off until it is switched on, and says what runs rather than what is wanted", async () => {
  render(Server);
  expect(screen.getByText("Off", { exact: true })).toBeTruthy();
  await userEvent.click(screen.getByRole("switch", { name: "Server" }));
  expect(wire.named("set_setting")).toEqual([{ key: "server_on", value: true }]);
  set("server_on", true);
  expect(await screen.findByText("Switched on, not running yet")).toBeTruthy();
  set("server_state", { state: "on", address: "127.0.0.1:8080" });
  expect(await screen.findByText("http://127.0.0.1:8080/v1", { exact: true })).toBeTruthy();
  set("server_on", null);
  expect(await screen.findByText("Switched off, ending what it has begun")).toBeTruthy();
});

it("says why the server could not start", async () => {
  set("server_on", true);
  set("server_state", { state: "failed", reason: "address in use" });
  render(Server);
  expect(screen.getByRole("alert").textContent).toContain("address in use");
  set("server_on", null);
  await waitFor(() => expect(screen.queryByRole("alert")).toBe(null));
});

it("shows the token only when asked to, and copies it whole", async () => {
  const user = userEvent.setup();
  const { container } = render(Server);
  await waitFor(() => expect(container.textContent).toContain("hk-•"));
  expect(container.textContent).not.toContain(TOKEN);
  await user.click(screen.getByRole("button", { name: "Copy the token" }));
  expect(await navigator.clipboard.readText()).toBe(TOKEN);
  await user.click(screen.getByRole("button", { name: "Copy the example" }));
  expect(await navigator.clipboard.readText()).toContain(`Bearer ${TOKEN}`);
  await user.click(screen.getByRole("button", { name: "Show the token" }));
  expect(container.textContent).toContain(TOKEN);
});

it("makes a new token only after a question", async () => {
  const { container } = render(Server);
  await waitFor(() => expect(container.textContent).toContain("hk-•"));
  await userEvent.click(screen.getByRole("button", { name: "Renew" }));
  expect(wire.named("renew_server_token")).toEqual([]);
  await userEvent.click(await screen.findByRole("button", { name: "Make a new token" }));
  expect(wire.named("renew_server_token")).toHaveLength(1);
  await waitFor(() => expect(server.token).toBe("hk-new0"));
});

it("warns plainly where other computers can reach it, and only there", async () => {
  render(Server);
  const warning = "Other computers can reach this address";
  expect(screen.queryByText(warning)).toBe(null);
  set("server_address", "0.0.0.0");
  expect(await screen.findByText(warning)).toBeTruthy();
  set("server_address", "127.0.0.2");
  await waitFor(() => expect(screen.queryByText(warning)).toBe(null));
});

it("takes an address of one's own only where it is one", async () => {
  render(Server);
  await userEvent.click(screen.getByLabelText(/^Reachable from:/));
  await userEvent.click(await screen.findByRole("option", { name: /An address of your own/ }));
  const field = screen.getByRole("textbox", { name: "IP address" });
  await userEvent.type(field, "example.org{Enter}");
  expect(screen.getByText(/This is not an IP address/)).toBeTruthy();
  expect(wire.named("set_setting")).toEqual([]);
  await userEvent.clear(field);
  await userEvent.type(field, "192.168.1.20{Enter}");
  await waitFor(() => expect(wire.named("set_setting")).toEqual([{ key: "server_address", value: "192.168.1.20" }]));
});

it("keeps origins one a line, and says which is none", async () => {
  render(Server);
  const field = screen.getByRole("textbox", { name: "Web pages that may ask" });
  await userEvent.type(field, "https://example.org/path");
  await userEvent.tab();
  expect((await screen.findByRole("alert")).textContent).toContain("“https://example.org/path” is no origin");
  expect(wire.named("set_setting")).toEqual([]);
  await userEvent.clear(field);
  await userEvent.type(field, "https://example.org/\nhttp://localhost:3000");
  await userEvent.tab();
  expect(wire.named("set_setting")).toEqual([{ key: "server_origins", value: ["https://example.org", "http://localhost:3000"] }]);
});

it("knows addresses and origins by their form", () => {
  expect(["127.0.0.1", "127.8.9.1", "::1", "0:0:0:0:0:0:0:1"].filter((ip) => !isLoopback(ip))).toEqual([]);
  expect(["0.0.0.0", "192.168.0.1", "::", "fe80::1", "::11", "1::1"].filter(isLoopback)).toEqual([]);
  expect(["1.2.3.4", "::1", "fe80::1"].filter((ip) => !isIp(ip))).toEqual([]);
  expect(["localhost", "1.2.3", "1.2.3.256", ""].filter(isIp)).toEqual([]);
  expect(["*", "https://*.example.org", "example.org", "https://example.org/x", "file://x"].filter(isOrigin)).toEqual([]);
});

it("gives programs the loopback where the server listens everywhere", () => {
  set("server_state", { state: "on", address: "0.0.0.0:8080" });
  expect(server.url).toBe("http://127.0.0.1:8080");
  set("server_state", { state: "on", address: "[::]:8080" });
  expect(server.url).toBe("http://[::1]:8080");
  set("server_state", null);
  set("server_address", "::1");
  expect(server.url).toBe("http://[::1]:11711");
});

it("writes examples that survive quotes in a model's name", () => {
  const given = { url: "http://127.0.0.1:11711", token: TOKEN, model: `It's a "model"`, hello: "你好" };
  const curl = example("curl", given);
  // What a shell makes of the last argument.
  const body = /-d '(.*)'$/s.exec(curl)![1]!.replaceAll(`'\\''`, "'");
  expect(JSON.parse(body)).toEqual({ model: `It's a "model"`, messages: [{ role: "user", content: "你好" }] });
  for (const kind of ["python", "langchain"] as const) {
    const text = example(kind, given);
    expect(text).toContain(`base_url="http://127.0.0.1:11711/v1"`);
    expect(text).toContain(`api_key="${TOKEN}"`);
    expect(text).toContain(String.raw`model="It's a \"model\""`);
  }
});

it("shows what is in memory and what is under way, and leads to the log", async () => {
  put(request(1), request(2, { state: "running", took_ms: null, tokens: 31, path: "/v1/messages" }));
  render(Server);
  expect(screen.getByText("1 request")).toBeTruthy();
  expect(screen.getByText("POST /v1/messages")).toBeTruthy();
  expect(screen.queryByText("POST /v1/chat/completions")).toBe(null);
  expect(screen.getByRole("button", { name: /It's a "model".*CPU/ })).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Show all requests" }));
  expect([view.room, view.section]).toEqual(["settings", "requests"]);
});

it("offers the start at login where the face can do it, and only there", async () => {
  render(Server);
  await waitFor(() => expect(wire.named("server_token")).toHaveLength(1));
  expect(screen.queryByRole("switch", { name: "Start at login" })).toBe(null);
});

it("starts at login as the system then says", async () => {
  const asked: (boolean | undefined)[] = [];
  useTransport({ call: async () => null, startAtLogin: async (on?: boolean) => (asked.push(on), on ?? false) } as never);
  render(Server);
  await userEvent.click(await screen.findByRole("switch", { name: "Start at login" }));
  expect(asked).toEqual([undefined, true]);
  await waitFor(() => expect(screen.getByRole("switch", { name: "Start at login" }).getAttribute("aria-checked")).toBe("true"));
});

it("lists requests, those under way first, then the newest, with why one ended early", async () => {
  put(request(1), request(2, { state: "failed", error: "prompt_too_long" }), request(3, { state: "stopped" }), request(0, { state: "running", took_ms: null, begun_ms: Date.now() - 3_000 }));
  render(RequestLog);
  const states = screen.getAllByRole("listitem").map((row) => /running|the program left|failed|done/.exec(row.textContent!)![0]);
  expect(states).toEqual(["running", "the program left", "failed", "done"]);
  expect(screen.getAllByText("812 → 128 tokens")).toHaveLength(4);
  await userEvent.hover(screen.getByText("failed"));
  await waitFor(() => expect(document.body.textContent).toContain("Error: prompt_too_long"));
});

it("shows the words of a request only where they were kept, and only when asked", async () => {
  put(request(1), request(2, { text: "user: <b>hi</b>" }));
  render(RequestLog);
  expect(screen.queryByText("user: <b>hi</b>")).toBe(null);
  const buttons = screen.getAllByRole("button", { name: "Show the words" });
  expect(buttons).toHaveLength(1);
  await userEvent.click(buttons[0]!);
  expect(screen.getByText("user: <b>hi</b>")).toBeTruthy();
  await userEvent.click(screen.getByRole("switch", { name: "Keep the words too" }));
  expect(wire.named("set_setting")).toEqual([{ key: "server_log_text", value: true }]);
});

it("forgets all requests only after a question", async () => {
  put(request(1));
  render(RequestLog);
  await userEvent.click(screen.getByRole("button", { name: "Forget all" }));
  expect(wire.named("forget_requests")).toEqual([]);
  await userEvent.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Forget all" }));
  expect(wire.named("forget_requests")).toHaveLength(1);
  mirror.apply([{ kind: "removed", value: { table: "request", id: 1 } }]);
  expect(await screen.findByText("No program has asked yet.")).toBeTruthy();
});

it("says that the server stops where there is no tray to keep it in", async () => {
  let ask = () => {};
  useTransport({ call: async () => null, onCloseAsked: async (handler: () => void) => ((ask = handler), () => undefined) } as never);
  set("server_state", { state: "on", address: "127.0.0.1:11711" });
  set("server_tray", true);
  render(CloseAsked);
  await waitFor(() => (ask(), expect(screen.getByRole("dialog").textContent).toContain("the server stops")));
});
