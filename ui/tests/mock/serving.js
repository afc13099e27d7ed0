//! The mock's local server and its choices of computing: settings that act, a token, requests, and a measurement that runs.

window.__MOCK_REQUESTS__ = (options, now) => {
  if (!options.requests) return [];
  const english = options.language === "en";
  const row = (id, ago, more) => ({ id, begun_ms: now - ago * 1000, took_ms: 2_400, method: "POST", path: "/v1/chat/completions", model: "Huacaya Demo", state: "done", prompt_tokens: 812, tokens: 128, error: null, text: null, ...more });
  const words = english ? "user: What is the capital of France?\nParis. It lies on the Seine." : "user: 法国的首都是哪里？\n巴黎，在塞纳河边。";
  return [
    row(9, 4, { state: "running", took_ms: null, tokens: 31, model: "Chinese-Alpaca-2-7B" }),
    row(8, 2, { state: "running", took_ms: null, tokens: 0, prompt_tokens: 3_120, path: "/v1/messages", model: "Chinese-Alpaca-2-13B-16K-with-a-very-long-name-that-does-not-end" }),
    row(7, 60, { text: words }),
    row(6, 95, { path: "/v1/embeddings", tokens: 0, took_ms: 84, prompt_tokens: 64 }),
    row(5, 180, { state: "stopped", tokens: 17, text: words.split("\n")[0] }),
    row(4, 400, { state: "failed", error: "prompt_too_long", prompt_tokens: 0, tokens: 0, took_ms: 12 }),
    row(3, 900, { state: "failed", error: "model_unknown", model: "gpt-4o", prompt_tokens: 0, tokens: 0, took_ms: 3 }),
    row(2, 90_000, { state: "interrupted", took_ms: null }),
    row(1, 91_000, { path: "/api/chat", took_ms: 72_000, tokens: 2_048 }),
  ];
};

window.__MOCK_TUNINGS__ = (now) => {
  const pace = (threads, kv, prefill, decode) => ({ kernels: "avx512", threads, chunk: 64, kv, prefill_tokens_per_second: prefill, decode_tokens_per_second: decode });
  const base = { machine: "AMD EPYC 7B13, 16 threads, 24 GiB, linux, 8 cores (0.1.0)", shape: "llama", measured_ms: now - 3_600_000, tried: 5 };
  return [
    { ...base, model: 2, default: pace(8, "f16", 142.3, 11.62), chosen: pace(6, "q8_0", 139.8, 13.41) },
    { ...base, model: 1, default: pace(8, "f16", 9_412, 611.2), chosen: pace(8, "f16", 9_412, 611.2), tried: 3 },
  ];
};

window.__MOCK_SERVING__ = ({ rows, put, send, options, id, byId }) => {
  let token = `hk-${"0f9a3c5d".repeat(8)}`;
  const setting = (key) => rows.settings.find((row) => row.key === key)?.value ?? null;
  const note = (key, value) => (rows.settings = [...rows.settings.filter((row) => row.key !== key), { key, value }]);
  const keep = (key, value) => {
    note(key, value);
    put("setting", { key, value });
  };
  return {
    server_token: () => token,
    renew_server_token: () => (token = `hk-${"7e21b86d".repeat(8)}`),
    forget_requests: () => {
      for (const row of rows.requests.filter((one) => one.state !== "running")) send({ kind: "removed", value: { table: "request", id: row.id } });
      rows.requests = rows.requests.filter((one) => one.state === "running");
    },
    compute_choices: () => ({
      kernels: ["avx512", "avx-vnni", "avx2", "portable"],
      cores: 8,
      threads_max: 16,
      now: {
        model: rows.models.find((row) => row.loaded_by !== null)?.name ?? null,
        backend: setting("compute_backend") ?? "native",
        backend_why: setting("compute_backend") === null ? "usual" : "setting",
        kernels: "avx512",
        kernels_why: "usual",
        kernels_ignored: null,
        threads: setting("compute_threads") ?? 8,
        threads_why: setting("compute_threads") === null ? "usual" : "setting",
        reason: null,
      },
    }),
    tuning: ({ model }) => (setting("tunings") ?? []).find((row) => row.model === model) ?? null,
    set_setting: ({ key, value }) => {
      note(key, value);
      if (!key.startsWith("server_") || options.serverSilent) return;
      const port = setting("server_port") ?? 11_711;
      const state = !setting("server_on") ? { state: "off" } : options.serverFails ? { state: "failed", reason: `127.0.0.1:${port} is taken by another program (os error 98)` } : { state: "on", address: `${setting("server_address") ?? "127.0.0.1"}:${port}` };
      setTimeout(() => keep("server_state", state), 60);
    },
    tune_model: ({ model }) => {
      const row = byId(rows.models, model);
      const job = { id: id(), task: { kind: "load", model, name: row.name, context: null, anyway: false, tune: true }, state: "running", stage: "tuning", position: 1, done: 0, total: 20_000, error: null, outcome: null, created_ms: Date.now(), finished_ms: null };
      const step = () => {
        if (job.state !== "running") return;
        job.done += 1_000;
        put("job", job);
        if (job.done < job.total) return void setTimeout(step, options.loadTick ?? 80);
        Object.assign(job, { state: "done", stage: null, finished_ms: Date.now(), outcome: { kind: "loaded", model } });
        put("job", job);
        keep("tunings", [{ ...window.__MOCK_TUNINGS__(Date.now())[0], model, measured_ms: Date.now() }]);
      };
      rows.jobs.push(job);
      put("job", job);
      setTimeout(step, 20);
      return job.id;
    },
  };
};
