//! 续写页。

import type { page as en } from "../en/page";

export const page: typeof en = {
  editor: "页面文字",
  placeholder: "写下开头，模型会从末尾接着写",
  continue: "续写",
  stop: "停止",
  undo: "撤销上一次续写",
  redo: "恢复续写",
  writing: "正在写",
  reading: (done, total) => `正在读 ${done} / ${total} token`,
  nextHint: "在文字末尾，模型认为每个 token 出现的可能性",
  nextAsk: "查看下一个 token",
  nextAgain: "文字变了，重新查看",
  nextEmpty: "先写点什么",
  insert: (text, share) => `加上“${text}”（${share}）`,
  baseNote: "基座模型直接续写原文，没有模板，也不参与对话。",
  chatModelNote: (name) => `“${name}”是为对话准备的，在这里它直接收到原文，不套模板。`,
  stats: (tokens, speed) => `${tokens} token，每秒 ${speed}`,
};
