/** A file of symbols or types that cannot be read. */
export class KernelFileError extends Error {
  override readonly name = "KernelFileError";

  /** `new KernelFileError("x.json", "it is cut short")` says `Cannot read "x.json": it is cut short`. */
  constructor(file: string, why: string) {
    super(`Cannot read ${JSON.stringify(file)}: ${why}`);
  }
}

/** A file of symbols or types that is of another kernel than the image's. */
export class WrongKernelError extends Error {
  override readonly name = "WrongKernelError";

  constructor(file: string, why: string) {
    super(`Cannot use ${JSON.stringify(file)}: ${why}`);
  }
}
