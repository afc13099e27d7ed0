//! The first screen. It greets in both languages, whatever the window speaks.

export const welcome = {
  chinese: "你好，我是 Huacaya",
  english: "Hello, I am Huacaya",
  body: "Language models on your own computer. Nothing you write leaves it.",
  small: "A small model came along. Say something to it:",
  placeholder: "Say hello",
  send: "Send",
  ideas: ["Hello", "Who are you?", "你好，12 × 7 等于多少？"] as string[],
  waking: "Waking up",
  find: "Find a bigger model",
  findBody: "One that fits this computer",
  files: "I have files",
  filesBody: "A GGUF file or a model folder",
  begin: "Start chatting",
  beginBody: "With the small model that came along",
  languageName: "Language",
  you: "You",
  model: "Huacaya",
};
