import type { Host, Input } from "./host.ts";

/** How long an input may still bring what was under way when the person asked to stop, in ms. */
const GRACE_MS = 1000;

/**
 * An input that ends soon after SIGINT or SIGTERM. It does not end at once: Ctrl-C reaches every
 * program of a pipeline, and the one before this may have its last records still to write.
 */
export class StoppableInput {
  readonly #input: Input;
  #stopped = false;
  #ended = false;
  #endRead: (count: null) => void = () => {};

  constructor(input: Input, host: Host) {
    this.#input = input;
    host.untilStopped().then(() => {
      this.#stopped = true;
      setTimeout(() => {
        this.#ended = true;
        this.#endRead(null);
      }, GRACE_MS);
    });
  }

  /** Whether the person asked to stop. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** As {@linkcode Input.read}. */
  read(buffer: Uint8Array): Promise<number | null> {
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#endRead = resolve;
      this.#input.read(buffer).then(resolve, reject);
    });
  }
}
