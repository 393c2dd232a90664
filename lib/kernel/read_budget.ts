/**
 * How much may still be read in one walk over foreign memory. Structures that lead to each other in
 * hostile memory can make any number of walks, each within its own bound; their sum has this one.
 *
 * A unit stands for less than a microsecond of work.
 */
export class ReadBudget {
  #left: number;

  constructor(units: number) {
    this.#left = units;
  }

  /**
   * A budget that grows with the memory it is for: a real kernel fills memory with structures only
   * so densely.
   */
  static forBytes(bytes: number): ReadBudget {
    return new ReadBudget(LEAST_UNITS + bytes / BYTES_PER_UNIT);
  }

  /** Takes units; false once there are none left. */
  spend(units: number): boolean {
    this.#left -= units;
    return this.#left >= 0;
  }

  /** Whether something was not read because nothing was left. */
  get isSpent(): boolean {
    return this.#left < 0;
  }
}

/** Enough for the kernel and a hundred processes, however small the image is. */
const LEAST_UNITS = 8_000_000;
const BYTES_PER_UNIT = 32;
