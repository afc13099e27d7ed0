//! The rail and the window's frame.

export const rail = {
  rooms: "Rooms",
  chats: "Chats",
  models: "Models",
  workshop: "Workshop",
  settings: "Settings",
  hideList: "Hide the list",
  showList: "Show the list",
  starting: "Starting",
};
