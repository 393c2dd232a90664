import type { Program } from "../kernel/program.ts";

/** Turns times of the imaged kernel into dates. */
export interface Clock {
  /** Nanoseconds since 1970 at boot (CLOCK_BOOTTIME zero), or undefined where no clock was found. */
  readonly bootTime: bigint | undefined;
}

/** The clock of an image, or one that knows no date. */
export function readClock(_program: Program): Clock {
  return { bootTime: undefined };
}
