//! 每个错误代码的说明，填入具体数值。

import type { problems as en } from "../en/problems";

export const problems: typeof en = {
  internal: () => "Huacaya 内部出了问题。详情见设置里的日志。",
};
