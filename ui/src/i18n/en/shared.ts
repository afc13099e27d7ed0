//! Words that many parts use.

export const shared = {
  close: "Close",
  cancel: "Cancel",
  undo: "Undo",
  notCopied: "The text could not be copied. Select it and press Ctrl+C.",
  copied: "Copied",
  details: "Details",
  lost: "The connection to the server is lost. Trying again …",
  remove: (what: string) => `Remove ${what}`,
  system: "Like the system",
};
