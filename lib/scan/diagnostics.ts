import { BrokenList } from "../kernel/lists.ts";
import { MemoryFault } from "../kernel/memory_fault.ts";
import { AbsentError } from "../kernel/program.ts";
import type { Diagnostic } from "../record/records.ts";

/** More of one kind are counted, not kept: hostile memory can produce any number. */
const MOST_OF_A_KIND = 20;

/** What could not be read in a scan or of a ring, and what that hides. */
export class Diagnostics {
  readonly #mostOfAKind: number;
  #kept: Diagnostic[] = [];
  /** How many there were of each kind, and the last of them. */
  #kinds = new Map<string, { count: number; last: Diagnostic }>();
  #incomplete = false;

  constructor(mostOfAKind = MOST_OF_A_KIND) {
    this.#mostOfAKind = mostOfAKind;
  }

  /** Notes that something could not be read or does not fit. `code` is stable: `task_list_broken`. */
  report(code: string, message: string, hides?: string): void {
    this.#incomplete = true;
    this.#add({ code, message, ...(hides === undefined ? {} : { hides }) });
  }

  /** Notes a finding: something that was read, and ought not to be as it is. */
  remark(code: string, message: string): void {
    this.#add({ code, message });
  }

  #add(diagnostic: Diagnostic): void {
    const { code } = diagnostic;
    const count = (this.#kinds.get(code)?.count ?? 0) + 1;
    this.#kinds.set(code, { count, last: diagnostic });
    if (count <= this.#mostOfAKind) this.#kept.push(diagnostic);
  }

  /**
   * The result of `read`, or undefined with a note when memory or layout do not allow it. Errors
   * of the program itself pass.
   */
  attempt<T>(what: { code: string; action: string; hides?: string }, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.report(what.code, `${what.action}: ${error.message}`, what.hides);
      return undefined;
    }
  }

  /** Whether anything was noted. */
  get any(): boolean {
    return this.#kinds.size > 0;
  }

  /** Whether something could not be read. */
  get incomplete(): boolean {
    return this.#incomplete;
  }

  /** All that was noted, in order; kinds of which there are more than are kept end with their count. */
  list(): Diagnostic[] {
    const more: Diagnostic[] = [];
    for (const { count, last } of this.#kinds.values()) {
      const left = count - this.#mostOfAKind;
      if (left > 0) more.push({ ...last, message: `${left} more of this kind` });
    }
    return [...this.#kept, ...more];
  }
}

/** Whether an error says that memory cannot be read or that this kernel is laid out differently. */
export function isUnreadable(error: unknown): error is MemoryFault | AbsentError | BrokenList {
  return error instanceof MemoryFault || error instanceof AbsentError ||
    error instanceof BrokenList;
}

/** The result of `read`, or undefined where memory or layout do not allow it. */
export function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return undefined;
  }
}
