//! What the window knows of the local server: what it does, where it is, the token, and examples for programs.

import { api, can, type Request, type ServerState } from "$api";
import { act } from "$state/act";
import { mirror } from "$state/mirror.svelte";

/** As crates/app has it. */
export const PORT_USUAL = 11_711;
export const QUEUE_USUAL = 64;
export const LOOPBACK = "127.0.0.1";
export const EVERYWHERE = "0.0.0.0";
/** Of a token, what is shown while it is hidden. */
const SHOWN_END = 4;

class Server {
  /** Where it was asked for. */
  token = $state<string | null>(null);
  /** The token is shown in clear. */
  shown = $state(false);

  get state(): ServerState {
    return mirror.setting<ServerState>("server_state") ?? { state: "off" };
  }

  /** What the person wants, and what there is, as one word. */
  get condition(): "off" | "on" | "starting" | "stopping" | "failed" {
    if (!can.ownWindow) return "on";
    const wanted = mirror.setting<boolean>("server_on") ?? false;
    const { state } = this.state;
    if (!wanted) return state === "on" ? "stopping" : "off";
    return state === "off" ? "starting" : state;
  }

  get ip(): string {
    return mirror.setting<string>("server_address") ?? LOOPBACK;
  }

  /** Where programs of this computer reach it: as it runs, else as it will. */
  get url(): string {
    if (!can.ownWindow) return location.origin;
    const port = mirror.setting<number>("server_port") ?? PORT_USUAL;
    return `http://${reached(this.state.state === "on" ? this.state.address : `${this.ip.includes(":") ? `[${this.ip}]` : this.ip}:${port}`)}`;
  }

  async ask() {
    this.token = (await act(api.serverToken())) ?? null;
  }

  async renew(): Promise<boolean> {
    const token = await act(api.renewServerToken());
    if (token !== undefined) this.token = token;
    return token !== undefined;
  }
}

export const server = new Server();

/** An address that stands for every network is reached from here at the loopback. */
const reached = (address: string) => address.replace(/^0\.0\.0\.0:/, `${LOOPBACK}:`).replace(/^\[::\]:/, "[::1]:");

export const masked = (token: string) => `${token.slice(0, 3)}${"•".repeat(12)}${token.slice(-SHOWN_END)}`;

export const isLoopback = (ip: string) => /^127\./.test(ip) || /^(0*:)*0*:0*1$/.test(ip) || /^::ffff:127\./i.test(ip);

/** By its form only; the program has the last word. */
export function isIp(text: string): boolean {
  const four = text.split(".");
  if (four.length === 4 && four.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return true;
  return text.includes(":") && /^[0-9a-f:.]+$/i.test(text);
}

export const isOrigin = (text: string) => /^https?:\/\/[A-Za-z0-9.\-:[\]]+$/.test(text);

/** Those under way are first, then the newest. */
export function requests(): Request[] {
  return [...mirror.requests.values()].sort((a, b) => Number(b.state === "running") - Number(a.state === "running") || b.begun_ms - a.begun_ms || b.id - a.id);
}

export type Example = "curl" | "python" | "langchain";

/** Texts to paste and run. JSON's strings are Python's too. */
export function example(kind: Example, { url, token, model, hello }: { url: string; token: string; model: string; hello: string }): string {
  const [base, key, name, words] = [`${url}/v1`, token, model, hello].map((text) => JSON.stringify(text));
  if (kind === "python") {
    return `# pip install openai
from openai import OpenAI

client = OpenAI(
    base_url=${base},
    api_key=${key},
)
answer = client.chat.completions.create(
    model=${name},
    messages=[{"role": "user", "content": ${words}}],
    stream=True,
)
for piece in answer:
    print(piece.choices[0].delta.content or "", end="", flush=True)`;
  }
  if (kind === "langchain") {
    return `# pip install langchain-openai
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    base_url=${base},
    api_key=${key},
    model=${name},
)
print(model.invoke(${words}).content)`;
  }
  const body = `{"model": ${name}, "messages": [{"role": "user", "content": ${words}}]}`.replaceAll("'", `'\\''`);
  return `curl ${url}/v1/chat/completions \\
  -H "Authorization: Bearer ${token}" \\
  -H "Content-Type: application/json" \\
  -d '${body}'`;
}
