//! 每个错误代码的说明，填入具体数值；以及解决按钮上的文字。

import { formatBytes, formatDate, formatDuration, formatNumber } from "../format";
import type { mends as enMends, problems as en } from "../en/problems";

const bytes = (value?: string) => formatBytes(Number(value) || 0);
const count = (value?: string) => formatNumber(Number(value) || 0);
const duration = (value?: string) => formatDuration((Number(value) || 0) * 1_000);

export const problems: typeof en = {
  unknown_command: (v) => `窗口请求了“${v["command"]}”，但这个版本的 Huacaya 没有这个功能。请重新启动；如果还是这样，请反馈给我们。`,
  wrong_arguments: (v) => `窗口请求“${v["command"]}”时格式不对。请附上诊断信息反馈给我们。`,
  gone: () => "它已经不在了，可能在另一个窗口里被删除了。",
  no_model: () => "还没有可以回答的模型。添加一个模型文件就能开始。",
  model_missing: (v) => `“${v["model"]}”的文件已不在 ${v["path"]}。指出它现在的位置，或者把它移出列表。`,
  model_broken: (v) => `“${v["model"]}”不是完好的模型文件，可能没有传完，或者内容被改过。请重新获取这个文件。（${v["reason"]}）`,
  model_unsupported: (v) => `“${v["model"]}”属于 ${v["architecture"]} 结构，这个版本还不能运行。目前支持 Llama、Mistral、Qwen2 和 Qwen3 系列。`,
  memory_short: (v) => `“${v["model"]}”需要 ${bytes(v["needed"])} 内存，现在空闲 ${bytes(v["free"])}。可以缩短上下文、换一个小一点的模型，或者关掉别的程序。`,
  model_incomplete: (v) => `“${v["model"]}”不完整：只有 ${bytes(v["bytes"])}，完整的是 ${bytes(v["needed"])}。请把文件补齐，或者重新下载。`,
  adapter_alone: (v) => `“${v["model"]}”是 LoRA 适配器，不能单独回答。请先把它与基座模型合并。`,
  storage_unusable: (v) => `${v["path"]} 不能用来存放模型，请换一个文件夹。（${v["reason"]}）`,
  offline: () => "离线已打开，所以没有联网。关闭离线就能继续。",
  host_unreachable: (v) => `连不上 ${v["host"]}。请检查网络和代理，或者换一个来源。（${v["reason"]}）`,
  gated: (v) => `${v["repository"]} 只提供给接受了条款的人。请先在 ${v["url"]} 接受条款，再到网络设置里填入令牌。`,
  token_wrong: (v) => `${v["host"]} 不接受这个令牌。请到网络设置里换一个。`,
  not_found: (v) => `没有找到 ${v["what"]}。请检查拼写；私有模型需要令牌。`,
  rate_limited: (v) => `${v["host"]} 要求放慢请求。请等 ${duration(v["seconds"])}，然后再试。`,
  server_failed: (v) => `${v["host"]} 自己出了故障（${v["status"]}）。请稍后再试，或者换一个来源。`,
  not_a_file: (v) => `${v["url"]} 打开的是网页，不是文件。需要登录的网络也会这样。`,
  hub_answer: (v) => `${v["host"]} 的应答不像模型站。请在网络设置里检查它的地址和类型。（${v["reason"]}）`,
  hash_wrong: (v) => `“${v["name"]}”下载后是坏的：SHA-256 与模型站给出的不一致，重新下载出错的部分也没有修好。请换一个来源再试。`,
  size_wrong: (v) => `“${v["name"]}”有 ${bytes(v["found"])}，模型站给出的是 ${bytes(v["expected"])}。请重新下载，或者换一个来源。`,
  changed_there: (v) => `“${v["name"]}”在下载途中被模型站更新了。请重新下载。`,
  space_short: (v) => `需要 ${bytes(v["needed"])}，${v["path"]} 只空闲 ${bytes(v["free"])}。请腾出一些空间，或者把模型移到别的磁盘。`,
  address_unknown: (v) => `“${v["address"]}”不是模型的地址。可以填 owner/name、模型页面的地址，或 GGUF 文件的下载地址。`,
  name_unsafe: (v) => `这个仓库里有一个文件名“${v["name"]}”，可能会写到文件夹之外，所以什么都没有下载。`,
  token_not_kept: (v) => `令牌没能保存。请检查数据文件夹是否可以写入。（${v["reason"]}）`,
  merge_refused: (v) => `这两个不能合并。请选择训练这个适配器时用的基座。（${v["reason"]}）`,
  template_failed: (v) => `“${v["model"]}”的模板处理不了这段对话，请在模型详情里换一个模板。（${v["reason"]}）`,
  template_unknown: (v) => `没有名为“${v["template"]}”的模板，请给模型换一个。`,
  model_is_base: (v) => `“${v["model"]}”是基座模型，只会续写，不会对话。可以用它新建续写页，或者换一个对话模型。`,
  prompt_too_long: (v) => `内容比上下文能放下的 ${count(v["context"])} 个 token 多出 ${count(v["over"])} 个。请缩短内容，或在右侧面板调大上下文。`,
  engine_failed: (v) => `回答中断了。可以再试一次，或者重新载入模型。（${v["reason"]}）`,
  already_writing: () => "这里正在写一个回答。等它写完，或者先停下它。",
  not_an_answer: () => "只能对模型的回答这样做。",
  message_empty: () => "还没有内容可以发送。写点什么，或者附上一个文件。",
  cannot_run_again: (v) => `没法一模一样地重做这个回答。（${v["reason"]}）`,
  parameter_invalid: (v) => `参数“${v["parameter"]}”的值是 ${v["value"]}，应在 ${v["least"]} 到 ${v["most"]} 之间。`,
  text_too_long: (v) => `这段文字有 ${count(v["length"])} 个字符，一次最多 ${count(v["most"])} 个。`,
  attachment_too_large: (v) => `“${v["name"]}”有 ${bytes(v["bytes"])}，附件最大 ${bytes(v["most"])}。`,
  attachment_binary: (v) => `“${v["name"]}”不是文本。可以附上 txt、md、csv、json 或代码之类的文本文件。`,
  attachment_over: (v) => `“${v["name"]}”比模型 ${count(v["context"])} 个 token 的上下文多出 ${count(v["over"])} 个。请删减内容，或在右侧面板调大上下文。`,
  chosen_gone: () => "刚才选的文件已经失效，请重新选择。",
  path_not_unicode: (v) => `路径 ${v["path"]} 里有无法保存的字符。请给文件或文件夹改个名字。`,
  file_unreadable: (v) => `读不了 ${v["path"]}。（${v["reason"]}）`,
  file_unwritable: (v) => `写不了 ${v["path"]}，请换一个位置。（${v["reason"]}）`,
  disk_full: (v) => `磁盘空间不够存放 ${v["path"]}。腾出一些空间后再试。`,
  file_exists: (v) => `${v["path"]} 已经有一个模型了。请给其中一个文件改名。`,
  import_broken: (v) => `“${v["name"]}”没能导入。（${v["reason"]}）`,
  character_broken: (v) => `“${v["name"]}”里没有可以读取的角色卡。（${v["reason"]}）`,
  cannot_retry: () => "这个任务不能直接重来，请回到原来的地方重新开始。",
  interrupted: () => "任务进行时 Huacaya 被关闭了。",
  stopped: () => "你停下了它。",
  closing: () => "Huacaya 正在关闭。重新打开后可以继续。",
  database_damaged: (v) =>
    v["backup"]
      ? `历史记录损坏了。Huacaya 已把它另存（${v["aside"]}），并打开了 ${formatDate(Number(v["backup"]))} 的备份。那之后的消息不在里面。`
      : `历史记录损坏了，还没有备份。Huacaya 已把它另存（${v["aside"]}），并开始了新的记录。`,
  database_newer: (v) => `${v["path"]} 的历史记录由更新版本的 Huacaya 写成，请用那个版本打开。`,
  database_failed: (v) => `历史记录无法读写。请检查磁盘是否已满或只读。（${v["reason"]}）`,
  place_unusable: (v) => `文件夹 ${v["path"]} 无法使用。（${v["reason"]}）`,
  unfit: (v) => `这里不能这样做。（${v["reason"]}）`,
  link_refused: (v) => `没有打开 ${v["address"]}：只打开网页地址（http 和 https）。`,
  system_failed: (v) => `系统没能完成这个操作。（${v["attempt"]}：${v["reason"]}）`,
  internal: () => "Huacaya 内部出了问题，详情见设置里的诊断信息。",
};

export const mends: typeof enMends = {
  models: "打开模型列表",
  importModel: "添加模型文件",
  panel: "调整参数",
  diagnostics: "打开诊断信息",
  storage: "打开存储设置",
  network: "打开网络设置",
  token: "设置令牌",
  offline: "关闭离线",
  page: "打开它的网页",
  retry: "再试一次",
};
