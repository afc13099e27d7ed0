//! Words of: list.

export const list = {};
