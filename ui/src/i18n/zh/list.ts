//! Words of: list.

import type { list as en } from "../en/list";

export const list: typeof en = {};
