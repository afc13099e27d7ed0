//! Words that many parts use.

export const shared = {
  close: "Close",
  cancel: "Cancel",
  undo: "Undo",
  save: "Save",
  add: "Add",
  edit: "Edit",
  copy: "Copy",
  copied: "Copied",
  delete: "Delete",
  rename: "Rename",
  more: "More",
  details: "Details",
  reset: "Reset",
  search: "Search",
  remove: (what: string) => `Remove ${what}`,
  system: "Like the system",
};
