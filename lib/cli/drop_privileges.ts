import type { Host } from "./host.ts";
import { say } from "./say.ts";

/** Gives up root and every capability before foreign data is read; says so where that fails. */
export function dropPrivileges(host: Host): void {
  const outcome = host.dropPrivileges();
  if ("failed" in outcome) say(host, `warning: cannot give up root: ${outcome.failed}`);
}
