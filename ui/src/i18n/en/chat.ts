//! The conversation.

const plural = (n: number, one: string, many: string) => `${n.toLocaleString("en-US")} ${n === 1 ? one : many}`;

export const chat = {
  code: "code",
  codeOf: (language: string) => (language ? `Code, ${language}` : "Code"),
  copyCode: "Copy",
  copied: "Copied",
  tokens: (n: number) => plural(n, "token", "tokens"),
};
