//! The commands of the workshop, for the mock back end: what would come out, making, measuring, reports. The figures are those
//! that were published for Chinese-LLaMA-2-7B.

window.__MOCK_WORKSHOP__ = ({ rows, byId, put, send, problem, options, id }) => {
  const GB = 1e9;
  const tick = options.jobTick ?? 60;
  /** Scheme, bits per weight, GB of a 7B, published perplexity. */
  const SCHEMES = [
    ["F32", 32, 27.72, null], ["F16", 16, 13.86, 9.128], ["BF16", 16, 13.86, null], ["Q8_0", 8.5, 7.36, 9.129], ["Q6_K", 6.56, 5.69, 9.133],
    ["Q5_K_M", 5.69, 4.93, 9.168], ["Q5_K_S", 5.52, 4.79, null], ["Q5_1", 6, 5.21, 9.213], ["Q5_0", 5.52, 4.8, 9.156], ["Q4_K_M", 4.86, 4.21, 9.24],
    ["Q4_K_S", 4.58, 3.99, null], ["IQ4_NL", 4.54, 3.94, null], ["IQ4_XS", 4.3, 3.74, null], ["Q4_1", 5.05, 4.38, 9.576], ["Q4_0", 4.55, 3.96, 9.476],
    ["Q3_K_L", 4.3, 3.72, null], ["Q3_K_M", 3.93, 3.42, 9.576], ["Q3_K_S", 3.5, 3.05, null], ["Q2_K", 3.39, 2.94, 11.107],
  ];
  const deleted = new Map();
  const reports = (rows.reports = options.reports ? [window.__MOCK_REPORT__(rows)] : []);

  function job(task, stages, end) {
    const row = { id: id(), task, state: "running", stage: stages[0], position: 1, done: 0, total: 100, error: null, outcome: null, created_ms: Date.now(), finished_ms: null };
    let at = 0;
    const step = () => {
      if (row.state !== "running") return;
      row.done = Math.min(100, row.done + 4);
      if (row.done >= 100 && at + 1 < stages.length) Object.assign(row, { done: 0, stage: stages[(at += 1)] });
      else if (row.done >= 100) Object.assign(row, { state: "done", finished_ms: Date.now() }, end());
      if (row.state === "running") setTimeout(step, tick);
      put("job", row);
    };
    rows.jobs.push(row);
    put("job", row);
    setTimeout(step, tick);
    return row.id;
  }

  const hide = (model) => {
    deleted.set(model, byId(rows.models, model));
    rows.models = rows.models.filter((row) => row.id !== model);
    send({ kind: "removed", value: { table: "model", id: model } });
  };

  return {
    plan_making: ({ source, adapters }) => {
      const model = byId(rows.models, source);
      if (options.planFails) throw problem("not_quantizable", { model: model.name, reason: "its tensors are of a kind that is not known" });
      const scale = model.parameter_count > 0 ? model.parameter_count / 6.9e9 : model.file_bytes / 13.48e9;
      return {
        schemes: SCHEMES.map(([scheme, bits, size, known]) => {
          const bytes = Math.round(size * scale * GB);
          const memory = bytes + 0.9 * GB * Math.min(1, scale);
          return { scheme, bytes, bits_per_weight: bits, memory_bytes: memory, verdict: memory > 6.2 * GB ? "too_large" : memory > 5.2 * GB ? "tight" : "well", decode_tokens_s: scale > 0.1 ? 34 / (size * scale) : 240 / bits, perplexity_known: scale > 0.5 ? known : null, recommended: scheme === "Q4_K_M" };
        }),
        requantizes: !["F32", "F16", "BF16"].includes(model.quantization),
        free_bytes: (options.diskFree ?? 118) * GB,
        seconds_per_scheme: 130 * scale + 2,
        reason: { zh: "Q4_K_M：文件 4.2 GB，运行约需 5.1 GB 内存，预计每秒约 8 个 token（根据本机短时测量推算）。在本机流畅运行的格式中，它与原模型最接近。", en: "Q4_K_M: a file of 4.2 GB that takes about 5.1 GB of memory, and about 8 tokens a second are predicted (from a short measurement of this machine). It is the closest to the original that runs well here." },
        problems: options.planProblem ? [options.planProblem] : adapters.some((one) => one.model === 6) ? [problem("merge_refused", { reason: "another base" })] : [],
      };
    },
    make: (task) => {
      if (options.makeRefused) throw problem(options.makeRefused.code, options.makeRefused.values);
      const stages = [task.importance ? "importance" : "", task.adapters.length ? "merging" : "", "quantizing", task.measure ? "measuring" : ""].filter(Boolean);
      return job({ kind: "make", ...task }, stages, () => {
        if (options.makeFails) return { state: "failed", error: problem(options.makeFails.code, options.makeFails.values) };
        const source = byId(rows.models, task.source);
        const models = task.targets.map(({ scheme, by_hand }) => {
          const name = `${task.name}-${scheme}${by_hand.length ? "-custom" : ""}`;
          const size = SCHEMES.find((row) => row[0] === scheme)[2] * GB;
          const row = { ...source, id: id(), name, quantization: scheme, file_bytes: size, kind: "chat", state: "ready", loaded_by: null, bundled: false, source: { kind: "made", from: source.name }, in_storage: true, added_ms: Date.now() };
          rows.models.push(row);
          put("model", row);
          return row;
        });
        let report = null;
        if (task.measure) {
          report = window.__MOCK_REPORT__(rows, { id: id(), title: task.name, source_name: source.name, made: models, source });
          reports.push(report);
          put("report", report);
        }
        return { outcome: { kind: "made", models: models.map((row) => row.id), report: report?.id ?? null } };
      });
    },
    measure: (task) =>
      job({ kind: "measure", name: task.models.map((model) => byId(rows.models, model).name).join(", "), ...task }, ["measuring"], () => {
        const report = window.__MOCK_REPORT__(rows, { id: id(), title: "Measured", source_name: "", made: task.models.map((model) => byId(rows.models, model)) });
        reports.push(report);
        put("report", report);
        return { outcome: { kind: "measured", report: report.id } };
      }),
    export_report: () => null,
    rename_report: ({ report, title }) => put("report", Object.assign(byId(reports, report), { title })),
    delete_report: ({ report }) => {
      deleted.set(`report${report}`, byId(reports, report));
      reports.splice(reports.findIndex((row) => row.id === report), 1);
      send({ kind: "removed", value: { table: "report", id: report } });
    },
    restore_report: ({ report }) => {
      reports.push(deleted.get(`report${report}`));
      put("report", deleted.get(`report${report}`));
    },
    keep_made: ({ report, model }) => {
      for (const row of byId(reports, report).rows) if (row.model !== null && row.model !== model && byId(rows.models, row.model)?.source.kind === "made") hide(row.model);
    },
    knows: (model) => deleted.has(model),
    restore_model: ({ model }) => {
      const row = deleted.get(model) ?? byId(rows.models, model);
      if (!byId(rows.models, model)) rows.models.push(row);
      put("model", row);
    },
    set_adapters: ({ chat, adapters }) => put("chat", Object.assign(byId(rows.chats, chat), { adapters })),
  };
};

/** A report: of models that a job has made, else one that stands there from the start. */
window.__MOCK_REPORT__ = (rows, more = {}) => {
  const GB = 1e9;
  const figures = {
    F16: [9.128, 0, 1, 118, 4.1, 9800, 14.9], Q8_0: [9.129, 0.0011, 0.991, 121, 7.4, 5200, 8.3], Q5_K_M: [9.168, 0.0094, 0.972, 109, 9.8, 3500, 5.9],
    Q4_K_M: [9.24, 0.0251, 0.951, 112, 11.6, 3000, 5.2], Q3_K_M: [9.576, 0.0822, 0.904, 104, 12.9, 2500, 4.4], Q2_K: [11.107, 0.2614, 0.821, 98, 14.8, 2100, 3.9],
  };
  const row = (name, scheme, bytes, model) => {
    const [value, mean, agreement, prefill, decode, load, peak] = figures[scheme] ?? figures.Q4_K_M;
    return { name, model, scheme, bytes, perplexity: { value, error: 0.058 }, divergence: scheme === "F16" ? null : { mean, top_agreement: agreement }, accuracy: null, prefill_tokens_s: prefill, decode_tokens_s: decode, load_ms: load, peak_bytes: peak * GB, problem: null };
  };
  const sizes = { F16: 13.86, Q8_0: 7.36, Q5_K_M: 4.93, Q4_K_M: 4.21, Q3_K_M: 3.42, Q2_K: 2.94 };
  const made = more.made?.map((model) => row(model.name, model.quantization, model.file_bytes, model.id)) ?? ["Q8_0", "Q5_K_M", "Q4_K_M", "Q2_K"].map((scheme, at) => row(`Chinese-LLaMA-2-7B-${scheme}`, scheme, sizes[scheme] * GB, [null, 8, 9, null][at]));
  const source = more.source ? row(more.source.name, "F16", 13.48 * GB, more.source.id) : row("Llama-2-7b-hf", "F16", 13.48 * GB, 7);
  const all = more.made && !more.source ? made : [source, ...made];
  const answer = (scheme, at) => (at === 0 ? { F16: "法国的首都是巴黎。它位于法国北部，塞纳河畔，是全国的政治、经济和文化中心。", Q2_K: "法国的首都是巴黎，是一个非常美丽的城市，城市，城市里有很多博物馆。" }[scheme] ?? "法国的首都是巴黎，位于塞纳河畔，是法国的政治、经济和文化中心。" : { Q2_K: "A llama is a animal that live in mountain and give wool." }[scheme] ?? "A llama is a domesticated animal of the Andes, kept for its wool and to carry loads.");
  return {
    id: 1, title: "Chinese-LLaMA-2-7B", source_name: "Llama-2-7b-hf", created_ms: Date.now() - 7_200_000, machine: "AMD EPYC 7B13, 2 cores, 24 GB",
    options: { perplexity: true, context: 512, text: null, divergence: true, speed: true, samples: true, evaluation: null },
    rows: all,
    samples: ["法国的首都是哪里？", "What is a llama?"].map((question, at) => ({ question, answers: all.map((one) => ({ name: one.name, text: answer(one.scheme, at) })) })),
    ...Object.fromEntries(Object.entries(more).filter(([key]) => !["made", "source"].includes(key))),
  };
};
