//! Files that were dropped, pasted or picked: read by the back end, which finds their encoding.

import { api, type Attachment, type ChatId, type Chosen } from "$api";

/** As the back end's own bound: a larger file cannot fit any context, and is not worth encoding. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

async function base64Of(file: Blob): Promise<string> {
  const url = await new Promise<string>((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error("unreadable"));
    reader.readAsDataURL(file);
  });
  return url.slice(url.indexOf(",") + 1);
}

/** A file that was dropped on the window: the back end has it already. Rejects with a `Problem`. */
export function readDropped(chat: ChatId | null, file: Chosen): Promise<Attachment> {
  return api.readDropped({ chat, chosen: file.id });
}

/** Rejects with a `Problem`: too large, not text, … */
export async function readFile(chat: ChatId | null, file: File): Promise<Attachment> {
  if (file.size > FILE_BYTES_MAX) {
    throw { code: "attachment_too_large", values: { name: file.name, bytes: String(file.size), most: String(FILE_BYTES_MAX) }, detail: "" };
  }
  return api.readAttachment({ chat, name: file.name, base64: await base64Of(file) });
}
