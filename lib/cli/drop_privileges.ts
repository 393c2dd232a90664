import type { Host } from "./host.ts";
import { say } from "./say.ts";

/**
 * Gives up root and every capability before foreign data is read. Says so where that fails, and
 * with `verbose` where it does not.
 */
export function dropPrivileges(host: Host, verbose: boolean): void {
  const outcome = host.dropPrivileges();
  if ("failed" in outcome) say(host, `warning: cannot give up root: ${outcome.failed}`);
  else if (verbose) say(host, `Gave up root and every capability, now user ${outcome.user}`);
}
