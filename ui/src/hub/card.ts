//! A model card as plain Markdown: cards are full of HTML and pictures, which are shown to nobody here. This makes them
//! readable; what makes them harmless is the component that shows them.

/** Code is left as it is: fences, and spans between backticks. */
const CODE = /(^ {0,3}(`{3,}|~{3,})[^\n]*\n[\s\S]*?(?:^ {0,3}\2[`~]*[ \t]*$|$(?![\s\S]))|`+[^`\n]+`+)/gm;

function withoutMarkup(text: string): string {
  return (
    text
      .replace(/<!--[\s\S]*?(?:-->|$)/g, "")
      .replace(/<(script|style)\b[\s\S]*?(?:<\/\1\s*>|$)/gi, "")
      // Pictures, and links that hold nothing but a picture.
      .replace(/\[!\[[^\]\n]*\]\([^)\n]*\)\]\([^)\n]*\)/g, "")
      .replace(/!\[[^\]\n]*\](\([^)\n]*\)|\[[^\]\n]*\])/g, "")
      .replace(/<br\s*\/?>/gi, "\n")
      .replace(/<h([1-6])\b[^>]*>([\s\S]*?)<\/h\1\s*>/gi, (_, level: string, words: string) => `\n\n${"#".repeat(Number(level))} ${words.trim()}\n\n`)
      .replace(/<a\b[^>]*\bhref\s*=\s*["']?(https?:[^"'\s>]+)[^>]*>([\s\S]*?)<\/a\s*>/gi, (_, address: string, words: string) => {
        const label = words.replace(/<[^>]*>/g, "").trim();
        return label === "" ? "" : `[${label.replace(/[[\]]/g, "")}](${address})`;
      })
      // What stood indented inside of a tag is prose, not code.
      .replace(/\n[ \t]+(?=<|[^\n]*<\/)/g, "\n")
      .replace(/<\/?(?!https?:)[a-z][^<>]*>/gi, "")
      .replace(/&nbsp;/gi, " ")
      .replace(/\n[ \t]+(?=\n)/g, "\n")
      .replace(/\n{3,}/g, "\n\n")
  );
}

export function cardText(card: string): string {
  // `split` with groups gives: text, code, fence, text, …
  const parts = card.split(CODE);
  let text = "";
  for (let at = 0; at < parts.length; at += 3) text += withoutMarkup(parts[at] ?? "") + (parts[at + 1] ?? "");
  return text.trim();
}
