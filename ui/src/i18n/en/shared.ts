//! Words that many parts use.

export const shared = {
  close: "Close",
  cancel: "Cancel",
  undo: "Undo",
  copied: "Copied",
  details: "Details",
  remove: (what: string) => `Remove ${what}`,
  system: "Like the system",
};
