/**
 * How much may still be read in one walk over foreign memory. Structures that lead to each other in
 * hostile memory can make any number of walks, each within its own bound; their sum has this one.
 *
 * A unit stands for a microsecond of work at most.
 */
export class ReadBudget {
  #left: number;
  #whole: ReadBudget | undefined;

  constructor(units: number, whole?: ReadBudget) {
    this.#left = units;
    this.#whole = whole;
  }

  /** A budget for one of several walks, so that none takes all: what it spends, this one does too. */
  part(units: number): ReadBudget {
    return new ReadBudget(units, this);
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
    this.#whole?.spend(units);
    return !this.isSpent;
  }

  /** Whether something was not read because nothing was left. */
  get isSpent(): boolean {
    return this.#left < 0 || this.#whole?.isSpent === true;
  }
}

/** Enough for the kernel and a hundred processes, however small the image is. */
const LEAST_UNITS = 8_000_000;
const BYTES_PER_UNIT = 32;
