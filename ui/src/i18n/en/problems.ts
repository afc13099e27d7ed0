//! A sentence for every error code, filled with the problem's values, and the words on the buttons that mend it.

import { formatBytes, formatDate, formatDuration, formatNumber } from "../format";

type Values = { [key in string]?: string };

const bytes = (value?: string) => formatBytes(Number(value) || 0);
const count = (value?: string) => formatNumber(Number(value) || 0);
const duration = (value?: string) => formatDuration((Number(value) || 0) * 1_000);

export const problems: Record<string, (v: Values) => string> = {
  unknown_command: (v) => `This window asked for “${v["command"]}”, which this version of Huacaya does not know. Restart Huacaya; if it stays, please report it.`,
  wrong_arguments: (v) => `This window asked for “${v["command"]}” in the wrong form. Please report it with the diagnostics.`,
  gone: () => "This is not there any more. It was probably deleted in another window.",
  no_model: () => "There is no model to answer with yet. Add a model file.",
  model_missing: (v) => `The file of “${v["model"]}” is not at ${v["path"]} any more. Show where it is now, or take the model off the list.`,
  model_broken: (v) => `“${v["model"]}” is not a sound model file: ${v["reason"]}. It was probably cut off or changed; get the file again.`,
  model_unsupported: (v) => `“${v["model"]}” is a model of the kind “${v["architecture"]}”, which this version cannot run. It runs the Llama, Mistral, Qwen2 and Qwen3 families.`,
  memory_short: (v) => `“${v["model"]}” needs ${bytes(v["needed"])} of memory, ${bytes(v["free"])} are free. Shorten the context, choose a smaller model, or close other programs.`,
  model_incomplete: (v) => `“${v["model"]}” is incomplete: ${bytes(v["bytes"])} of ${bytes(v["needed"])} are there. Get the rest of the file, or download it again.`,
  adapter_alone: (v) => `“${v["model"]}” is a LoRA adapter and cannot answer on its own. Merge it onto its base model.`,
  storage_unusable: (v) => `The models cannot be kept in ${v["path"]}: ${v["reason"]}. Choose another folder.`,
  offline: () => "Offline is on, so nothing was asked of the network. Switch it off to go on.",
  host_unreachable: (v) => `${v["host"]} was not reached: ${v["reason"]}. Check the connection and the proxy, or ask another endpoint.`,
  gated: (v) => `${v["repository"]} is given only to people who accepted its terms. Accept them at ${v["url"]}, then set your token in the network settings.`,
  token_wrong: (v) => `${v["host"]} does not take the token. Set a new one in the network settings.`,
  not_found: (v) => `${v["what"]} was not found. Check the spelling; a private model needs a token.`,
  rate_limited: (v) => `${v["host"]} asks for fewer requests. Try again in ${duration(v["seconds"])}.`,
  server_failed: (v) => `${v["host"]} has a fault of its own (${v["status"]}). Try again later, or ask another endpoint.`,
  not_a_file: (v) => `${v["url"]} leads to a web page, not to a file. A network that asks for a login answers so, too.`,
  hub_answer: (v) => `${v["host"]} does not answer as a hub does: ${v["reason"]}. Check its address and kind in the network settings.`,
  hash_wrong: (v) => `“${v["name"]}” came damaged: its SHA-256 is not the one that the hub states, and fetching parts again did not mend it. Try another endpoint.`,
  size_wrong: (v) => `“${v["name"]}” has ${bytes(v["found"])}; the hub states ${bytes(v["expected"])}. Download it again, or from another endpoint.`,
  changed_there: (v) => `“${v["name"]}” was changed on the hub while it was being downloaded. Download it again.`,
  space_short: (v) => `Needs ${bytes(v["needed"])}, ${bytes(v["free"])} are free at ${v["path"]}. Free some space, or move the models to another disk.`,
  address_unknown: (v) => `“${v["address"]}” is no address of a model. An owner/name, the address of a model page, or a direct address of a GGUF file will do.`,
  name_unsafe: (v) => `This repository has a file named “${v["name"]}”, which could leave its folder. Nothing was downloaded.`,
  token_not_kept: (v) => `The token could not be kept: ${v["reason"]}. Check that the data folder can be written.`,
  merge_refused: (v) => `These two cannot be merged: ${v["reason"]}. Choose the base that the adapter was trained on.`,
  scheme_unknown: (v) => `There is no format named “${v["scheme"]}”. Choose another one.`,
  importance_broken: (v) => `“${v["name"]}” is no importance matrix for this model: ${v["reason"]}. Choose another file, or go on without one.`,
  not_quantizable: (v) => `“${v["model"]}” cannot be made into that: ${v["reason"]}. Choose another source or another format.`,
  measure_failed: (v) => `This could not be measured: ${v["reason"]}. Measure something else, or choose another text.`,
  text_too_short: (v) => `The text has ${count(v["tokens"])} tokens, at least ${count(v["needed"])} are needed. Choose a longer one, or shorter pieces.`,
  template_failed: (v) => `The template of “${v["model"]}” does not work for this conversation: ${v["reason"]}. Choose another template in the model's details.`,
  template_unknown: (v) => `There is no template named “${v["template"]}”. Choose another one for the model.`,
  model_is_base: (v) => `“${v["model"]}” is a base model: it continues text but does not chat. Open a page with it, or choose a chat model.`,
  prompt_too_long: (v) => `The text is ${count(v["over"])} tokens longer than the ${count(v["context"])} that fit. Shorten it, or enlarge the context in the panel.`,
  engine_failed: (v) => `The answer broke off: ${v["reason"]}. Try again, or load the model anew.`,
  already_writing: () => "An answer is being written here. Wait for it, or stop it first.",
  not_an_answer: () => "This works with the model's answers only.",
  message_empty: () => "There is nothing to send yet. Write something or attach a file.",
  cannot_run_again: (v) => `This answer cannot be made again exactly: ${v["reason"]}.`,
  parameter_invalid: (v) => `The parameter “${v["parameter"]}” is ${v["value"]}; it may lie between ${v["least"]} and ${v["most"]}.`,
  text_too_long: (v) => `The text has ${count(v["length"])} characters; at most ${count(v["most"])} can be taken at once.`,
  attachment_too_large: (v) => `“${v["name"]}” has ${bytes(v["bytes"])}; text files of up to ${bytes(v["most"])} can be attached.`,
  attachment_binary: (v) => `“${v["name"]}” holds no text. Text files, such as txt, md, csv, json and code, can be attached.`,
  attachment_over: (v) => `“${v["name"]}” is ${count(v["over"])} tokens too long for the model's context of ${count(v["context"])}. Cut it, or enlarge the context in the panel.`,
  chosen_gone: () => "The chosen file is not known any more. Choose it once more.",
  path_not_unicode: (v) => `The path ${v["path"]} holds characters that cannot be kept. Rename the file or its folder.`,
  file_unreadable: (v) => `${v["path"]} could not be read: ${v["reason"]}.`,
  file_unwritable: (v) => `${v["path"]} could not be written: ${v["reason"]}. Choose another place.`,
  disk_full: (v) => `The disk has no room left for ${v["path"]}. Free some space and try again.`,
  file_exists: (v) => `There is already a model at ${v["path"]}. Rename one of the two files.`,
  import_broken: (v) => `“${v["name"]}” could not be imported: ${v["reason"]}.`,
  character_broken: (v) => `“${v["name"]}” holds no character card that can be read: ${v["reason"]}.`,
  cannot_retry: () => "This job cannot be run again. Start it anew from where you started it.",
  interrupted: () => "Huacaya was closed while this was running.",
  stopped: () => "You stopped this.",
  model_unknown: (v) => `There is no model called “${v["model"]}” here. Add it on the models page, or ask for one that is listed there.`,
  busy: (v) => `Too many requests are waiting. Try again in ${duration(v["seconds"])}.`,
  closing: () => "Huacaya is being closed. Open it again to go on.",
  database_damaged: (v) =>
    v["backup"]
      ? `The history was damaged. Huacaya set it aside (${v["aside"]}) and opened the backup of ${formatDate(Number(v["backup"]))}. Messages since then are missing.`
      : `The history was damaged and there was no backup yet. Huacaya set it aside (${v["aside"]}) and began a new one.`,
  database_newer: (v) => `The history at ${v["path"]} was written by a newer version of Huacaya. Open it with that version.`,
  database_failed: (v) => `The history could not be read or written: ${v["reason"]}. Check that the disk is not full and not read-only.`,
  place_unusable: (v) => `The folder ${v["path"]} cannot be used: ${v["reason"]}.`,
  unfit: (v) => `This cannot be done here: ${v["reason"]}.`,
  link_refused: (v) => `${v["address"]} was not opened: only web addresses (http and https) are.`,
  system_failed: (v) => `The system did not let Huacaya ${v["attempt"]}: ${v["reason"]}.`,
  internal: () => "Something went wrong inside Huacaya. The diagnostics in the settings have the details.",
};

/** The words on the buttons that mend. */
export const mends = {
  models: "Open models",
  workshop: "Open the workshop",
  importModel: "Add a model file",
  panel: "Change parameters",
  diagnostics: "Open diagnostics",
  storage: "Open the storage settings",
  network: "Open the network settings",
  token: "Set a token",
  offline: "Switch offline off",
  page: "Open its page",
  retry: "Try again",
};
