import type { Clocks } from "./capture_device.ts";

const TWO_32 = 2 ** 32;

/** Turns nanoseconds since boot into dates. */
export class BootClock {
  /** Wall clock at boot, ms since 1970. */
  #offsetMs = 0;
  #lastMs = -1;
  #lastText = "";

  constructor(clocks: Clocks) {
    this.set(clocks);
  }

  /** Follows the wall clock, which may be set while we run. */
  set({ boot, real }: Clocks): void {
    const offsetMs = Number(real - boot) / 1e6;
    // What two readings differ by is no change of the clock.
    if (Math.abs(offsetMs - this.#offsetMs) < 1) return;
    this.#offsetMs = offsetMs;
    this.#lastMs = -1;
  }

  /** RFC 3339 with ms of a time in halves of 64 bits. */
  text(low: number, high: number): string {
    const ms = Math.floor((high * TWO_32 + low) / 1e6 + this.#offsetMs);
    if (ms !== this.#lastMs) {
      this.#lastMs = ms;
      this.#lastText = new Date(ms).toISOString();
    }
    return this.#lastText;
  }
}
