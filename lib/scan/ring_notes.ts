import type { Diagnostic } from "../record/records.ts";
import { Diagnostics } from "./diagnostics.ts";

/** More of one kind of one ring are damage, and would drown the record. */
const MOST_OF_A_KIND = 50;

/** What could not be read of one ring: its diagnostics, and the paths of its missing keys. */
export class RingNotes {
  readonly missing: string[] = [];
  readonly unverified: string[] = [];
  readonly #diagnostics = new Diagnostics(MOST_OF_A_KIND);

  /** All that was noted; kinds of which there is too much end with their count. */
  get diagnostics(): Diagnostic[] {
    return this.#diagnostics.list();
  }

  /** Whether a part of the ring could not be read, arguments of requests apart. */
  get damaged(): boolean {
    return this.#diagnostics.incomplete;
  }

  /** Notes that a part of the ring cannot be read or does not fit. */
  report(code: string, message: string, hides: string): void {
    this.#diagnostics.report(code, message, hides);
  }

  /** Notes something odd that hides nothing. */
  remark(code: string, message: string): void {
    this.#diagnostics.remark(code, message);
  }

  /** Notes that the value at a path of the record could not be had, and why. */
  miss(path: string, reason: string): void {
    this.missing.push(path);
    this.remark(`argument_${reason}`, `${path} is ${reason.replaceAll("_", " ")}`);
  }
}
