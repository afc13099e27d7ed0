//! 第一屏。无论界面是哪种语言，都用两种语言打招呼。

import type { welcome as en } from "../en/welcome";

export const welcome: typeof en = {
  chinese: "你好，我是 Huacaya",
  english: "Hello, I am Huacaya",
  body: "在你自己的电脑上运行语言模型，写下的内容不会离开这里。",
  small: "随程序来了一个小模型，跟它说句话吧：",
  placeholder: "打个招呼",
  send: "发送",
  ideas: ["你好", "你是谁？", "What is 12 × 7?"] as string[],
  waking: "正在醒来",
  find: "找个更大的模型",
  findBody: "按这台电脑的内存挑一个",
  files: "我有模型文件",
  filesBody: "GGUF 文件，或模型文件夹",
  begin: "开始对话",
  beginBody: "先用附带的小模型",
  languageName: "语言",
  you: "你",
  model: "Huacaya",
};
