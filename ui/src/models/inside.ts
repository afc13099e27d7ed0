//! Finding and writing out what is inside a model's file.

import type { TensorRow } from "$api";

/** Every word that is sought stands in one of the texts; case does not count. */
export function holds(sought: string, ...texts: string[]): boolean {
  const text = texts.join("\n").toLowerCase();
  return sought.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

export const shapeOf = (tensor: TensorRow) => (tensor.shape.length === 0 ? "1" : tensor.shape.join(" × "));

/** For the clipboard: name, shape, type and bytes with tabs between, as spreadsheets take it. */
export const tensorLine = (tensor: TensorRow) => [tensor.name, shapeOf(tensor), tensor.kind, tensor.bytes].join("\t");
