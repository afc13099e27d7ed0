//! The Chinese words, part by part.

import { chat } from "./chat";
import { list } from "./list";
import { models } from "./models";
import { panel } from "./panel";
import { mends, problems } from "./problems";
import { rail } from "./rail";
import type { en } from "../en";
import { shared } from "./shared";
import { inspector } from "./inspector";
import { page } from "./page";
import { palette } from "./palette";
import { settings } from "./settings";
import { welcome } from "./welcome";

export const zh: typeof en = { rail, list, chat, shared, problems, mends, panel, models, inspector, page, palette, settings, welcome };
