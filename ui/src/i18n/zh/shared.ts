//! 多处共用的文字。

import type { shared as en } from "../en/shared";

export const shared: typeof en = {
  close: "关闭",
  cancel: "取消",
  undo: "撤销",
  save: "保存",
  add: "添加",
  edit: "编辑",
  copy: "复制",
  copied: "已复制",
  delete: "删除",
  rename: "重命名",
  more: "更多",
  details: "详情",
  reset: "恢复",
  search: "搜索",
  remove: (what: string) => `移除“${what}”`,
  system: "跟随系统",
};
