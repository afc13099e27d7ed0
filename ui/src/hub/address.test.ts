//! What counts as an address, and what as words.

import { expect, it } from "vitest";
import { addressOf } from "./address";

it.each([
  ["Qwen/Qwen3-4B-GGUF", "Qwen/Qwen3-4B-GGUF"],
  [" hfl/chinese-alpaca-2-1.3b ", "hfl/chinese-alpaca-2-1.3b"],
  ["https://hub.example/Qwen/Qwen3-4B-GGUF", "https://hub.example/Qwen/Qwen3-4B-GGUF"],
  ["https://hub.example/a/b/blob/main/x-q4.gguf", "https://hub.example/a/b/blob/main/x-q4.gguf"],
  ["http://127.0.0.1:8080/a/b", "http://127.0.0.1:8080/a/b"],
  ["hub.example/Qwen/Qwen3-4B", "https://hub.example/Qwen/Qwen3-4B"],
  ["hub.example:8443/models/Qwen/Qwen3-4B", "https://hub.example:8443/models/Qwen/Qwen3-4B"],
])("takes %s for an address", (typed, address) => expect(addressOf(typed)).toBe(address));

it.each(["qwen3", "qwen3 4b", "Qwen/Qwen3 4B", "中文/模型", "", "https://hub.example", "ftp://hub.example/a/b", "/etc/passwd", "../a", "a/"])("takes %j for words", (typed) => expect(addressOf(typed)).toBeNull());
