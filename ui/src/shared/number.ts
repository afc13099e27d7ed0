//! Reads a number that a person typed.

type Range = { least: number; most: number; whole?: boolean };

/** `null` for an empty field, `undefined` for what is no number; else the number, held to its range. Full-width digits count. */
export function parseNumber(typed: string, { least, most, whole = false }: Range): number | null | undefined {
  const text = typed.normalize("NFKC").trim().replace(/,/g, ".").replace("。", ".");
  if (text === "") return null;
  const value = Number(text);
  if (!Number.isFinite(value)) return undefined;
  const held = Math.min(most, Math.max(least, value));
  return whole ? Math.round(held) : held;
}
