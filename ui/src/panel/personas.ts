//! What can be done with personas, from the panel and from the settings.

import { api, type Persona } from "$api";
import { m } from "$i18n";
import { act } from "$state/act";
import { pickFile, toBase64 } from "$shared/files";
import { toast } from "$shared/toasts.svelte";

export async function importCard(): Promise<Persona | undefined> {
  const file = await pickFile(".json,.png,application/json,image/png");
  if (!file) return undefined;
  const persona = await act(api.importCharacter({ name: file.name, base64: await toBase64(file) }));
  if (persona) toast(m.panel.personaImported(persona.name));
  return persona;
}

export async function deletePersona(persona: Persona) {
  const done = await act(api.deletePersona({ persona: persona.id }));
  if (done === undefined) return;
  toast(m.panel.personaDeleted(persona.name), { undo: () => void act(api.restorePersona({ persona: persona.id })) });
}
