//! What every unit test starts from: a page without anything on it, in Chinese unless the test says otherwise.

import { cleanup } from "@testing-library/svelte";
import { afterEach } from "vitest";

afterEach(() => cleanup());
