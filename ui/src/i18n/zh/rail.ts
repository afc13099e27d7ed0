//! 侧栏与窗口框架。

import type { rail as en } from "../en/rail";

export const rail: typeof en = {
  rooms: "房间",
  chats: "对话",
  models: "模型",
  workshop: "工坊",
  settings: "设置",
  hideList: "收起列表",
  showList: "展开列表",
  starting: "正在启动",
};
