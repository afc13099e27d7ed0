//! Words of: shared.

export const shared = {};
