//! What the window knows of the network besides its settings: the endpoints in their order, where tokens are, what each test found.

import { api, asProblem, type EndpointRow, type NetworkState, type Problem, type Reach } from "$api";
import { act } from "$state/act";

export type Test = { busy: true } | { reach: Reach } | { problem: Problem };

class Network {
  state = $state.raw<NetworkState | null>(null);
  problem = $state.raw<Problem | null>(null);
  /** The last test of each address. */
  tests = $state<Record<string, Test>>({});

  async refresh() {
    try {
      this.state = await api.network();
      this.problem = null;
    } catch (thrown) {
      this.problem = asProblem(thrown);
    }
  }

  get endpoints(): EndpointRow[] {
    return this.state?.endpoints ?? [];
  }

  /** Keeps these in this order; an empty list: the usual ones. What the environment set is not ours to keep. */
  async keep(endpoints: EndpointRow[]): Promise<boolean> {
    const kept = endpoints.filter((row) => !row.from_environment).map(({ name, url, dialect }) => ({ name, url, dialect }));
    const done = (await act(api.setEndpoints({ endpoints: kept }))) !== undefined;
    await this.refresh();
    return done;
  }

  async test(endpoint: EndpointRow) {
    const { url, dialect } = endpoint;
    this.tests[url] = { busy: true };
    try {
      this.tests[url] = { reach: await api.testEndpoint({ url, dialect }) };
    } catch (thrown) {
      this.tests[url] = { problem: asProblem(thrown) };
    }
  }

  /** The address of the one that answered fastest, where there is something to compare. */
  get fastest(): string | null {
    const known = this.endpoints.flatMap((row) => {
      const test = this.tests[row.url];
      return test && "reach" in test ? [{ url: row.url, reach: test.reach }] : [];
    });
    if (known.length < 2) return null;
    const speed = (reach: Reach) => reach.bytes_per_second ?? 0;
    return known.toSorted((a, b) => speed(b.reach) - speed(a.reach) || a.reach.latency_ms - b.reach.latency_ms)[0]!.url;
  }
}

export const net = new Network();

/** `null`: no address at all. (`URL.parse` is newer than some of the web views that we run in.) */
function parse(url: string): URL | null {
  try {
    return new URL(url.trim());
  } catch {
    return null;
  }
}

const speaks = (url: string, protocols: string[]) => {
  const parsed = parse(url);
  return parsed !== null && parsed.host !== "" && protocols.includes(parsed.protocol);
};

/** The host, with its port where it is not the usual one, as tokens are kept. */
export const hostOf = (url: string) => parse(url)?.host ?? url;

export const isEndpoint = (url: string) => speaks(url, ["https:", "http:"]);

export const isProxy = (url: string) => speaks(url, ["http:", "https:", "socks5:", "socks5h:"]);
