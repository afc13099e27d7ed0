//! What can be done with a message, each as one call.

import { api, type MessageId, type ModelId, type Parameters } from "$api";
import { m } from "$i18n";
import { copyText } from "$shared/clipboard";
import { toast } from "$shared/toasts.svelte";
import { act } from "$state/act";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";

/** The words of a message as they are copied; thoughts only where the person set it so. */
export function textOf(id: MessageId): string {
  const body = mirror.bodies.get(id);
  if (!body) return "";
  const thoughts = mirror.setting<boolean>("copy_thoughts") && body.thought ? `${body.thought.trim()}\n\n` : "";
  return thoughts + body.text;
}

export async function copyMessage(id: MessageId) {
  if (await copyText(textOf(id))) toast(m.chat.copiedMessage);
}

export function regenerate(id: MessageId, other: { model?: ModelId | null; parameters?: Parameters | null; begin?: string } = {}) {
  return act(api.regenerate({ message: id, model: other.model ?? null, parameters: other.parameters ?? null, begin: other.begin ?? "" }));
}

export function runAgain(id: MessageId) {
  return act(api.runAgain({ message: id }));
}

export function goOn(id: MessageId) {
  return act(api.continueMessage({ message: id }));
}

export function stop(id: MessageId) {
  return act(api.stopMessage({ message: id }));
}

export async function branch(id: MessageId) {
  const chat = await act(api.branchChat({ message: id }));
  if (!chat) return;
  view.open(chat.id);
  toast(m.chat.branched);
}

export async function remove(id: MessageId) {
  if ((await act(api.deleteMessage({ message: id }).then(() => true))) !== true) return;
  toast(m.chat.deleted, { undo: () => void act(api.restoreMessage({ message: id })) });
}

export function choose(id: MessageId) {
  const chat = mirror.messages.get(id)?.chat;
  if (chat !== undefined) void act(api.chooseLeaf({ chat, message: id }));
}

/** The version beside this one, in either direction; none at the ends. */
export function neighbour(versions: MessageId[], id: MessageId, step: -1 | 1): MessageId | undefined {
  const at = versions.indexOf(id);
  return at === -1 ? undefined : versions[at + step];
}
