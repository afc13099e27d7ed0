//! Small files that the page reads itself: character cards, exported chats. Model files never come this way.

/** The bytes as base64, as commands take them. */
export async function toBase64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  /** `fromCharCode` takes its bytes as arguments, and those are limited. */
  const CHUNK = 0x8000;
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(binary);
}

/** Opens the file dialog of the web view. `null`: nothing was chosen. */
export function pickFile(accept: string): Promise<File | null> {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = accept;
    input.hidden = true;
    const answer = () => {
      resolve(input.files?.[0] ?? null);
      input.remove();
    };
    input.addEventListener("change", answer);
    input.addEventListener("cancel", answer);
    // WebKit opens the dialog only for an element that is in the page.
    document.body.append(input);
    input.click();
  });
}
