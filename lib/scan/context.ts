import type { Program } from "../kernel/program.ts";
import type { Clock } from "./clock.ts";
import type { Diagnostics } from "./diagnostics.ts";

/** What every part of a scan works with. */
export interface ScanContext {
  readonly program: Program;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
}
