//! The browser's wire: what a call is on it, how it fails, and that a broken stream is begun again.

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Change } from "./bindings";
import { connection, http } from "./http.svelte";

class Source {
  static all: Source[] = [];
  onmessage: ((event: { data: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  beat: (() => void) | null = null;
  closed = false;
  constructor(readonly url: string) {
    Source.all.push(this);
  }
  addEventListener(_: string, listener: () => void) {
    this.beat = listener;
  }
  close() {
    this.closed = true;
  }
}

const reply = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });
const fetched = vi.fn<(url: string, init: RequestInit) => Promise<Response>>();

beforeEach(() => {
  vi.useFakeTimers();
  Source.all = [];
  fetched.mockReset();
  vi.stubGlobal("fetch", fetched);
  vi.stubGlobal("EventSource", Source);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

it("sends a name and arguments, and gives back what the table answers", async () => {
  fetched.mockResolvedValue(reply(200, { id: 3 }));
  expect(await http.call("new_chat", { kind: "chat", model: undefined })).toEqual({ id: 3 });
  const [url, init] = fetched.mock.calls[0]!;
  expect([url, init.method, init.body]).toEqual(["/ui/call", "POST", '{"name":"new_chat","arguments":{"kind":"chat"}}']);
});

it("rejects with the problem that the program told", async () => {
  const problem = { code: "gone", values: { table: "chat", id: "9" }, detail: "no chat 9" };
  fetched.mockResolvedValue(reply(422, problem));
  await expect(http.call("rename_chat", {})).rejects.toEqual(problem);
});

it("says that the server was not reached, whatever came instead", async () => {
  fetched.mockRejectedValueOnce(new TypeError("Failed to fetch"));
  await expect(http.call("defaults", {})).rejects.toMatchObject({ code: "server_unreached" });
  fetched.mockResolvedValueOnce(new Response("<html>502", { status: 502 }));
  await expect(http.call("defaults", {})).rejects.toMatchObject({ code: "server_unreached" });
  fetched.mockResolvedValueOnce(reply(403, { error: { message: "no" } }));
  await expect(http.call("defaults", {})).rejects.toMatchObject({ code: "server_unreached" });
});

it("begins a stream again that broke, and tells of it only where it does not come back", async () => {
  const heard: Change[] = [];
  const stop = await http.subscribe((changes) => heard.push(...changes));
  const say = (source: Source) => source.onmessage!({ data: '[{"kind":"removed","value":{"table":"chat","id":1}}]' });
  say(Source.all[0]!);
  expect(heard).toHaveLength(1);

  fetched.mockResolvedValue(reply(200, null));
  Source.all[0]!.onerror!();
  expect([Source.all[0]!.closed, connection.lost]).toEqual([true, false]);
  await vi.advanceTimersByTimeAsync(300);
  say(Source.all[1]!);
  expect([heard.length, connection.lost]).toEqual([2, false]);

  fetched.mockRejectedValue(new TypeError("Failed to fetch"));
  Source.all[1]!.onerror!();
  await vi.advanceTimersByTimeAsync(300);
  expect(connection.lost).toBe(true);
  fetched.mockResolvedValue(reply(200, null));
  await vi.advanceTimersByTimeAsync(1_000);
  Source.all[2]!.beat!();
  expect(connection.lost).toBe(false);
  stop();
  expect(Source.all[2]!.closed).toBe(true);
});

it("takes a long silence for a broken stream", async () => {
  const stop = await http.subscribe(() => undefined);
  fetched.mockResolvedValue(reply(200, null));
  const [first] = Source.all;
  first!.beat!();
  await vi.advanceTimersByTimeAsync(20_000);
  first!.beat!();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(Source.all).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(6_000);
  expect([first!.closed, Source.all.length]).toEqual([true, 2]);
  stop();
});
