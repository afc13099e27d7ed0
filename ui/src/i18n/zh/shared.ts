//! 多处共用的文字。

import type { shared as en } from "../en/shared";

export const shared: typeof en = {
  close: "关闭",
  cancel: "取消",
  undo: "撤销",
  notCopied: "没能复制。请选中文字后按 Ctrl+C。",
  copied: "已复制",
  details: "详情",
  lost: "与服务器的连接断了，正在重新连接……",
  remove: (what: string) => `移除“${what}”`,
  system: "跟随系统",
};
