//! The Chinese words, part by part.

import { adding } from "./adding";
import { chat } from "./chat";
import { computing } from "./computing";
import { details } from "./details";
import { downloads } from "./downloads";
import { finding } from "./finding";
import { list } from "./list";
import { models } from "./models";
import { network } from "./network";
import { panel } from "./panel";
import { mends, problems } from "./problems";
import { rail } from "./rail";
import type { en } from "../en";
import { report } from "./report";
import { shared } from "./shared";
import { inspector } from "./inspector";
import { page } from "./page";
import { palette } from "./palette";
import { picking } from "./picking";
import { server } from "./server";
import { settings } from "./settings";
import { welcome } from "./welcome";
import { workshop } from "./workshop";

export const zh: typeof en = { rail, list, chat, shared, problems, mends, panel, models, inspector, page, palette, settings, welcome, details, adding, network, finding, downloads, workshop, report, computing, server, picking };
