import { printable } from "../record/printable.ts";
import { BrokenPipe, type Host } from "./host.ts";

/**
 * Says something to the person: text on standard error, each of its lines made printable. When
 * nobody reads standard error any more the program goes on.
 */
export function say(host: Host, text: string): void {
  const lines = text.split("\n").map((line) => `${printable(line)}\n`).join("");
  try {
    host.stderr.write(new TextEncoder().encode(lines));
  } catch (error) {
    if (!(error instanceof BrokenPipe)) throw error;
  }
}
