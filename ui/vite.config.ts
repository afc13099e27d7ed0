//! How the window's page is built (ui/dist) and how its tests run.

import { svelte } from "@sveltejs/vite-plugin-svelte";
import { svelteTesting } from "@testing-library/svelte/vite";
import tailwindcss from "@tailwindcss/vite";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const src = (folder: string) => fileURLToPath(new URL(`./src/${folder}`, import.meta.url));

/** KaTeX lists each font in three formats; every web view that we run in reads WOFF2. Saves 700 KB. */
const katexWoff2Only: Plugin = {
  name: "katex-woff2-only",
  enforce: "pre",
  transform(code, id) {
    if (!/katex[^/]*\.css/.test(id)) return null;
    return code.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\(["'](?:woff|truetype)["']\)/g, "");
  },
};

/** `import { X } from "@lucide/svelte"` would compile all 1,700 icons to throw all but some away: each from its own file. */
const lucideOneByOne: Plugin = {
  name: "lucide-one-by-one",
  enforce: "pre",
  transform(code, id) {
    if (id.includes("node_modules") || !code.includes('from "@lucide/svelte"')) return null;
    const kebab = (name: string) => name.replace(/([a-z])([A-Z])/g, "$1-$2").replace(/([A-Za-z])(\d)/g, "$1-$2").replace(/(\d)([A-Z])/g, "$1-$2").toLowerCase();
    return code.replace(/import \{([^}]*)\} from "@lucide\/svelte";/g, (_, names: string) =>
      names
        .split(",")
        .map((name) => name.trim())
        .filter((name) => name && !name.startsWith("type "))
        .map((name) => `import ${name.split(" as ").at(-1)} from "@lucide/svelte/icons/${kebab(name.split(" as ")[0]!)}";`)
        .join(" "),
    );
  },
};

export default defineConfig({
  plugins: [katexWoff2Only, lucideOneByOne, tailwindcss(), svelte(), svelteTesting()],
  resolve: {
    alias: {
      $api: src("api"),
      $state: src("state"),
      $i18n: src("i18n"),
      $shared: src("shared"),
    },
  },
  server: { port: 1420, strictPort: true, fs: { allow: [".", "../assets"] } },
  build: {
    target: ["es2022", "safari16"],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 900,
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.ts"],
    setupFiles: ["./tests/setup.ts"],
    // A library's last words at the end of a file must not be a failure because their way is closed.
    disableConsoleIntercept: true,
  },
});
