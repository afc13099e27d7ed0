//! 在运行服务的电脑上选择文件的对话框。

import type { picking as en } from "../en/picking";

export const picking: typeof en = {
  titles: { model_file: "选择文件", model_folder: "选择文件夹", save: "保存到服务器上" },
  body: "这里列出的是运行 Huacaya 的那台电脑上的文件夹。",
  place: "位置",
  top: "可选的文件夹",
  up: "上一层文件夹",
  find: "在这个文件夹里查找",
  name: "文件名",
  entries: "文件和文件夹",
  folder: "文件夹",
  empty: "这个文件夹是空的。",
  noneOf: (endings: string) => `这里没有 ${endings} 文件。`,
  nothing: "这里没有名字含这些字的文件。",
  more: "这个文件夹里还有更多，没有全部列出。",
  taken: (name: string) => `“${name}” 已经存在。`,
  choose: "选择",
  chooseFolder: (name: string) => `选择“${name}”`,
  save: "保存",
  replace: "替换它",
};
