//! 提示词检查器。

import type { inspector as en } from "../en/inspector";

export const inspector: typeof en = {
  title: "模型看到的提示词",
  body: "模型回答之前收到的全部内容，按它读到的 token 切分。",
  views: "显示方式",
  colored: "原文",
  table: "逐个 token",
  template: "模板",
  source: "来源",
  stops: "结束回答",
  stopsHint: "模型写出其中之一，回答就结束",
  noStops: "无",
  tokens: "Token 数",
  characters: "字符数",
  density: "每 100 字符的 token 数",
  densityHint: "模型把文字切得有多碎，越少越好。有中文词表的模型处理中文时会少很多。",
  number: "位置",
  id: "编号",
  text: "文字",
  kind: "类别",
  special: "控制 token",
  plain: "文字",
  specialHint: "控制 token，只由模板写入。你输入同样的字母，也只是文字。",
  withDraft: "包括正在写的内容",
  copy: "复制提示词",
  noTemplate: "无（原文）",
  shown: (shown, all) => `显示前 ${shown} 个，共 ${all} 个 token`,
  showAll: "全部显示",
  tokenName: (id, text) => `Token ${id}：${text}`,
};
