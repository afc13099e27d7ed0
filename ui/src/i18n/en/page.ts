//! The completion page.

export const page = {
  editor: "Text of the page",
  placeholder: "Write how it begins; the model goes on from the end of the text",
  continue: "Continue",
  stop: "Stop",
  undo: "Undo the last continuation",
  redo: "Redo the continuation",
  writing: "Writing",
  reading: (done: string, total: string) => `Reading ${done} of ${total} tokens`,
  nextHint: "How likely the model finds each token as the next one, at the end of the text",
  nextAsk: "Look at the next tokens",
  nextAgain: "The text has changed. Look again.",
  nextEmpty: "Write something first",
  insert: (text: string, share: string) => `Add “${text}” (${share})`,
  baseNote: "A base model continues raw text. It has no template and takes no part in a conversation.",
  chatModelNote: (name: string) => `“${name}” is made for conversation. Here it gets the raw text without its template.`,
  stats: (tokens: string, speed: string) => `${tokens} tokens, ${speed} tok/s`,
};
