//! 对话。

import type { chat as en } from "../en/chat";

export const chat: typeof en = {
  code: "代码",
  codeOf: (language) => (language ? `${language} 代码` : "代码"),
  copyCode: "复制",
  copied: "已复制",
  tokens: (n) => `${n.toLocaleString("zh-CN")} 个 token`,
};
