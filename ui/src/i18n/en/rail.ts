//! The rail and the window's frame.

export const rail = {
  rooms: "Rooms",
  chats: "Chats",
  models: "Models",
  settings: "Settings",
  hideList: "Hide the list",
  showList: "Show the list",
  starting: "Starting",
};
