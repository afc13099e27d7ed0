//! What the palette can do, as far as it makes sense now.

import { api, can, transport, type Chat, type JsonValue } from "$api";
import { m } from "$i18n";
import { act } from "$state/act";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { copyText } from "$shared/clipboard";
import { newChatKeys } from "$shared/keys";
import { toast } from "$shared/toasts.svelte";
import { toggleList, togglePanel } from "../frame";
import { download, isMoving, openDownloads, pause, resume } from "../downloads/downloads.svelte";
import { finding, shelf } from "../hub/finding.svelte";
import { asking, choose, listed, load, recognise, unload } from "../models/models.svelte";
import { make, reports, workshop } from "../workshop/workshop.svelte";

export type Command = { id: string; label: string; keys?: string; run: () => void };

const set = (key: string, value: JsonValue) => void act(api.setSetting({ key, value }));

async function newPage() {
  const base = listed().find((model) => model.kind === "base");
  const page = await act(api.newChat({ kind: "page", model: base?.id ?? null }));
  if (page) view.open(page.id);
}

async function copyChat(chat: Chat) {
  const text = await act(api.exportText({ chat: chat.id, format: "markdown" }));
  if (text === undefined) return;
  if (await copyText(text)) toast(m.palette.chatCopied);
}

/** Reactive: reads the mirror and the view. */
export function commands(): Command[] {
  const chat = view.room === "chats" && view.chat !== null ? mirror.chats.get(view.chat) : undefined;
  const list: Command[] = [
    { id: "new-chat", label: m.palette.newChat, keys: newChatKeys(), run: () => view.open(null) },
    { id: "new-page", label: m.palette.newPage, run: () => void newPage() },
  ];
  if (chat) list.push(...chatCommands(chat));
  else if (view.room === "chats") list.push(inspect(), panel());
  list.push(
    { id: "models", label: m.palette.openModels, run: () => (view.room = "models") },
    { id: "find-model", label: m.palette.findModel, run: findModel },
    ...downloadCommands(),
    { id: "workshop", label: m.palette.openWorkshop, run: () => (view.room = "workshop") },
    { id: "make", label: m.palette.makeModel, run: () => workshop.show({ at: "making" }) },
    { id: "measure", label: m.palette.measureModels, run: () => workshop.show({ at: "measuring" }) },
    { id: "add-model", label: m.palette.addModel, run: () => void choose("model_file") },
    { id: "add-folder", label: m.models.addFolder, run: () => void choose("model_folder") },
    { id: "elsewhere", label: m.finding.addElsewhere, run: () => (asking.elsewhere = true) },
    { id: "recognise", label: m.finding.addRecognise, run: () => void recognise() },
  );
  for (const model of listed()) {
    if (model.loaded_by) list.push({ id: `unload-${model.id}`, label: m.palette.unload(model.name), run: () => void unload(model) });
    else if (model.state !== "missing") list.push({ id: `load-${model.id}`, label: m.palette.load(model.name), run: () => void load(model) });
    if (model.state !== "missing") list.push({ id: `quantize-${model.id}`, label: m.palette.quantize(model.name), run: () => make(model) });
  }
  for (const report of reports()) list.push({ id: `report-${report.id}`, label: m.palette.openReport(report.title), run: () => workshop.show({ at: "report", report: report.id }) });
  list.push(
    { id: "sidebar", label: m.palette.toggleSidebar, keys: "mod+B", run: toggleList },
    { id: "settings", label: m.palette.openSettings, keys: "mod+,", run: () => view.settings("general") },
    { id: "server", label: m.palette.openServer, run: () => view.settings("server") },
    { id: "requests", label: m.palette.openRequests, run: () => view.settings("requests") },
    { id: "keys", label: m.palette.openShortcuts, run: () => (view.over = "shortcuts") },
    { id: "diagnostics", label: m.palette.openDiagnostics, run: () => view.settings("diagnostics") },
    ...(can.reveal ? [{ id: "home", label: m.settings.showHome, run: () => void act(transport.reveal("home")) }] : []),
    { id: "light", label: m.palette.theme.light, run: () => set("theme", "light") },
    { id: "dark", label: m.palette.theme.dark, run: () => set("theme", "dark") },
    { id: "system", label: m.palette.theme.system, run: () => set("theme", null) },
    { id: "zh", label: m.palette.toChinese, run: () => set("language", "zh") },
    { id: "en", label: m.palette.toEnglish, run: () => set("language", "en") },
  );
  return list;
}

function findModel() {
  finding.show({ at: "list" });
  finding.wishes += 1;
}

function downloadCommands(): Command[] {
  const list: Command[] = [];
  const { advice } = shelf;
  const file = shelf.entry(advice?.entry ?? null)?.files.find((one) => one.path === advice?.file);
  const open = openDownloads();
  if (file && file.here === null && open.length === 0) {
    const name = shelf.entry(advice!.entry)!.name;
    const run = () => (finding.show({ at: "list" }), shelf.take(), void download(file.repository, file.path));
    list.push({ id: "download-recommended", label: m.palette.downloadRecommended(name), run });
  }
  const [moving, resting] = [open.filter(isMoving), open.filter((job) => job.state === "paused")];
  if (moving.length > 0) list.push({ id: "pause-all", label: m.palette.pauseAll, run: () => moving.forEach((job) => void pause(job)) });
  if (resting.length > 0) list.push({ id: "resume-all", label: m.palette.resumeAll, run: () => resting.forEach((job) => void resume(job)) });
  return list;
}

const inspect = (): Command => ({ id: "inspect", label: m.palette.inspect, run: () => (view.over = "inspector") });
const panel = (): Command => ({ id: "panel", label: m.palette.togglePanel, run: togglePanel });

function chatCommands(chat: Chat): Command[] {
  const list: Command[] = [];
  if (chat.kind === "chat") {
    list.push(
      inspect(),
      { id: "find", label: m.palette.find, keys: "mod+F", run: () => (view.finding = true) },
    );
  }
  list.push(
    panel(),
    {
      id: "pin",
      label: chat.pinned ? m.palette.unpin : m.palette.pin,
      run: () => void act(api.pinChat({ chat: chat.id, pinned: !chat.pinned })),
    },
    { id: "copy", label: m.palette.copyChat, run: () => void copyChat(chat) },
  );
  return list;
}

/** Every word of the query stands somewhere in the label. */
export function matches(label: string, query: string): boolean {
  const text = label.toLocaleLowerCase();
  return query
    .toLocaleLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}
