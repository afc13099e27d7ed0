//! How models are computed on the processor: choices, and the fastest way that was found.

export const computing = {
  title: "On the processor",
  hint: "Holds for models that run on the processor, from when they are loaded next. Automatic is right for nearly everyone.",
  auto: "Automatic",

  backend: "Back end",
  backendHint: "The arithmetic that turns weights into words",
  backends: { native: "Huacaya's own", candle: "Candle" } as Record<string, string>,
  backendDetails: {
    native: "Computes with the weights as they are packed: fast, and small in memory",
    candle: "A general library, for comparing: slower, and it needs more memory",
  } as Record<string, string>,
  nativeOnly: "The settings below are for Huacaya's own back end; Candle does not know them.",

  kernels: "Kernels",
  kernelsHint: "The processor's instructions that are computed with",
  kernelsAuto: "The fastest that was measured, else the newest that this processor has",
  kernelDetails: {
    portable: "Runs on every processor and is slow: for comparing",
    avx2: "Processors since about 2013",
    "avx-vnni": "AVX2 with products of whole numbers",
    avx512: "Wide registers: many servers, some desktops",
    amx: "Matrix tiles: servers of Intel since 2023",
    neon: "ARM processors",
    "neon-i8mm": "ARM processors with matrix products",
  } as Record<string, string>,

  threads: "Threads",
  threadsAuto: "auto",
  threadsHint: (cores: number) => (cores === 1 ? "Empty: what was measured, else one" : `Empty: as many as were measured to be the fastest, else one for each of the ${cores} cores`),

  kv: "Memory of the conversation (KV)",
  kvHint: "What the model keeps of each token that it has read. Fewer bits need less memory and can be faster in long chats. What they cost was measured on the built-in model.",
  kvAuto: "The fastest that was measured, else 16 bits",
  kvNames: { f16: "16 bits (F16)", q8_0: "8 bits (Q8_0)", q4_0: "4 bits (Q4_0)" } as Record<string, string>,
  kvCosts: {
    f16: "The usual. Costs nothing: perplexity moves by 0.008 %",
    q8_0: "About half the memory. Costs nothing that can be measured: perplexity moves by 0.009 %",
    q4_0: "A little over a quarter of the memory. Costs a trace: perplexity moves by 0.053 %, more may show in long chats",
  } as Record<string, string>,

  quiet: "Quiet mode",
  quietHint: "Leaves a core free, so that other programs stay quick while a model answers. Holds at once",

  tuning: "The fastest way here",
  tuningHint: "Huacaya tries some ways of computing when a large model is loaded for the first time, and keeps the fastest. It does so again when you ask, for about 20 seconds.",
  tuningModel: "Model",
  none: "Not measured yet.",
  candle: "Candle offers nothing to choose from: there is nothing to measure while it is the back end.",
  nothing: "There was nothing to choose from for this model on this computer.",
  measure: "Measure",
  measureAgain: "Measure again",
  measuring: (name: string) => `Measuring ${name}`,
  stop: "Stop measuring",
  faster: (share: string) => `Writes ${share} % faster than the usual way`,
  usualBest: "The usual way is the fastest",
  chosen: "Chosen",
  usual: "The usual way",
  way: "Way",
  reading: "Reads",
  writing: "Writes",
  tokensPerSecond: (n: string) => `${n} tokens/s`,
  wayOf: (kernels: string, threads: string, kv: string) => `${kernels} · ${threads} · KV ${kv}`,
  threadsOf: (n: number) => (n === 1 ? "1 thread" : `${n} threads`),
  measuredAt: (date: string, tried: number, machine: string) => `Measured ${date}, ${tried === 1 ? "one other way" : `${tried} other ways`} tried. ${machine}`,
};
