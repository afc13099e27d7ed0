//! The rows that the mock back end starts with: what a person's window may hold after some weeks.

window.__MOCK_ANSWER__ = `好的，我们一步一步来看。**重点。**后面的内容都围绕它展开，*Latin words* 也可以混排。

## 一个小标题

1. 第一步：安装依赖
2. 第二步：运行命令
   - 子项甲，含 \`inline code\`
   - 子项乙

\`\`\`python
def fibonacci(n: int) -> int:
    """Returns the n-th number."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a  # 42
\`\`\`

行内公式 $E = mc^2$，以及独立公式：

$$
\\int_0^1 \\frac{x^2}{1 + x}\\,dx = \\ln 2 - \\frac{1}{2}
$$

| 模型 | 大小 | 速度 |
|:--|--:|--:|
| Alpaca-2-7B | 3.9 GB | 8.2 token/秒 |
| Alpaca-2-13B | 7.4 GB | 4.1 token/秒 |

> 引用一句话，看它的样子。

更多内容见 https://example.org/docs 。<img src=x onerror="window.hit=1"> ![x](http://evil.example/p.png) [x](javascript:window.hit=1)
`;

window.__MOCK_ROWS__ = (options) => {
  const none = Object.fromEntries(["temperature","top_k","top_p","min_p","repetition_penalty","penalty_window","frequency_penalty","presence_penalty","dry_multiplier","dry_base","dry_allowed_length","xtc_probability","xtc_threshold","logit_bias","seed","tokens_max","stop","guidance","negative_prompt","context","thinking"].map((key) => [key, null]));
  const now = Date.now();
  const DAY = 86_400_000;
  const english = options.language === "en";
  const chats = [];
  const messages = [];
  const model = (id, name, more) => ({ id, name, path: `/home/x/models/${name}.gguf`, bundled: false, kind: "chat", state: "ready", architecture: "llama", quantization: "Q4_K_M", file_bytes: 4_080_000_000, parameter_count: 6_900_000_000, context_tokens: 4096, sha256: null, source: { kind: "file" }, family: "", hash: "unknown", checked_ms: null, in_storage: false, adapter: null, persona: null, draft: null, template: "alpaca-2", template_source: "built in", thinks: false, parameters: none, loaded_by: null, device: null, device_reason: null, added_ms: now - DAY, used_ms: null, ...more });
  const models = [
    model(1, "Huacaya Demo", { bundled: true, quantization: "Q8_0", file_bytes: 5_900_000, parameter_count: 4_800_000, context_tokens: 1024, loaded_by: "me", device: "CPU", device_reason: null, source: { kind: "built_in" }, in_storage: true, family: "Huacaya", hash: "verified", sha256: "c4".repeat(32), checked_ms: now - DAY, used_ms: now - 60_000 }),
    model(2, "Chinese-Alpaca-2-7B", { thinks: true, family: "Chinese-Alpaca-2", in_storage: true, source: { kind: "hub", endpoint: "https://hub.example", repository: "hfl/chinese-alpaca-2-7b-gguf", revision: "0d4fbaf9c0e1a8b7d6", file: "ggml-model-q4_k.gguf" }, hash: "verified", sha256: "9e107d9d372bb6826bd81d3542a419d6e1f0d3a2b6c7584930ab12cd34ef5678", checked_ms: now - DAY }),
    model(3, "Chinese-Alpaca-2-13B-16K-with-a-very-long-name-that-does-not-end", { file_bytes: 7_900_000_000, context_tokens: 16_384, family: "Chinese-Alpaca-2", in_storage: true, hash: "wrong", sha256: "0a".repeat(32), checked_ms: now - 3 * DAY, source: { kind: "url", url: "https://files.example/models/chinese-alpaca-2-13b-16k.gguf" } }),
    model(4, "Chinese-LLaMA-2-7B", { kind: "base", state: "missing", family: "Chinese-LLaMA-2", quantization: "F16", file_bytes: 13_860_000_000 }),
    model(5, "Chinese-Alpaca-2-LoRA-7B", { kind: "adapter", family: "Chinese-Alpaca-2", quantization: "F16", file_bytes: 1_220_000_000, parameter_count: 612_000_000, context_tokens: 0, template: "", template_source: "none", adapter: { base: "Llama-2-7b-hf", rank: 64 }, in_storage: true, source: { kind: "hub", endpoint: "https://hub.example", repository: "hfl/chinese-alpaca-2-lora-7b", revision: "main", file: "adapter_model.bin" }, hash: "computed", sha256: "1b".repeat(32), checked_ms: now - DAY }),
    model(6, "deepseek-r1:7b", { thinks: true, family: "DeepSeek-R1-Distill", architecture: "qwen2", file_bytes: 4_700_000_000, source: { kind: "program", program: "ollama" }, state: "changed" }),
    model(7, "Llama-2-7b-hf", { kind: "base", family: "Llama-2", quantization: "F16", file_bytes: 13_480_000_000, template: "", template_source: "none" }),
  ];
  if (options.reports) {
    for (const [id, scheme, bytes] of [[8, "Q5_K_M", 4_930_000_000], [9, "Q4_K_M", 4_210_000_000]]) {
      models.push(model(id, `Chinese-LLaMA-2-7B-${scheme}`, { kind: "base", quantization: scheme, file_bytes: bytes, family: "Chinese-LLaMA-2", in_storage: true, template: "", template_source: "none", source: { kind: "made", from: "Llama-2-7b-hf" }, added_ms: now - 20 * DAY }));
    }
  }
  const made = (id) => ({ model: id, model_name: models[id - 1].name, model_sha256: "ab".repeat(32), template: "alpaca-2", system: "", parameters: none, adapters: [], begin: "", backend: "cpu", version: "0.1.0" });
  const stats = (more = {}) => ({ prompt_tokens: 900, reused_tokens: 812, tokens: 128, first_token_ms: 412, tokens_per_second: 23.4, drafted_tokens: 0, accepted_tokens: 0, moved: null, finish: "end", turns_dropped: 0, memory_starts_at: null, ...more });
  const body = (text, more = {}) => ({ text, thought: "", thought_tokens: 0, thought_ms: 0, attachments: [], ...more });
  const chat = (id, heading, days, more = {}) => chats.push({ id, kind: "chat", title: "", heading, folder: null, pinned: false, persona: null, model: null, system: null, parameters: none, adapters: [], leaf: null, created_ms: now - days * DAY, changed_ms: now - days * DAY, ...more });
  const message = (id, of, parent, role, text, more = {}) => messages.push({ id, chat: of, parent, role, state: "done", error: null, made: role === "assistant" ? made(1) : null, stats: role === "assistant" ? stats() : null, created_ms: now - 3_600_000 + id, body: body(text), ...more });

  chat(1, english ? "How do I install it, and what does a formula look like" : "怎么安装，公式是什么样子的", 0, { leaf: 13, pinned: true });
  message(10, 1, null, "user", english ? "Show me **everything** you can lay out." : "把你会的排版都给我看看，**包括公式**。");
  message(11, 1, 10, "assistant", window.__MOCK_ANSWER__, { body: body(window.__MOCK_ANSWER__, { thought: "The person wants to see everything.\n\n先想一想怎么排版。", thought_tokens: 86, thought_ms: 3_200 }) });
  message(14, 1, 10, "assistant", "另一个版本。");
  message(12, 1, 11, "user", english ? "And a short one?" : "再来个短的？", { body: body(english ? "And a short one?" : "再来个短的？", { attachments: [{ name: "说明书.md", encoding: "GB18030", text: "x", tokens: 1240 }] }) });
  message(13, 1, 12, "assistant", english ? "Here it is: the capital of France is Paris." : "好的：法国的首都是巴黎。", { stats: stats({ memory_starts_at: 12, turns_dropped: 1 }) });

  chat(2, english ? "Interrupted answer" : "被打断的回答", 0.01, { leaf: 21 });
  message(20, 2, null, "user", english ? "Tell me a long story." : "讲一个很长的故事。");
  message(21, 2, 20, "assistant", english ? "Once upon a time, in the high mountains," : "从前，在很高很高的山上，", { state: "interrupted", stats: null });

  chat(3, english ? "Failed answer" : "失败的回答", 1.2, { leaf: 31 });
  message(30, 3, null, "user", english ? "Hello" : "你好");
  message(31, 3, 30, "assistant", "", { state: "failed", stats: null, made: null, error: { code: "memory_short", values: { model: "Chinese-Alpaca-2-13B", needed: "9100000000", free: "6200000000" }, detail: "needs 9.1 GB, 6.2 GB free" } });

  chat(4, english ? "Stopped answer" : "停止的回答", 3, { leaf: 41 });
  message(40, 4, null, "user", english ? "Count to one hundred." : "从一数到一百。");
  message(41, 4, 40, "assistant", english ? "One, two, three," : "一、二、三、", { state: "stopped", stats: stats({ finish: "stopped" }) });

  chat(5, "A title that is so very long that no list on any screen could ever hope to show the whole of it", 12, { folder: 1 });
  chat(6, english ? "Old chat" : "很久以前的对话", 80);
  chat(7, english ? "A page" : "一篇文稿", 2, { kind: "page", leaf: 71 });
  message(70, 7, null, "user", "从前有座山，");
  message(71, 7, 70, "assistant", "山里有座庙。");

  if (options.many) {
    chat(8, `${options.many} messages`, 0.5);
    let parent = null;
    for (let at = 0; at < options.many; at += 1) {
      const id = 200_000 + at;
      const text = at % 2 === 0 ? `第 ${at} 个问题：怎么把 GGUF 模型转换成别的格式？` : `这是第 ${at} 个回答。**要点。**后面是一段话，长短不一。${"这里有一些字。".repeat(at % 17)}\n\n${at % 10 === 1 ? "```python\nprint(1)\n```\n" : ""}- 一\n- 二`;
      message(id, 8, parent, at % 2 === 0 ? "user" : "assistant", text);
      parent = id;
    }
    chats.at(-1).leaf = parent;
  }

  const settings = [{ key: "welcomed", value: true }];
  if (options.language) settings.push({ key: "language", value: options.language });
  if (options.theme) settings.push({ key: "theme", value: options.theme });
  if (options.panel) settings.push({ key: "panel", value: true });
  if (options.welcome) {
    settings.shift();
    chats.length = messages.length = 0;
  }
  if (options.tunings) settings.push({ key: "tunings", value: window.__MOCK_TUNINGS__(now) });
  for (const [key, value] of Object.entries(options.settings ?? {})) settings.push({ key, value });

  if (options.noModels) models.length = 0;
  return {
    chats, messages, models, settings,
    folders: [{ id: 1, name: english ? "Work" : "工作", open: true }, { id: 2, name: english ? "Empty" : "空的", open: false }],
    personas: [{ id: 1, name: english ? "Translator" : "翻译", system: "Translate.", parameters: none, greeting: "你好，要翻译什么？", examples: [] }],
    jobs: options.downloads ? window.__MOCK_DOWNLOADS__(now) : options.job ? [{ id: 1, task: { kind: "load", model: 2, name: "Chinese-Alpaca-2-7B", context: null, anyway: false }, state: "running", stage: null, position: 1, done: 1_700_000_000, total: 4_080_000_000, error: null, outcome: null, created_ms: now - 8_000, finished_ms: null }] : [],
    drafts: [],
    requests: window.__MOCK_REQUESTS__(options, now),
  };
};
