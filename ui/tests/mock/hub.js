//! The mock's hub: the real catalogue as a machine with 6.2 GB free sees it, a search, repositories, and downloads that run.

window.__MOCK_HUB__ = ({ rows, options, put, send, byId, problem, nextId }) => {
  const GB = 1e9;
  const FREE = 6.2 * GB;
  const verdictOf = (memory) => (memory > FREE ? "too_large" : memory > FREE * 0.8 ? "tight" : "well");
  const hereOf = (repository, path) => rows.models.find((model) => model.source.kind === "hub" && model.source.repository === repository && model.source.file === path)?.id ?? null;
  const given = window.__CATALOGUE__ ?? { entries: [], licences: {} };

  const fileOf = (entry, file) => {
    const base = given.entries.find((other) => other.id === entry.base);
    const memory_bytes = Math.round((base ? base.files[0].bytes : file.bytes) + 0.35 * GB + Math.min(entry.context_tokens, 4096) * 131_072);
    return { ...file, memory_bytes, verdict: verdictOf(memory_bytes), here: hereOf(file.repository, file.path) };
  };
  const entryOf = (entry) => ({ ...entry, licence: given.licences[entry.licence], files: entry.files.map((file) => fileOf(entry, file)) });
  const catalogue = () => ({
    entries: given.entries.map(entryOf),
    // The free memory is another once a model came: so may the advice be.
    recommended: options.unadvised || rows.models.some((model) => model.name.startsWith("Qwen3-4B")) ? null : {
      entry: "qwen3-4b", file: given.entries.find((entry) => entry.id === "qwen3-4b")?.files.find((file) => file.quantization.startsWith("Q4_K"))?.path ?? "", memory_bytes: 3.4 * GB,
      reason: {
        zh: "Qwen3-4B（Q4_K_M）约需 3.4 GB 内存，现有 6.2 GB 可用（共 24.0 GB）；8 个处理器线程估计每秒约 9 个 token（按带宽粗略推算）。它是其中能流畅运行的最大的对话模型。",
        en: "Qwen3-4B (Q4_K_M) needs about 3.4 GB of memory; 6.2 of 24.0 GB are free. 8 processor threads should give about 9 tokens a second (a rough guess from bandwidth). It is the largest chat model here that runs well.",
      },
    },
  });

  const settings = new Map(Object.entries(options.settings ?? {}));
  const online = () => {
    if (settings.get("offline")) throw problem("offline");
    if (options.hubProblem) throw problem(options.hubProblem.code, options.hubProblem.values);
  };
  const hit = (repository, downloads, likes, updated, formats, more = {}) => ({ repository, downloads, likes, updated, gated: false, formats, endpoint: "Hugging Face", ...more });
  const HITS = [
    hit("Qwen/Qwen3-4B-GGUF", 1_284_310, 412, "2026-05-12T08:00:00Z", ["gguf"]),
    hit("unsloth/Qwen3-8B-GGUF", 804_551, 288, "2026-08-02T08:00:00Z", ["gguf"]),
    hit("Qwen/Qwen3-8B", 5_213_002, 1_903, "2026-03-28T08:00:00Z", ["safetensors"]),
    hit("bartowski/Qwen_Qwen3-30B-A3B-Instruct-2507-a-very-long-name-that-does-not-end-GGUF", 92_440, 77, "2026-09-19T08:00:00Z", ["gguf"]),
    hit("hfl/chinese-alpaca-2-lora-7b", 3_120, 45, "2024-01-05T08:00:00Z", ["pytorch", "lora"]),
    hit("meta-llama/Llama-2-7b-hf", 912_004, 2_210, "2024-04-17T08:00:00Z", ["safetensors", "pytorch"], { gated: true }),
  ];

  const CARD = `# Qwen3-4B

## Highlights

Qwen3 is a family of **open models** with a thinking switch. <script>window.hit=1</script>

![logo](http://evil.example/logo.png) <img src=x onerror="window.hit=1">

| Benchmark | Qwen3-4B | Qwen2.5-7B |
|:--|--:|--:|
| C-Eval | 72.4 | 76.2 |
| GSM8K | 87.8 | 85.4 |

## Quickstart

\`\`\`bash
llama-cli -m Qwen3-4B-Q4_K_M.gguf --jinja -c 40960
\`\`\`

- Use temperature **0.6** when it thinks, 0.7 when it does not.
- Do not use greedy decoding.

See the [technical report](https://example.org/qwen3) for more.`;

  const choice = (id, quantization, bytes, more = {}) => {
    const memory_bytes = bytes + 0.8 * GB;
    return { id, name: id, kind: "gguf", quantization, bytes, files: 1, sha256: "ab".repeat(32), memory_bytes, verdict: verdictOf(memory_bytes), here: null, in_cache: false, partial: 0, job: null, ...more };
  };
  const openJob = (repository, path) => rows.jobs.findLast((job) => ["waiting", "running", "paused", "failed", "interrupted"].includes(job.state) && Object.values(job.task).some((pick) => pick?.repository === repository && pick.files.some((file) => file.path === path)));
  const choicesOf = (repository) => {
    if (/Llama-2-7b-hf/.test(repository)) return [choice("config.json", "", 13_476_876_272, { name: "Llama-2-7b-hf", kind: "folder", quantization: "F16", files: 8, sha256: null })];
    if (/lora/.test(repository)) return [choice("adapter_config.json", "", 1_230_000_000, { name: "chinese-alpaca-2-lora-7b", kind: "lora", quantization: "F16", files: 6, sha256: null, memory_bytes: null, verdict: null })];
    if (options.emptyRepository) return [];
    const name = repository.split("/")[1].replace(/-GGUF$/, "");
    return [
      choice(`${name}-Q3_K_M.gguf`, "Q3_K_M", 2_075_617_000),
      choice(`${name}-Q4_K_M.gguf`, "Q4_K_M", 2_497_280_256, { partial: 1_204_000_000 }),
      choice(`${name}-Q5_K_M.gguf`, "Q5_K_M", 2_889_513_000, { in_cache: true }),
      choice(`${name}-Q6_K.gguf`, "Q6_K", 3_306_260_000),
      choice(`${name}-Q8_0.gguf`, "Q8_0", 4_280_404_000),
      choice(`${name}-F16-00001-of-00003.gguf`, "F16", 8_051_285_000, { files: 3, sha256: null }),
    ];
  };
  const repositoryOf = (address) => {
    const path = address.replace(/^https?:\/\/[^/]+\//, "").replace(/^models\//, "").split("/").slice(0, 2).join("/");
    if (/nothing/.test(path)) throw problem("not_found", { what: path });
    const gated = /meta-llama/.test(path);
    const repository = path;
    const choices = choicesOf(repository).map((row) => ({ ...row, here: hereOf(repository, row.id), job: openJob(repository, row.id)?.id ?? null }));
    return {
      repository, endpoint: "Hugging Face", revision: "a3f1c09b77e2d4415566", url: `https://hub.example/${repository}`, gated, licence: gated ? "llama2" : "apache-2.0",
      base_model: /GGUF/.test(repository) ? "Qwen/Qwen3-4B" : null, entry: given.entries.find((entry) => entry.files.some((file) => file.repository === repository))?.id ?? null,
      card: CARD, choices, other_files: 4,
    };
  };

  // The queue
  const TICK_MS = options.hubTick ?? 100;
  const AT_ONCE = 2;
  const isOurs = (job) => ["download", "download_and_merge"].includes(job.task.kind);
  let timer = null;

  const pickOf = (repository, path, bytes) => ({ repository, revision: "a3f1c09b", endpoint: "https://hub.example", kind: "gguf", files: [{ path, bytes, sha256: null }], url: null, folder: repository.replace("/", "--"), model: path });
  function enqueue(task, total, done = 0) {
    const job = { id: nextId(), task, state: "waiting", stage: null, position: Math.max(0, ...rows.jobs.map((row) => row.position)) + 1, done, total, error: null, outcome: null, created_ms: Date.now(), finished_ms: null };
    rows.jobs.push(job);
    put("job", job);
    timer ??= setInterval(tick, TICK_MS);
    return job.id;
  }
  function arrive(job) {
    const [pick] = Object.values(job.task).filter((value) => value?.files);
    const lora = pick.files[0].path === "adapter_config.json" && job.task.kind === "download";
    const row = {
      ...rows.models[1], id: nextId(), name: job.task.name, path: `/home/x/models/${pick.folder}/${pick.model}`, kind: lora ? "adapter" : "chat", thinks: false, family: job.task.name.split("-")[0],
      file_bytes: job.total, parameter_count: lora ? 0 : 4_000_000_000, added_ms: Date.now(), used_ms: null, loaded_by: null, device: null, device_reason: null, hash: "verified", in_storage: true, quantization: /(Q\d\w*|F16)/.exec(pick.model)?.[1] ?? "F16",
      source: { kind: "hub", endpoint: pick.endpoint, repository: pick.repository, revision: pick.revision, file: pick.files[0].path }, adapter: null,
    };
    rows.models.push(row);
    put("model", row);
    Object.assign(job, { state: "done", stage: null, done: job.total, finished_ms: Date.now(), outcome: { kind: job.task.kind === "download" ? "downloaded" : "merged", model: row.id } });
    put("job", job);
  }
  const stages = new Map();
  function tick() {
    const queue = rows.jobs.filter(isOurs).sort((a, b) => a.position - b.position);
    for (const job of queue.filter((row) => row.state === "waiting" && row.stage === null)) {
      if (queue.filter((row) => row.state === "running").length >= AT_ONCE) break;
      Object.assign(job, { state: "running", stage: "connecting" });
      stages.set(job.id, 0);
      put("job", job);
    }
    for (const job of queue.filter((row) => row.state === "running" && !row.held)) {
      const turn = (stages.get(job.id) ?? 0) + 1;
      stages.set(job.id, turn);
      if (turn < 3) continue;
      if (job.done < job.total) {
        const step = (options.hubSpeed ?? 12_400_000) * (TICK_MS / 1000) * (0.9 + 0.2 * Math.abs(Math.sin(turn)));
        Object.assign(job, { stage: "fetching", done: Math.min(job.total, Math.round(job.done + step)) });
        put("job", job);
      } else if (job.stage === "fetching") {
        job.stage = "verifying";
        put("job", job);
      } else arrive(job);
    }
    if (queue.every((row) => !["running", "waiting"].includes(row.state))) timer = clearInterval(timer) ?? null;
  }
  if (rows.jobs.some(isOurs)) timer = setInterval(tick, TICK_MS);

  const change = (job, values) => put("job", Object.assign(byId(rows.jobs, job), values));
  return {
    catalogue: () => {
      if (options.noCatalogue) throw problem("internal");
      return catalogue();
    },
    search_hub: ({ text }) => {
      online();
      return options.noHits ? [] : HITS.filter((row) => /qwen|llama|model/i.test(text) || row.repository.toLowerCase().includes(text.toLowerCase()));
    },
    read_repository: ({ address }) => {
      online();
      return repositoryOf(address);
    },
    set_setting: ({ key, value }) => {
      settings.set(key, value);
      put("setting", { key, value });
    },
    download: ({ address, choice: path }) => {
      const repository = address.replace(/^https?:\/\/[^/]+\//, "").split("/").slice(0, 2).join("/");
      const running = openJob(repository, path);
      if (running) return running.id;
      const entry = given.entries.find((row) => row.files.some((file) => file.repository === repository && file.path === path));
      const file = entry?.files.find((row) => row.path === path) ?? choicesOf(repository).find((row) => row.id === path);
      const name = entry ? `${entry.name}${file.quantization ? ` ${file.quantization}` : ""}` : `${repository.split("/")[1]} ${file.quantization}`;
      return enqueue({ kind: "download", name, address: pickOf(repository, path, file.bytes) }, file.bytes, file.partial ?? 0);
    },
    download_merged: ({ entry: id }) => {
      const entry = given.entries.find((row) => row.id === id);
      const base = given.entries.find((row) => row.id === entry.base);
      const picks = [base, entry].map(({ files: [file] }) => pickOf(file.repository, file.path, file.bytes));
      return enqueue({ kind: "download_and_merge", name: entry.name.replace("-LoRA", ""), base: picks[0], adapter: picks[1] }, picks[0].files[0].bytes + picks[1].files[0].bytes);
    },
    pause_job: ({ job }) => change(job, { state: "paused", stage: null }),
    resume_job: ({ job }) => {
      change(job, { state: "waiting", stage: null });
      timer ??= setInterval(tick, TICK_MS);
    },
    move_job: ({ job, before }) => {
      const order = rows.jobs.filter((row) => row.id !== job).sort((a, b) => a.position - b.position);
      const at = before == null ? order.length : order.findIndex((row) => row.id === before);
      order.splice(at, 0, byId(rows.jobs, job));
      order.forEach((row, position) => put("job", Object.assign(row, { position: position + 1 })));
    },
    retry_job: ({ job }) => {
      change(job, { state: isOurs(byId(rows.jobs, job)) ? "waiting" : "running", stage: null, error: null, held: false });
      timer ??= setInterval(tick, TICK_MS);
      return job;
    },
  };
};

/** Downloads in each of their states, for looking at them. */
window.__MOCK_DOWNLOADS__ = (now) => {
  const pick = (repository, path, bytes) => ({ repository, revision: "a3f1c09b", endpoint: "https://hub.example", kind: "gguf", files: [{ path, bytes, sha256: null }], url: null, folder: repository.replace("/", "--"), model: path });
  const job = (id, name, repository, path, total, done, more) => ({ id, task: { kind: "download", name, address: pick(repository, path, total) }, state: "running", stage: "fetching", position: id, done, total, error: null, outcome: null, created_ms: now - 60_000, finished_ms: null, ...more });
  return [
    job(11, "Qwen3-4B Q4_K_M", "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf", 2_497_280_256, 1_204_000_000),
    job(12, "Chinese-Alpaca-2-7B Q4_K_M", "hfl/chinese-alpaca-2-7b-gguf", "ggml-model-q4_k.gguf", 4_213_500_000, 803_000_000, { stage: "waiting:8:connection reset", held: true }),
    job(13, "Chinese-Alpaca-2-13B-16K-with-a-very-long-name-that-does-not-end-at-all Q4_K_M", "hfl/chinese-alpaca-2-13b-16k-gguf", "ggml-model-q4_k.gguf", 8_031_400_000, 2_100_000_000, { state: "paused", stage: null }),
    job(14, "DeepSeek-R1-Distill-Qwen-1.5B Q4_K_M", "bartowski/DeepSeek-R1-Distill-Qwen-1.5B-GGUF", "x.gguf", 1_117_000_000, 0, { state: "waiting", stage: null, total: 1_117_000_000 }),
    job(15, "Qwen3-8B Q4_K_M", "Qwen/Qwen3-8B-GGUF", "Qwen3-8B-Q4_K_M.gguf", 5_027_000_000, 3_100_000_000, { state: "failed", stage: null, error: { code: "space_short", values: { needed: "1927000000", free: "310000000", path: "/home/张 庭 綱/models" }, detail: "" } }),
  ];
};
