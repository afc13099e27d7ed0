//! The transport of a browser: calls by POST, changes as server-sent events, of the server that the page came from.

import type { Change, Problem } from "./bindings";
import { isProblem, type Transport } from "./transport";

const CALL = "/ui/call";
const CHANGES = "/ui/changes";
/** The server says something every 10 s; after this silence the connection is taken for broken. */
const SILENCE_MS = 25_000;
/** How long to wait before the next try, and from the last on always. */
const RETRY_MS = [300, 1_000, 2_000, 5_000];
/** What a browser sends of a request after its page is gone, all together. */
const FAREWELL_BYTES_MAX = 48 << 10;

class Connection {
  /** The stream is broken; it is being tried again. */
  lost = $state(false);
}

export const connection = new Connection();

/** The page is about to go: what it says now has to outlive it. */
let leaving = false;
if (typeof window !== "undefined") {
  window.addEventListener(
    "beforeunload",
    () => {
      leaving = true;
      setTimeout(() => (leaving = false));
    },
    { capture: true },
  );
}

const gone = (detail: string): Problem => ({ code: "server_unreached", values: {}, detail });

/** The session is over: the server's own page asks for a way in. */
function enter(): Promise<never> {
  location.reload();
  return new Promise(() => undefined);
}

async function call(name: string, args: object): Promise<unknown> {
  const body = JSON.stringify({ name, arguments: args });
  const init: RequestInit = { method: "POST", headers: { "content-type": "application/json" }, body, keepalive: leaving && body.length < FAREWELL_BYTES_MAX };
  const response = await fetch(CALL, init).catch((error: unknown) => {
    throw gone(String(error));
  });
  if (response.status === 401) return enter();
  const answer: unknown = await response.json().catch((error: unknown) => {
    throw gone(`${response.status}: ${String(error)}`);
  });
  if (response.ok) return answer;
  throw isProblem(answer) ? answer : gone(`${response.status}: ${JSON.stringify(answer)}`);
}

function subscribe(onChanges: (changes: Change[]) => void): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let tries = 0;
  let open = true;

  function listen() {
    source = new EventSource(CHANGES);
    source.onmessage = (event) => {
      alive();
      onChanges(JSON.parse(event.data as string) as Change[]);
    };
    source.addEventListener("beat", alive);
    // A browser would try again by itself, but tells nobody why it failed.
    source.onerror = again;
  }

  function alive() {
    connection.lost = false;
    tries = 0;
    clearTimeout(timer);
    timer = setTimeout(again, SILENCE_MS);
  }

  function again() {
    source?.close();
    clearTimeout(timer);
    if (!open) return;
    // A stream that breaks and is there again at once is no news.
    connection.lost = tries > 0;
    timer = setTimeout(() => void look(), RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
    tries += 1;
  }

  async function look() {
    const response = await fetch(CHANGES, { method: "HEAD" }).catch(() => null);
    if (!open) return;
    if (response?.status === 401) void enter();
    else if (response?.ok) listen();
    else again();
  }

  listen();
  return () => {
    open = false;
    source?.close();
    clearTimeout(timer);
  };
}

export const http: Transport = {
  call,
  subscribe: async (onChanges) => subscribe(onChanges),
  openLink: async (url) => void window.open(url, "_blank", "noopener,noreferrer"),
  // A file that nobody takes would be shown in place of the page.
  async onDropped() {
    const keep = (event: DragEvent) => event.preventDefault();
    window.addEventListener("dragover", keep);
    window.addEventListener("drop", keep);
    return () => {
      window.removeEventListener("dragover", keep);
      window.removeEventListener("drop", keep);
    };
  },
};
