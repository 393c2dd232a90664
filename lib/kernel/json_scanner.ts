const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const COMMA = 0x2c;
const COLON = 0x3a;

/**
 * Walks through a JSON text without making its values: a file of tens of megabytes takes no more
 * memory than its bytes, and one made to be bombastic neither.
 */
export class JsonScanner {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** Offset of the next byte. */
  get at(): number {
    return this.#at;
  }

  /**
   * The keys of the object that comes next. After each the scanner stands at the value; one that is
   * not read is skipped.
   *
   * @throws {SyntaxError} when it is no object, or ends too early.
   */
  *members(): Generator<string> {
    this.#expect(OPEN_BRACE, "an object");
    if (this.#next() === CLOSE_BRACE) {
      this.#at++;
      return;
    }
    for (;;) {
      if (this.#next() !== QUOTE) throw this.#error("a key");
      const start = this.#at;
      this.#skipString();
      const key = JSON.parse(UTF8.decode(this.#bytes.subarray(start, this.#at)));
      this.#expect(COLON, "a colon");
      this.#next();
      const value = this.#at;
      yield key;
      if (this.#at === value) this.skip();
      if (this.#next() === CLOSE_BRACE) break;
      this.#expect(COMMA, "a comma");
    }
    this.#at++;
  }

  /** The text of the value that comes next. */
  text(): string {
    const start = this.#at;
    this.skip();
    return UTF8.decode(this.#bytes.subarray(start, this.#at));
  }

  /** Goes on behind the value that comes next, of any depth. */
  skip(): void {
    const bytes = this.#bytes;
    let depth = 0;
    this.#next();
    do {
      switch (bytes[this.#at]) {
        case undefined:
          throw this.#error("a value");
        case QUOTE:
          this.#skipString();
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          depth++;
          this.#at++;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          if (depth-- === 0) throw this.#error("a value");
          this.#at++;
          break;
        default:
          if (depth === 0) this.#skipLiteral();
          else this.#at++;
      }
    } while (depth > 0);
  }

  #skipString(): void {
    const bytes = this.#bytes;
    for (let at = this.#at + 1; at < bytes.length; at++) {
      const byte = bytes[at];
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) {
        this.#at = at + 1;
        return;
      }
    }
    this.#at = bytes.length;
    throw this.#error("a text");
  }

  #skipLiteral(): void {
    const start = this.#at;
    while (isLiteral(this.#bytes[this.#at])) this.#at++;
    if (this.#at === start) throw this.#error("a value");
  }

  /** The next byte that is no white space, or undefined at the end. */
  #next(): number | undefined {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.#at++;
    }
  }

  #expect(byte: number, what: string): void {
    if (this.#next() !== byte) throw this.#error(what);
    this.#at++;
  }

  #error(what: string): SyntaxError {
    return new SyntaxError(
      this.#at >= this.#bytes.length ? "it is cut short" : `byte ${this.#at} is not ${what}`,
    );
  }
}

/** Whether a byte is one of a number, or of `true`, `false` and `null`. */
function isLiteral(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return byte >= 0x61 && byte <= 0x7a || byte >= 0x30 && byte <= 0x39 || byte === 0x2b ||
    byte === 0x2d || byte === 0x2e || byte === 0x45;
}

const UTF8 = new TextDecoder();
