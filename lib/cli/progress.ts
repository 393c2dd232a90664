import { cutToWidth } from "../record/display_width.ts";
import type { Host } from "./host.ts";

const BAR = 20;
/** ms before the first line is shown, and between two lines. */
const DELAY = 1000;
const INTERVAL = 100;

/**
 * One line that says how far the work is, without its end.
 *
 * @param done Parts done, at most `total`.
 * @param total Parts in all; 0 where that is not known.
 * @param what What is being done.
 * @param columns Columns it may take.
 */
export function progressLine(done: number, total: number, what: string, columns: number): string {
  if (total <= 0) return cutToWidth(what, columns);
  const share = Math.max(0, Math.min(1, done / total));
  const full = Math.floor(share * BAR);
  const bar = "#".repeat(full) + ".".repeat(BAR - full);
  return cutToWidth(`[${bar}] ${String(Math.floor(share * 100)).padStart(3)}% ${what}`, columns);
}

/** Shows progress on standard error, when that is a terminal and the work takes over a second. */
export class Progress {
  readonly #host: Host;
  #next: number;
  #shown = false;

  constructor(host: Host) {
    this.#host = host;
    this.#next = host.stderr.isTerminal ? host.now() + DELAY : Infinity;
  }

  update(done: number, total: number, what: string): void {
    const now = this.#host.now();
    if (now < this.#next) return;
    this.#next = now + INTERVAL;
    this.#shown = true;
    // One column stays free: a full line would wrap.
    this.#write(`\r\x1b[K${progressLine(done, total, what, this.#host.stderr.columns - 1)}`);
  }

  /** Takes the line away, so that other text can stand there. */
  clear(): void {
    if (this.#shown) this.#write("\r\x1b[K");
    this.#shown = false;
  }

  #write(text: string): void {
    this.#host.stderr.write(new TextEncoder().encode(text));
  }
}
