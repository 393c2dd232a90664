import { type Block, isSame, wordsOf } from "./json_bytes.ts";

/**
 * How much of a text is hashed: the first of these, or more where another text begins alike.
 * A text that is shorter is never found, as what follows it is hashed with it.
 */
const HASHED = [64, 128, 192, 256, 512, 1024];
/** The longest text of a process that is remembered, and the bytes of all of them. */
const MAX_TEXT = 4096;
const MAX_TEXTS = 4 << 20;
/** How many hashes of texts that came once are remembered; a power of two. */
const SEEN_ONCE = 1 << 14;

/** A process as the text of events has it. */
export interface KnownProcess {
  /** Bytes of its text. */
  readonly length: number;
  readonly isLeftOut: boolean;
  /** What its text says. Many records share it. */
  readonly value: unknown;
}

interface Entry extends KnownProcess {
  /** Where its text begins among all texts. */
  readonly start: number;
}

/**
 * The processes of a stream, by their text: most events have one that came before, and comparing
 * it takes a tenth of the time that walking it takes. Texts are kept from the second time on.
 */
export class ProcessMemo {
  /** By a hash of the beginning of the text. */
  readonly #known = new Map<number, Entry>();
  readonly #seenOnce = new Int32Array(SEEN_ONCE);
  readonly #texts = new Uint8Array(MAX_TEXTS);
  readonly #words = wordsOf(this.#texts);
  #used = 0;
  /** The first hash that is free for the text that was looked for last, if one is. */
  #free: number | undefined;

  /** The process whose text begins at `at`, where it is known. */
  find({ words }: Block, at: number): KnownProcess | undefined {
    let hash = 1;
    let hashed = at;
    this.#free = undefined;
    for (const length of HASHED) {
      const end = at + length;
      if (end > words.byteLength) return undefined;
      for (; hashed < end; hashed += 8) {
        // Two words at a time, as each multiplication has to wait for the one before.
        hash = Math.imul(hash ^ words.getInt32(hashed), 0x9e3779b1) ^
          Math.imul(words.getInt32(hashed + 4), 0x85ebca6b);
        hash ^= hash >>> 15;
      }
      const entry = this.#known.get(hash);
      if (entry === undefined) {
        this.#free = hash;
        return undefined;
      }
      if (isSame(words, at, { words: this.#words, start: entry.start, length: entry.length })) {
        return entry;
      }
    }
    return undefined;
  }

  /**
   * Remembers the process that was looked for last and not found.
   *
   * @param bytes From `start` to `end` its text: printable ASCII, one object of JSON.
   */
  add(
    bytes: Uint8Array,
    { start, end, isLeftOut }: { start: number; end: number; isLeftOut: boolean },
  ): KnownProcess | undefined {
    const hash = this.#free;
    const length = end - start;
    if (hash === undefined || length < HASHED[0]! || length > MAX_TEXT) return undefined;
    const place = hash & SEEN_ONCE - 1;
    if (this.#seenOnce[place] !== hash) {
      this.#seenOnce[place] = hash;
      return undefined;
    }
    if (this.#used + length > MAX_TEXTS) {
      this.#known.clear();
      this.#used = 0;
    }
    const text = bytes.subarray(start, end);
    this.#texts.set(text, this.#used);
    const value = Object.freeze(JSON.parse(new TextDecoder().decode(text)));
    const entry = { start: this.#used, length, isLeftOut, value };
    this.#used += length;
    this.#known.set(hash, entry);
    return entry;
  }
}
