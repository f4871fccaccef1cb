// Shortened views of the kernel; test_browser_scripts.py compares their shape with the real ones.

import { readFileSync } from "node:fs";

const VIEWS = JSON.parse(readFileSync(new URL("views.json", import.meta.url), "utf8"));

export function stepView(changes = {}) { return { ...structuredClone(VIEWS.step), ...changes }; }
export function headerView(changes = {}) { return { ...structuredClone(VIEWS.header), ...changes }; }
export function finishView(changes = {}) { return { ...structuredClone(VIEWS.finish), ...changes }; }
