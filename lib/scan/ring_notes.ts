import type { Diagnostic } from "../record/records.ts";

/** More of one ring is damage, and would drown the record. */
const MOST = 50;

/** What could not be read of one ring: its diagnostics, and the paths of its missing keys. */
export class RingNotes {
  readonly diagnostics: Diagnostic[] = [];
  readonly missing: string[] = [];
  readonly unverified: string[] = [];
  /** Set once a part of the ring could not be read, arguments of requests apart. */
  damaged = false;

  /** Notes that a part of the ring cannot be read or does not fit. */
  report(code: string, message: string, hides: string): void {
    this.damaged = true;
    this.#add({ code, message, hides });
  }

  /** Notes something odd that hides nothing. */
  remark(code: string, message: string): void {
    this.#add({ code, message });
  }

  /** Notes that the value at a path of the record could not be had, and why. */
  miss(path: string, reason: string): void {
    this.missing.push(path);
    this.#add({ code: `argument_${reason}`, message: `${path} is ${reason.replaceAll("_", " ")}` });
  }

  #add(diagnostic: Diagnostic): void {
    if (this.diagnostics.length < MOST) this.diagnostics.push(diagnostic);
  }
}
