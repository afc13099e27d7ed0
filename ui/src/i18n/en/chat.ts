//! The conversation.

const count = (n: number) => n.toLocaleString("en-US");
const tokens = (n: number) => `${count(n)} ${n === 1 ? "token" : "tokens"}`;

export const chat = {
  // Code in a message
  code: "code",
  codeOf: (language: string) => (language ? `Code, ${language}` : "Code"),
  copyCode: "Copy",
  copied: "Copied",

  // Who speaks
  thread: "Conversation",
  you: "You",
  model: "Model",
  tokens,

  showAll: (n: number) => `Show all ${count(n)} characters`,
  showLess: "Show less",

  // An answer and its states
  reading: (done: number, total: number) => `Reading ${count(done)} of ${count(total)} tokens`,
  loading: (name: string, share: number) => `Loading ${name}, ${share} %`,
  waiting: "Thinking",
  waitingForBody: "Loading the message",
  thinking: (time: string) => `Thinking, ${time}`,
  thought: (time: string, n: number) => `Thought for ${time} · ${tokens(n)}`,
  thoughtPlain: "Thoughts",
  interrupted: "The program ended before the answer did. What was written is kept.",
  stopped: "Stopped",
  empty: "The answer is empty.",
  memoryStarts: "The model remembers from here",
  memoryStartsHint: "Older messages no longer fit into the context. The model does not see them; the system prompt is kept.",

  // The quiet line
  speed: (n: string) => `${n} tok/s`,
  firstToken: (time: string) => `first token ${time}`,
  guessed: (right: number, of: number, by: string | null) => `${count(right)} of ${count(of)} guessed ahead${by === null ? "" : ` by ${by}`} were right`,
  reused: (n: number, of: number) => `${count(n)} of ${count(of)} prompt tokens reused`,
  finishEnd: "ended by itself",
  finishStopText: "stop text",
  finishLength: "length limit",
  finishContext: "context full",
  finishStopped: "stopped",
  moved: "the graphics card failed, the processor went on",
  statsHint: "Tokens written, speed, time to the first token, tokens guessed ahead, reused prompt, why it ended, model",

  // Actions
  actions: "What can be done with this message",
  copy: "Copy",
  copiedMessage: "The message is copied",
  edit: "Edit",
  editHint: "Editing makes a new version; this one is kept",
  regenerate: "Answer again",
  regenerateOther: "With another model or parameters",
  regenerateBegin: "Begin with given words",
  runAgain: "Run again exactly",
  continue: "Continue",
  branch: "Branch to a new chat",
  branched: "This is a copy up to that message",
  inspect: "Show the prompt",
  delete: "Delete",
  deleted: "The message and what followed it are deleted",
  retry: "Try again",
  versions: "Versions",
  version: (n: number, of: number) => `Version ${n} of ${of}`,
  previous: "Previous version",
  next: "Next version",

  // Editing
  editMessage: "Text of the message",
  sendEdit: "Send",
  saveEdit: "Save as a version",
  cancel: "Cancel",

  // Answering again in another way
  againTitle: "Answer again",
  againModel: "Model",
  againSame: "The same model",
  againTemperature: "Temperature",
  againTopP: "Top-p",
  againSeed: "Seed",
  againAsBefore: "As in the chat",
  againBegin: "The answer begins with",
  againBeginHint: "The model goes on from these words.",
  againThinking: "Think first",
  againGo: "Answer again",

  // The composer
  composer: "Message",
  placeholder: "Write a message",
  placeholderFirst: "Ask anything",
  send: "Send",
  stop: "Stop",
  attach: "Attach text files",
  attachments: "Attached files",
  dropHere: "Drop text files here",
  readingFile: (name: string) => `Reading ${name}`,
  longPaste: "Pasted text",
  asText: "Put into the message",
  contextUse: (share: number) => `Context ${share} % used`,
  contextDetail: (system: number, history: number, draft: number, reserve: number, total: number) =>
    `System prompt ${count(system)} · conversation ${count(history)} · this message ${count(draft)} · kept free for the reply ${count(reserve)} · of ${tokens(total)}`,
  contextEstimate: "Estimated: the model is not open yet",
  over: (n: number) => `${tokens(n)} too many. Shorten the message or remove a file.`,
  toEnd: "To the end",
  beginWith: "Begin the reply with given words",
  beginLabel: "The reply begins with",
  hintEnter: "Enter sends, Shift+Enter makes a new line",
  hintCtrlEnter: "Ctrl+Enter sends, Enter makes a new line",

  // An empty chat
  hello: "What would you like to talk about?",
  helloPersona: (name: string) => `You are talking with ${name}`,
  ideas: ["Who are you?", "What is 12 × 7?", "What is “apple” in Chinese?", "Tell me a story"] as string[],

  // The room
  showPanel: "Show the panel",
  hidePanel: "Hide the panel",
  panel: "Persona and parameters",
  modelBar: "Model and view",

  // Find
  find: "Find in this chat",
  findNone: "None",
  findAt: (n: number, of: number) => `${n} of ${of}`,
  findNext: "Next place",
  findPrevious: "Previous place",
  findClose: "Close the search",

  // A link
  linkTitle: "Open this link in the browser?",
  linkBody: "It opens outside Huacaya. Look at the address before you go on.",
  linkOpen: "Open the link",
  linkCopy: "Copy the address",

  // Read out
  saidStart: "The model is answering",
  saidEnd: "The answer is complete",
  saidStopped: "The answer was stopped",
  saidFailed: "The answer failed",
};
