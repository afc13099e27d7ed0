//! 命令面板。

import type { palette as en } from "../en/palette";

export const palette: typeof en = {
  title: "命令与搜索",
  placeholder: "想做什么，或者想找什么",
  commands: "命令",
  chats: "对话",
  found: "在消息里找到",
  nothing: (text) => `没有找到“${text}”`,
  newChat: "新对话",
  newPage: "新建续写页（基座模型）",
  openModels: "打开模型列表",
  addModel: "添加模型文件",
  load: (name) => `载入 ${name}`,
  unload: (name) => `卸载 ${name}`,
  openSettings: "打开设置",
  openShortcuts: "查看快捷键",
  openDiagnostics: "打开诊断信息",
  inspect: "查看这个对话的提示词全文",
  find: "在对话中查找",
  togglePanel: "显示或隐藏右侧面板",
  toggleSidebar: "显示或隐藏列表",
  pin: "置顶这个对话",
  unpin: "取消置顶",
  copyChat: "把这个对话复制为 Markdown",
  chatCopied: "对话已复制为 Markdown",
  theme: { light: "外观：浅色", dark: "外观：深色", system: "外观：跟随系统" },
  toChinese: "界面语言：中文",
  toEnglish: "Language: English",
};
