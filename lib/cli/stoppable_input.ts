import type { Host, Input } from "./host.ts";

/** How long an input may bring nothing once the person asked to stop, in ms. */
const QUIET_MS = 1000;
/** How long it may go on at all, in ms. */
const LONGEST_MS = 10_000;

/**
 * An input that ends soon after SIGINT, SIGTERM or SIGHUP. It does not end at once: Ctrl-C reaches every
 * program of a pipeline, and the one before this may have much that is under way, and its last
 * records, still to write.
 */
export class StoppableInput {
  readonly #input: Input;
  #stopped = false;
  #ended = false;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #endRead: (count: null) => void = () => {};

  constructor(input: Input, host: Host) {
    this.#input = input;
    host.untilStopped().then(() => {
      this.#stopped = true;
      this.#awaitQuiet();
      setTimeout(() => this.#end(), LONGEST_MS);
    });
  }

  /** Whether the person asked to stop. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** As {@linkcode Input.read}. */
  read(buffer: Uint8Array): Promise<number | null> {
    if (this.#ended) return Promise.resolve(null);
    // From here on: what was read before may have taken long.
    if (this.#stopped) this.#awaitQuiet();
    return new Promise((resolve, reject) => {
      this.#endRead = resolve;
      this.#input.read(buffer).then(resolve, reject);
    });
  }

  #awaitQuiet(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#end(), QUIET_MS);
  }

  #end(): void {
    this.#ended = true;
    this.#endRead(null);
  }
}
