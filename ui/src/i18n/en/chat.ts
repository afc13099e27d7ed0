//! Words of: chat.

export const chat = {};
