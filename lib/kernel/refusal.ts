import { KallsymsError } from "./kallsyms.ts";
import { MemoryFault } from "./memory_fault.ts";

/** How far a candidate for the kernel got, and what was wrong then. */
export const Rank = {
  PAGE_TABLES: 0,
  SYMBOLS: 1,
  BANNER_OR_DEPTH: 2,
  TYPES: 3,
  /** The file that was given is of another kernel. */
  GIVEN_SYMBOLS: 4,
  GIVEN_TYPES: 5,
} as const;

/** A candidate is no kernel, and how far it got. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  /** One of {@linkcode Rank}. */
  readonly rank: number;
  /** The file that is of another kernel. */
  readonly file: string | undefined;

  constructor(rank: number, why: string, file?: string) {
    super(why);
    this.rank = rank;
    this.file = file;
  }
}

/** Why candidates were refused; what got furthest is what is worth saying. */
export class Reasons {
  closest: string;
  /** The file that is of another kernel, where nothing else was wrong. */
  wrongFile: string | undefined;
  #rank = -1;

  /** @param types The file whose types were used to look for the first task. */
  constructor(types: string | undefined) {
    const or = types === undefined ? "" : `, or ${JSON.stringify(types)} is of another kernel`;
    this.closest =
      'looked for VMCOREINFO, for the CPU state of QEMU and for the task "swapper/0", ' +
      `found none that leads to one${or}`;
  }

  note(rank: number, why: string, file?: string): void {
    if (rank < this.#rank) return;
    this.#rank = rank;
    this.closest = why;
    this.wrongFile = file;
  }

  get wrongTypes(): boolean {
    return this.#rank === Rank.GIVEN_TYPES;
  }

  giveUp(): void {
    this.closest =
      `gave up among many that look like one; of the last that came close: ${this.closest}`;
  }

  attempt<T>(open: () => T): T | undefined {
    try {
      return open();
    } catch (error) {
      if (error instanceof Refusal) this.note(error.rank, error.message, error.file);
      else if (error instanceof KallsymsError || error instanceof MemoryFault) {
        this.note(
          Rank.SYMBOLS,
          `page tables were found, but kallsyms cannot be read through them: ${error.message} ` +
            "(--symbols or --isf gives the symbols)",
        );
      } else throw error;
      return undefined;
    }
  }
}
