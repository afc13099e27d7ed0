//! 模型在处理器上怎样计算：可选的方式，以及测得最快的那一种。

import type { computing as en } from "../en/computing";

export const computing: typeof en = {
  title: "在处理器上",
  hint: "对在处理器上运行的模型有效，下次载入时生效。几乎所有人都适合用“自动”。",
  auto: "自动",

  now: "正在使用",
  next: "下一个模型将这样计算",
  nowFor: (name) => `${name} 这样计算`,
  reasoned: (what, why) => (why === undefined ? what : `${what}（${why}）`),
  reasons: { environment: "强制", setting: "你选的", measured: "测得最快" },
  forced: (variable) => `环境变量 ${variable} 优先于这里的设置。`,
  ignored: (variable, value) => `没有采用 ${variable}=${value}：这个处理器没有这种指令集。`,

  backend: "计算后端",
  backendHint: "把权重变成文字的那套运算",
  backends: { native: "Huacaya 自己的", candle: "Candle", gpu: "显卡" },
  backendDetails: {
    native: "直接用压缩着的权重计算：快，占内存少",
    candle: "通用的计算库，用来对照：更慢，占内存更多",
  },
  nativeOnly: "下面几项只对 Huacaya 自己的后端有效，Candle 不认识它们。",

  kernels: "指令集",
  kernelsHint: "用处理器的哪些指令来计算",
  kernelsAuto: "测得最快的；没有测过，就用这个处理器最新的",
  kernelDetails: {
    portable: "任何处理器都能运行，很慢，用来对照",
    avx2: "大约 2013 年以后的处理器",
    "avx-vnni": "AVX2 加上整数乘加",
    avx512: "宽寄存器：多数服务器，部分台式机",
    neon: "ARM 处理器",
    "neon-i8mm": "带矩阵乘法的 ARM 处理器",
  },

  threads: "线程数",
  threadsAuto: "自动",
  threadsHint: (cores) => (cores === 1 ? "留空：按测量结果，没有测过就用 1 个" : `留空：按测量结果，没有测过就每个核心一个，共 ${cores} 个`),

  kv: "对话的缓存（KV）",
  kvHint: "模型对读过的每个 token 记下的内容。位数越少，占内存越少，长对话里也可能更快。代价是在自带的模型上测得的。",
  kvAuto: "测得最快的；没有测过，就用 16 位",
  kvNames: { f16: "16 位（F16）", q8_0: "8 位（Q8_0）", q4_0: "4 位（Q4_0）" },
  kvCosts: {
    f16: "通常的选择。没有代价：困惑度变化 0.008 %",
    q8_0: "内存约减半。测不出代价：困惑度变化 0.009 %",
    q4_0: "内存只要四分之一多一点。代价很小：困惑度变化 0.053 %，很长的对话里可能更明显",
  },

  quiet: "安静模式",
  quietHint: "留出一个核心，模型回答时其他程序照样流畅。立即生效",
  quietNames: { off: "关", automatic: "自动", on: "开" },
  quietDetails: {
    off: "模型用上全部核心",
    automatic: "其他程序忙的时候留出一个核心，2 秒内察觉",
    on: "始终留出一个核心",
  },

  tuning: "这台电脑上最快的方式",
  tuningHint: "第一次载入较大的模型时，Huacaya 会试几种计算方式，留下最快的。你也可以让它再测一次，大约 20 秒。",
  tuningModel: "模型",
  none: "还没有测过。",
  candle: "Candle 没有可选的方式，用它作后端时不需要测量。",
  nothing: "这个模型在这台电脑上没有别的方式可选。",
  measure: "测量",
  measureAgain: "重新测量",
  measuring: (name) => `正在测量 ${name}`,
  stop: "停止测量",
  faster: (share) => `比通常的方式写得快 ${share} %`,
  usualBest: "通常的方式就是最快的",
  chosen: "选用",
  usual: "通常的方式",
  way: "方式",
  reading: "阅读",
  writing: "写出",
  tokensPerSecond: (n) => `${n} token/秒`,
  wayOf: (kernels, threads, kv) => `${kernels} · ${threads} · KV ${kv}`,
  threadsOf: (n) => `${n} 个线程`,
  measuredWith: (name) => `是用形状相同的 ${name} 测的。`,
  measuredAt: (date, tried, machine) => `测量于 ${date}，另试了 ${tried} 种方式。${machine}`,
};
