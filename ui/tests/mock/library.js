//! The commands of the library and of the network, for the mock back end: what is inside a file, deleting, other programs'
//! models, the disk, endpoints, connections. `tools` are the back end's own.

window.__MOCK_LIBRARY__ = ({ rows, byId, put, send, problem, options, id }) => {
  const deleted = new Map();
  const GB = 1e9;
  const tick = options.jobTick ?? 60;

  /** A job that runs by itself; `end` tells what came of it. */
  function job(task, total, end, more = {}) {
    const row = { id: id(), task, state: "running", stage: null, position: 1, done: 0, total, error: null, outcome: null, created_ms: Date.now(), finished_ms: null, ...more };
    const step = () => {
      if (row.state !== "running") return;
      row.done = Math.min(row.total, row.done + row.total / 30);
      if (row.done >= row.total) Object.assign(row, { state: "done", finished_ms: Date.now() }, end() ?? {});
      else setTimeout(step, tick);
      put("job", row);
    };
    rows.jobs.push(row);
    put("job", row);
    setTimeout(step, tick);
    return row.id;
  }

  const layer = (at) => [
    ["attn_norm.weight", [4096], "F32"],
    ["attn_q.weight", [4096, 4096], "Q4_K"],
    ["attn_k.weight", [4096, 4096], "Q4_K"],
    ["attn_v.weight", [4096, 4096], "Q6_K"],
    ["attn_output.weight", [4096, 4096], "Q4_K"],
    ["ffn_norm.weight", [4096], "F32"],
    ["ffn_gate.weight", [4096, 11008], "Q4_K"],
    ["ffn_up.weight", [4096, 11008], "Q4_K"],
    ["ffn_down.weight", [11008, 4096], "Q6_K"],
  ].map(([name, shape, kind]) => tensor(`blk.${at}.${name}`, shape, kind));
  const bits = { F32: 32, Q4_K: 4.5, Q6_K: 6.5625 };
  const tensor = (name, shape, kind) => ({ name, shape, kind, bytes: Math.round((shape.reduce((a, b) => a * b, 1) * bits[kind]) / 8) });
  const template = "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}\n{% for message in loop_messages %}\n{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}\n{% endfor %}";
  const inside = {
    format: "GGUF", version: 3,
    metadata: [
      ["general.architecture", "string", "llama"], ["general.name", "string", "Chinese-Alpaca-2-7B"], ["general.file_type", "u32", "15"], ["general.quantization_version", "u32", "2"],
      ["llama.context_length", "u32", "4096"], ["llama.embedding_length", "u32", "4096"], ["llama.block_count", "u32", "32"], ["llama.feed_forward_length", "u32", "11008"],
      ["llama.attention.head_count", "u32", "32"], ["llama.attention.head_count_kv", "u32", "32"], ["llama.attention.layer_norm_rms_epsilon", "f32", "0.00001"], ["llama.rope.dimension_count", "u32", "128"],
      ["tokenizer.chat_template", "string", template], ["tokenizer.ggml.model", "string", "llama"],
      ["tokenizer.ggml.tokens", "array of string", `["<unk>", "<s>", "</s>", ${Array.from({ length: 150 }, (_, at) => JSON.stringify(`<0x${at.toString(16).padStart(2, "0").toUpperCase()}>`)).join(", ")}, "▁你", "▁好"`, 55_296],
      ["tokenizer.ggml.scores", "array of f32", `[${Array.from({ length: 200 }, (_, at) => -at).join(", ")}`, 55_296],
      ["tokenizer.ggml.bos_token_id", "u32", "1"], ["tokenizer.ggml.eos_token_id", "u32", "2"], ["tokenizer.ggml.add_bos_token", "bool", "true"],
    ].map(([key, kind, value, length]) => ({ key, kind, value, length: length ?? [...value].length })),
    tensors: [tensor("token_embd.weight", [4096, 55_296], "Q4_K"), ...Array.from({ length: options.layers ?? 32 }, (_, at) => layer(at)).flat(), tensor("output_norm.weight", [4096], "F32"), tensor("output.weight", [4096, 55_296], "Q6_K")],
  };

  const USUAL = [
    { name: "Hugging Face", url: "https://hub.example", dialect: "hugging_face", from_environment: false, token: "keyring" },
    { name: "HF-Mirror", url: "https://mirror.example", dialect: "hugging_face", from_environment: false, token: "none" },
    { name: "ModelScope", url: "https://scope.example", dialect: "model_scope", from_environment: false, token: "none" },
  ];
  let endpoints = [...(options.environment ? [{ name: "HF_ENDPOINT", url: "https://inside.example:8443", dialect: "hugging_face", from_environment: true, token: "environment" }] : []), ...USUAL];
  const now = Date.now();
  let connections = [
    ["hub.example", "search", 200, 18_432], ["hub.example", "repository", 200, 9_216], ["hub.example", "card", 200, 6_100], ["hub.example", "file", 302, 1_200], ["cdn.hub.example", "file", 206, 16_777_216],
    ["cdn.hub.example", "file", 206, 16_777_216], ["cdn.hub.example", "file", 206, 8_388_608, "connection reset by the peer"], ["cdn.hub.example", "file", 206, 16_777_216], ["mirror.example", "test", null, 0, "no answer within 10 s"],
    ["hub.example", "repository", null, 0, "offline", false], ["scope.example:8443", "test", 200, 2_048], ["hub.example", "repository", 401, 96, "unauthorized"], ["hub.example", "search", 429, 0, "too many requests"], ["hub.example", "search", 200, 20_480],
  ].map(([host, purpose, status, bytes, why, made], at) => ({ at_ms: now - at * 47_000, host, purpose, status, bytes, problem: why ?? null, made: made ?? true }));

  const size = (kept) => rows.models.filter((row) => row.in_storage === kept).reduce((sum, row) => sum + row.file_bytes, 0);
  const restore = (model) => {
    const row = deleted.get(model);
    deleted.delete(model);
    if (row && !byId(rows.models, model)) rows.models.push(row);
    put("model", row ?? byId(rows.models, model));
  };
  const hide = ({ model }) => {
    deleted.set(model, byId(rows.models, model));
    rows.models = rows.models.filter((row) => row.id !== model);
    send({ kind: "removed", value: { table: "model", id: model } });
  };

  return {
    read_metadata: ({ model }) => {
      if (byId(rows.models, model).state === "missing") throw problem("model_missing", { model: byId(rows.models, model).name, path: byId(rows.models, model).path });
      return inside;
    },
    verify_model: ({ model }) => {
      const row = byId(rows.models, model);
      return job({ kind: "verify", model, name: row.name }, row.file_bytes, () => {
        put("model", Object.assign(row, { hash: row.source.kind === "hub" ? "verified" : "computed", sha256: "5f".repeat(32), checked_ms: Date.now() }));
        return { outcome: { kind: "hashed", model, sha256: row.sha256 } };
      });
    },
    deletion: ({ model }) => {
      const row = byId(rows.models, model);
      return { files: [row.path], bytes: row.file_bytes, frees: row.in_storage, used_by_chats: model === 2 ? 3 : 0 };
    },
    delete_model: hide,
    remove_model: hide,
    restore_model: ({ model }) => restore(model),
    purge_deleted: () => void deleted.clear(),
    disk_use: () => ({
      folder: "/home/张 庭 綱/.local/share/huacaya/models", models_bytes: size(true), partial_bytes: options.partial ?? 1.7 * GB, deleted_bytes: [...deleted.values()].filter((row) => row.in_storage).reduce((sum, row) => sum + row.file_bytes, options.deleted ?? 0),
      free_bytes: 118 * GB, total_bytes: 512 * GB, largest: rows.models.filter((row) => row.in_storage).toSorted((a, b) => b.file_bytes - a.file_bytes).map((row) => ({ model: row.id, bytes: row.file_bytes })),
    }),
    move_storage: () => job({ kind: "move_storage", name: "models", to: "/media/disk/models" }, size(true), () => (options.moveFails ? { state: "failed", error: problem("storage_unusable", { path: "/media/disk/models", reason: "the folder is read-only" }) } : { outcome: { kind: "moved", to: "/media/disk/models" } })),
    find_elsewhere: () =>
      options.nothingElsewhere
        ? []
        : [
            ["ollama", "qwen3:4b", "Q4_K_M", 2.6, 51], ["ollama", "llama3.1:8b-instruct-q4_K_M", "Q4_K_M", 4.9, 52], ["ollama", "deepseek-r1:7b", "Q4_K_M", 4.7, 53, 6],
            ["lm_studio", "Qwen3-8B-GGUF", "Q6_K", 6.7, 54], ["hugging_face", "hfl/chinese-alpaca-2-1.3b", "F16", 2.5, 55],
          ].map(([program, name, quantization, gigabytes, chosen, here]) => ({ program, name, quantization, bytes: gigabytes * GB, chosen, here: here ?? null })),
    recognise: ({ chosen }) =>
      job({ kind: "recognise", name: "下载.bin", path: "/home/x/下载.bin" }, 4.08 * GB, () => ({
        outcome: { kind: "recognised", state: options.recognised ?? "complete", name: "Chinese-Alpaca-2-7B · Q4_K", entry: "chinese-alpaca-2-7b", bytes: options.recognised === "truncated" ? 3.1 * GB : 4.08 * GB, expected: options.recognised === "unknown" ? null : 4.08 * GB, chosen },
      })),
    merge: ({ base, adapter, strength, name }) =>
      job({ kind: "merge", name, base, adapter, strength }, 14 * GB, () => {
        if (options.mergeRefused) return { state: "failed", error: problem("merge_refused", { reason: "the adapter has 55,296 tokens, the base 32,000" }) };
        const row = { ...byId(rows.models, base), id: id(), name, kind: "chat", state: "ready", loaded_by: null, source: { kind: "made", from: byId(rows.models, base).name }, in_storage: true };
        rows.models.push(row);
        put("model", row);
        return { outcome: { kind: "merged", model: row.id } };
      }),
    network: () => ({ endpoints, proxy: "http://127.0.0.1:7890", offline: Boolean(options.settings?.offline) }),
    set_endpoints: ({ endpoints: next }) => {
      const kept = (row) => endpoints.find((old) => old.url === row.url)?.token ?? "none";
      endpoints = [...endpoints.filter((row) => row.from_environment), ...(next.length ? next.map((row) => ({ ...row, from_environment: false, token: kept(row) })) : USUAL)];
    },
    test_endpoint: ({ url }) => {
      if (url.includes("mirror")) throw problem("host_unreachable", { host: "mirror.example", reason: "no answer within 10 s" });
      return url.includes("scope") ? { latency_ms: 38, bytes_per_second: 31_400_000 } : { latency_ms: 246, bytes_per_second: 4_200_000 };
    },
    set_token: ({ url, token }) => {
      endpoints = endpoints.map((row) => (row.url === url ? { ...row, token: token ? "keyring" : "none" } : row));
      return token ? "keyring" : "none";
    },
    connections: ({ limit }) => (options.noConnections ? [] : connections.slice(0, limit)),
    forget_connections: () => void (connections = []),
  };
};
