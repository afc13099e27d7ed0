//! A back end of the page's own, in the page: for scripts that look at the window in a browser. Injected before the page's
//! own scripts; no part of the product. Rows as in crates/store, kept in memory; answers are streamed word by word.

(() => {
  const options = window.__MOCK__ ?? {};
  const callbacks = new Map();
  const listeners = new Map();
  let nextCallback = 1;
  let channel = null;
  let index = 0;
  let nextId = 100_000;
  const writing = new Map();

  const rows = window.__MOCK_ROWS__(options);
  const byId = (list, id) => list.find((row) => row.id === id);
  const problem = (code, values = {}) => ({ code, values, detail: "" });
  const parameters = () => Object.fromEntries(["temperature","top_k","top_p","min_p","repetition_penalty","penalty_window","frequency_penalty","presence_penalty","dry_multiplier","dry_base","dry_allowed_length","xtc_probability","xtc_threshold","logit_bias","seed","tokens_max","stop","guidance","negative_prompt","context","thinking","format"].map((key) => [key, null]));
  const defaults = { ...parameters(), temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0.05, repetition_penalty: 1.1, penalty_window: 64, frequency_penalty: 0, presence_penalty: 0, dry_multiplier: 0, dry_base: 1.75, dry_allowed_length: 2, xtc_probability: 0, xtc_threshold: 0.1, tokens_max: 1024, guidance: 1, format: { kind: "free" } };

  function send(...changes) {
    if (channel === null) return;
    callbacks.get(channel)?.({ index: index++, message: structuredClone(changes) });
  }
  const put = (kind, value) => send({ kind, value });

  function newMessage(chat, parent, role, text, more = {}) {
    const message = {
      id: nextId++, chat, parent, role, state: "done", error: null, made: null, stats: null, created_ms: Date.now(),
      body: { text, thought: "", thought_tokens: 0, thought_ms: 0, attachments: [] }, ...more,
    };
    rows.messages.push(message);
    return message;
  }

  function leafTo(chat, message) {
    chat.leaf = message.id;
    chat.changed_ms = Date.now();
    put("chat", chat);
  }

  const tokensOf = (text) => Math.ceil([...text].reduce((sum, letter) => sum + (/[\u3400-\u9fff]/.test(letter) ? 0.8 : 0.25), 0));

  function pathOf(chat) {
    const path = [];
    for (let at = chat.leaf; at !== null; ) {
      const row = byId(rows.messages, at);
      if (!row) break;
      path.unshift(row);
      at = row.parent;
    }
    return path;
  }

  function write(chat, answer, text, from = "") {
    answer.state = "writing";
    const words = text.match(/[\s\S]{1,3}/g) ?? [];
    const tick = options.tick ?? 16;
    let done = 0;
    const total = 3100;
    const step = () => {
      if (!writing.has(answer.id)) return;
      if (done < total && !from && options.reading !== false) {
        done = Math.min(total, done + 620);
        send({ kind: "reading", value: { message: answer.id, done, total } });
      } else if (words.length > 0) {
        const piece = words.splice(0, options.perTick ?? 2).join("");
        answer.body.text += piece;
        send({ kind: "text", value: { message: answer.id, thought: false, piece } });
      } else return finish(chat, answer, "done", "end");
      writing.set(answer.id, setTimeout(step, tick));
    };
    writing.set(answer.id, setTimeout(step, options.firstTick ?? 60));
  }

  function finish(chat, answer, state, why) {
    clearTimeout(writing.get(answer.id));
    writing.delete(answer.id);
    answer.state = state;
    answer.stats = { prompt_tokens: 812, reused_tokens: 780, tokens: tokensOf(answer.body.text), first_token_ms: 412, tokens_per_second: 23.4, drafted_tokens: 0, accepted_tokens: 0, moved: null, finish: why, turns_dropped: 0, memory_starts_at: null };
    answer.made = { model: 1, model_name: rows.models[0].name, model_sha256: "ab".repeat(32), template: "alpaca-2", system: "", parameters: defaults, adapters: [], begin: "", backend: "cpu", version: "0.1.0" };
    put("message", answer);
    put("chat", chat);
  }

  function answerTo(chat, user, begin = "") {
    const answer = newMessage(chat.id, user.id, "assistant", begin, { state: "writing" });
    put("message", answer);
    leafTo(chat, answer);
    write(chat, answer, options.answer ?? window.__MOCK_ANSWER__, begin);
    return answer;
  }

  const newChat = (kind, more = {}) => {
    const chat = { id: nextId++, kind, title: "", heading: "", folder: null, pinned: false, persona: null, model: null, system: null, parameters: parameters(), adapters: [], leaf: null, created_ms: Date.now(), changed_ms: Date.now(), ...more };
    rows.chats.push(chat);
    put("chat", chat);
    return chat;
  };

  const hidden = new Map();
  const commands = {
    new_chat: ({ kind, folder, persona, model }) => newChat(kind, { folder: folder ?? null, persona: persona ?? null, model: model ?? null }),
    rename_chat: ({ chat, title }) => put("chat", Object.assign(byId(rows.chats, chat), { title })),
    pin_chat: ({ chat, pinned }) => put("chat", Object.assign(byId(rows.chats, chat), { pinned })),
    move_chat: ({ chat, folder }) => put("chat", Object.assign(byId(rows.chats, chat), { folder: folder ?? null })),
    delete_chat: ({ chat }) => {
      hidden.set(`chat${chat}`, byId(rows.chats, chat));
      rows.chats = rows.chats.filter((row) => row.id !== chat);
      send({ kind: "removed", value: { table: "chat", id: chat } });
    },
    restore_chat: ({ chat }) => {
      const row = hidden.get(`chat${chat}`);
      rows.chats.push(row);
      put("chat", row);
    },
    set_chat: ({ chat, ...values }) => put("chat", Object.assign(byId(rows.chats, chat), { persona: null, model: null, system: null, ...values })),
    branch_chat: ({ message }) => {
      const from = byId(rows.messages, message);
      const chat = newChat("chat", { heading: byId(rows.chats, from.chat).heading });
      const old = byId(rows.chats, from.chat);
      let parent = null;
      for (const row of pathOf({ ...old, leaf: message })) parent = newMessage(chat.id, parent, row.role, row.body.text, { made: row.made, stats: row.stats }).id;
      chat.leaf = parent;
      return chat;
    },
    open_chat: ({ chat }) => {
      const row = byId(rows.chats, chat);
      if (!row) throw problem("gone", { table: "chats", id: String(chat) });
      const visible = new Set(pathOf(row).map((message) => message.id));
      const messages = rows.messages.filter((message) => message.chat === chat).map((message) => (visible.has(message.id) ? message : { ...message, body: null }));
      setTimeout(() => put("opened", { chat, messages }), 5);
    },
    close_chat: () => null,
    read_messages: ({ messages }) => send(...messages.map((id) => ({ kind: "message", value: byId(rows.messages, id) }))),
    new_folder: ({ name }) => {
      const folder = { id: nextId++, name, open: true };
      rows.folders.push(folder);
      put("folder", folder);
      return folder;
    },
    set_folder: ({ folder, name, open }) => put("folder", Object.assign(byId(rows.folders, folder), { name, open })),
    delete_folder: ({ folder }) => {
      for (const chat of rows.chats) if (chat.folder === folder) put("chat", Object.assign(chat, { folder: null }));
      send({ kind: "removed", value: { table: "folder", id: folder } });
    },
    send_message: ({ chat: id, text, attachments, begin }) => {
      if (options.refuse) throw problem(options.refuse.code, options.refuse.values);
      const chat = id == null ? newChat("chat", { heading: text.slice(0, 40) }) : byId(rows.chats, id);
      chat.heading ||= text.slice(0, 40);
      const user = newMessage(chat.id, chat.leaf, "user", text);
      user.body.attachments = attachments;
      put("message", user);
      const answer = answerTo(chat, user, begin);
      return { chat: chat.id, user: user.id, answer: answer.id };
    },
    regenerate: ({ message, begin }) => {
      const old = byId(rows.messages, message);
      return answerTo(byId(rows.chats, old.chat), byId(rows.messages, old.parent), begin).id;
    },
    run_again: ({ message }) => commands.regenerate({ message, begin: "" }),
    continue_message: ({ message }) => {
      const answer = byId(rows.messages, message);
      answer.state = "writing";
      put("message", answer);
      write(byId(rows.chats, answer.chat), answer, " 接着写下去的话。", answer.body.text);
    },
    stop_message: ({ message }) => {
      const answer = byId(rows.messages, message);
      finish(byId(rows.chats, answer.chat), answer, "stopped", "stopped");
    },
    edit_message: ({ message, text, answer }) => {
      const old = byId(rows.messages, message);
      const chat = byId(rows.chats, old.chat);
      const copy = newMessage(old.chat, old.parent, old.role, text, { made: old.made });
      put("message", copy);
      leafTo(chat, copy);
      if (answer) answerTo(chat, copy);
      return copy.id;
    },
    choose_leaf: ({ chat: id, message }) => {
      let at = byId(rows.messages, message);
      for (let below; (below = rows.messages.filter((row) => row.parent === at.id).at(-1)); ) at = below;
      leafTo(byId(rows.chats, id), at);
    },
    delete_message: ({ message }) => {
      const row = byId(rows.messages, message);
      hidden.set(`message${message}`, row);
      rows.messages = rows.messages.filter((other) => other.id !== message);
      send({ kind: "removed", value: { table: "message", id: message } });
      leafTo(byId(rows.chats, row.chat), { id: row.parent });
    },
    restore_message: ({ message }) => {
      const row = hidden.get(`message${message}`);
      rows.messages.push(row);
      put("message", row);
      leafTo(byId(rows.chats, row.chat), row);
    },
    save_draft: ({ chat, text, attachments }) => {
      rows.drafts = rows.drafts.filter((draft) => draft.chat !== (chat ?? null));
      rows.drafts.push({ chat: chat ?? null, text, attachments });
      put("draft", rows.drafts.at(-1));
    },
    continue_page: ({ chat: id, text }) => {
      const chat = byId(rows.chats, id);
      const user = newMessage(id, null, "user", text);
      put("message", user);
      return answerTo(chat, user).id;
    },
    next_tokens: ({ count }) => ["，", "。", "的", "了", "是", " the", " a"].slice(0, count).map((text, at) => ({ id: 29_000 + at, text, probability: 0.5 / (at + 1) })),
    read_attachment: ({ name, base64 }) => {
      const text = new TextDecoder().decode(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
      if (text.includes("\0")) throw problem("attachment_binary", { name });
      return { name, encoding: options.encoding ?? "UTF-8", text, tokens: tokensOf(text) };
    },
    context: ({ chat, text, attachments }) => {
      const row = chat == null ? null : byId(rows.chats, chat);
      const history = row ? Math.min(2400, pathOf(row).reduce((sum, message) => sum + tokensOf(message.body?.text ?? ""), 0)) : 0;
      const draft = tokensOf(text) + attachments.reduce((sum, file) => sum + file.tokens, 0);
      return { system: 34, history, draft, reserve: 1024, total: 4096, over: Math.max(0, draft - 3038), memory_starts_at: null, exact: true };
    },
    inspect_prompt: ({ text }) => ({
      template: "alpaca-2", source: "built in", text: `[INST] <<SYS>>\nYou are a helpful assistant.\n<</SYS>>\n\n${text} [/INST]`,
      tokens: `<s>|[INST]| <<SYS>>|\n|You| are| a| helpful| assistant|.|\n|<</SYS>>|\n|\n|${text || "你|好"}| [/INST]`.split("|").map((part, at) => ({ id: at === 0 ? 1 : 200 + at * 37, text: part, special: at === 0 })),
      stops: ["</s>"], tokens_per_100_characters: 61,
    }),
    search: ({ text, limit }) => {
      const wanted = text.toLowerCase();
      const found = [];
      for (const message of rows.messages) {
        const at = (message.body?.text ?? "").toLowerCase().indexOf(wanted);
        if (at === -1 || found.length >= limit) continue;
        const words = message.body.text;
        found.push({ chat: message.chat, message: message.id, title: byId(rows.chats, message.chat)?.title || byId(rows.chats, message.chat)?.heading || "", snippet: [{ text: words.slice(Math.max(0, at - 20), at), hit: false }, { text: words.slice(at, at + wanted.length), hit: true }, { text: words.slice(at + wanted.length, at + 60), hit: false }], created_ms: message.created_ms });
      }
      return found;
    },
    save_persona: ({ persona, ...fields }) => {
      const row = persona == null ? { id: nextId++, ...fields } : Object.assign(byId(rows.personas, persona), fields);
      if (persona == null) rows.personas.push(row);
      put("persona", row);
      return row;
    },
    delete_persona: ({ persona }) => send({ kind: "removed", value: { table: "persona", id: persona } }),
    restore_persona: ({ persona }) => put("persona", byId(rows.personas, persona)),
    import_character: ({ name }) => commands.save_persona({ name: name.replace(/\.\w+$/, ""), system: "", greeting: "", examples: [], parameters: parameters() }),
    import_model: ({ chosen }) => {
      const sound = options.importSound;
      const error = { ...problem("model_incomplete", { model: "alpaca-2-7b-q4.gguf", bytes: "3100000000", needed: "3900000000" }), detail: `chosen ${chosen}: tensor \`token_embd.weight\` ends past the end of the file` };
      const job = { id: nextId++, task: { kind: "import", name: "alpaca-2-7b-q4.gguf", path: "/x/alpaca.gguf", copy: false }, state: sound ? "done" : "failed", stage: null, position: 1, done: 0, total: 0, error: sound ? null : error, outcome: sound ? { kind: "imported", model: 2 } : null, created_ms: Date.now(), finished_ms: Date.now() };
      rows.jobs.push(job);
      put("job", job);
      return job.id;
    },
    locate_model: ({ model }) => put("model", Object.assign(byId(rows.models, model), { state: "ready" })),
    load_model: ({ model }) => {
      const row = byId(rows.models, model);
      const job = { id: nextId++, task: { kind: "load", model, name: row.name, context: null, anyway: false }, state: "running", position: 1, done: 0, total: row.file_bytes, error: null, outcome: null, created_ms: Date.now(), finished_ms: null };
      const step = () => {
        if (job.state !== "running") return;
        job.done = Math.min(job.total, job.done + job.total / 40);
        if (job.done >= job.total) {
          Object.assign(job, { state: "done", finished_ms: Date.now(), outcome: { kind: "loaded", model } });
          put("model", Object.assign(row, { loaded_by: "me", device: "CPU", device_reason: null }));
        } else setTimeout(step, options.loadTick ?? 80);
        put("job", job);
      };
      rows.jobs.push(job);
      put("job", job);
      setTimeout(step, 80);
      return job.id;
    },
    unload_model: ({ model }) => put("model", Object.assign(byId(rows.models, model), { loaded_by: null, device: null, device_reason: null })),
    estimate: ({ model, context }) => {
      const row = byId(rows.models, model);
      const tokens = context ?? Math.min(4096, row.context_tokens);
      const [weights, kv, scratch, free] = [row.file_bytes, tokens * 131_072, 400_000_000, 6_200_000_000];
      const total = weights + kv + scratch;
      return { context: tokens, weights, kv, scratch, draft: 0, total, free, replaces: 0, verdict: total > free ? "too_large" : total > free * 0.8 ? "tight" : "well", choices: [[tokens, "q4_0"], [2048, null], [1024, null]].map(([size, format]) => ({ context: size, kv: format, total: weights + size * (format ? 36_864 : 131_072) + scratch })) };
    },
    rename_model: ({ model, name }) => put("model", Object.assign(byId(rows.models, model), { name })),
    set_model: ({ model, ...values }) => put("model", Object.assign(byId(rows.models, model), values)),
    templates: () => ["alpaca-2", "chatml", "llama-3", "mistral", "alpaca"],
    scan_models: () => ({ added: 0, problems: [] }),
    stop_job: ({ job }) => put("job", Object.assign(byId(rows.jobs, job), { state: "stopped", finished_ms: Date.now() })),
    dismiss_job: ({ job }) => send({ kind: "removed", value: { table: "job", id: job } }),
    check_format: ({ format }) => {
      if (format.kind !== "json_schema") return;
      try {
        JSON.parse(format.source);
      } catch {
        throw problem("format_fault", { line: "1", column: "10", reason: "expected value" });
      }
    },
    defaults: () => ({ parameters: defaults, system_prompt: "You are a helpful assistant. 你是一个乐于助人的助手。" }),
    diagnostics: () => ({
      version: "0.1.0", system: "Linux 6.1", processor: "AMD EPYC 7B13, AVX2", cores: 2, memory_bytes: 24e9, memory_free_bytes: 6.2e9,
      devices: commands.devices(), home: "/home/张 庭 綱/.local/share/huacaya", models: "/home/张 庭 綱/.local/share/huacaya/models", log: "/home/x/huacaya.log",
      text: "Huacaya 0.1.0", log_tail: "2026-11-23T14:20:01Z INFO started\n2026-11-23T14:20:02Z INFO loaded model=Huacaya Demo ms=180",
    }),
    devices: () => [
      { id: "cpu", name: "CPU", detail: "", available: true, refused: false, reason: null },
      { id: "gpu:vulkan Radeon RX 7600", name: "Radeon RX 7600 (Vulkan)", detail: "radv Mesa 24.2.8, buffers of 4095 MiB, subgroups, f16", available: true, refused: false, reason: null },
      { id: "gpu:vulkan Radeon Graphics", name: "Radeon Graphics (Vulkan)", detail: "radv Mesa 24.2.8, buffers of 4095 MiB, subgroups", available: false, refused: true, reason: "its driver ended the program when a model was loaded" },
    ],
    try_graphics_again: () => null,
    export_text: () => "# Chat",
    export_chats: () => null,
    import_chats: () => ({ chats: 2, messages: 10, skipped: [] }),
  };

  Object.assign(commands, window.__MOCK_LIBRARY__({ rows, byId, put, send, problem, options, id: () => nextId++ }));

  Object.assign(commands, window.__MOCK_HUB__({ rows, options, put, send, byId, problem, nextId: () => nextId++ }));

  const serving = window.__MOCK_SERVING__({ rows, byId, put, send, options, id: () => nextId++ });
  const setOther = commands.set_setting;
  Object.assign(commands, serving, { set_setting: (args) => (setOther(args), serving.set_setting(args)) });

  const shop = window.__MOCK_WORKSHOP__({ rows, byId, put, send, problem, options, id: () => nextId++ });
  const restoreOther = commands.restore_model;
  Object.assign(commands, shop, { restore_model: (args) => (rows.models.some((row) => row.id === args.model) ? null : shop.knows(args.model) ? shop.restore_model(args) : restoreOther(args)) });

  let login = false;
  const calls = (window.__CALLS__ = []);
  const host = {
    subscribe: ({ channel: given }) => {
      if (options.noStart) throw options.noStart;
      channel = given.id ?? Number(String(given).split(":")[1]);
      const { chats, folders, personas, models, jobs, settings, drafts, reports, requests } = rows;
      setTimeout(() => put("snapshot", { chats, folders, personas, models, jobs, settings, drafts, reports, requests }), 0);
      return null;
    },
    call: ({ name, arguments: args }) => {
      calls.push([name, args]);
      const command = commands[name];
      if (!command) throw problem("unknown_command", { command: name });
      return structuredClone(command(args) ?? null);
    },
    choose: () => ({ id: 7, name: "alpaca-2-7b-q4.gguf", bytes: 4_080_000_000 }),
    open_link: ({ url }) => void calls.push(["open_link", url]),
    reveal: () => null,
    close_window: () => null,
    start_at_login: ({ on }) => (login = on ?? login),
    "plugin:event|listen": ({ event, handler }) => {
      listeners.set(event, handler);
      return handler;
    },
    "plugin:event|unlisten": () => null,
  };

  window.__TAURI_EVENT_PLUGIN_INTERNALS__ = { unregisterListener: () => undefined };
  window.__TAURI_INTERNALS__ = {
    metadata: { currentWindow: { label: "main" }, currentWebview: { windowLabel: "main", label: "main" } },
    transformCallback: (callback) => {
      const id = nextCallback++;
      callbacks.set(id, callback);
      return id;
    },
    unregisterCallback: (id) => callbacks.delete(id),
    runCallback: (id, data) => callbacks.get(id)?.(data),
    convertFileSrc: (path) => path,
    invoke: async (command, args = {}) => {
      await new Promise((resolve) => setTimeout(resolve, options.latency ?? 1));
      const handler = host[command];
      if (!handler) throw new Error(`no mock of ${command}`);
      return handler(args);
    },
  };
  window.__EMIT__ = (event, payload) => callbacks.get(listeners.get(event))?.({ event, id: 1, payload });
  window.__SEND__ = send;
})();
