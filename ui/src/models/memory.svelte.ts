//! How much memory is free, for the reasons of the fit badges; and where the models are kept.

import { api } from "$api";

class Memory {
  free = $state<number | null>(null);
  folder = $state("");

  async look() {
    try {
      const found = await api.diagnostics();
      [this.free, this.folder] = [found.memory_free_bytes || null, found.models];
    } catch {
      this.free = null;
    }
  }
}

export const memory = new Memory();
