//! Tells an address that a person pasted from words to search for.

/** One step of a path: what hubs allow in the names of owners and repositories. */
const NAME = "[A-Za-z0-9_][A-Za-z0-9_.-]*";
const REPOSITORY = new RegExp(`^${NAME}/${NAME}$`);
/** A host (it has a dot) with at least two steps behind it: what is left when the scheme was not copied along. */
const BARE = new RegExp(`^[a-z0-9-]+(\\.[a-z0-9-]+)+(:\\d+)?/[^\\s/]+/\\S+$`, "i");

/** The address as the program takes it; `null`: these are words. */
export function addressOf(typed: string): string | null {
  const text = typed.normalize("NFKC").trim();
  if (/\s/.test(text)) return null;
  if (/^https?:\/\/[^/]+\/\S/i.test(text)) return text;
  if (REPOSITORY.test(text)) return text;
  return BARE.test(text) ? `https://${text}` : null;
}
