import type { ArgumentReader, MissingReason, ReadResult } from "../../lib/uapi/argument.ts";

/** User memory of a test: some ranges of bytes, and some addresses that fail in a given way. */
export class FakeMemory implements ArgumentReader {
  readonly #ranges: { start: bigint; bytes: Uint8Array }[] = [];
  readonly #failures = new Map<bigint, MissingReason>();

  put(start: bigint, bytes: Uint8Array | string): this {
    const content = typeof bytes === "string" ? new TextEncoder().encode(`${bytes}\0`) : bytes;
    this.#ranges.push({ start, bytes: content });
    return this;
  }

  fail(address: bigint, reason: MissingReason): this {
    this.#failures.set(address, reason);
    return this;
  }

  path(address: bigint): ReadResult {
    const found = this.#find(address);
    if (!(found instanceof Uint8Array)) return { ok: false, reason: found };
    const end = found.indexOf(0);
    return end < 0
      ? { ok: false, reason: "unmapped" }
      : { ok: true, bytes: found.subarray(0, end) };
  }

  bytes(address: bigint, length: number): ReadResult {
    const found = this.#find(address);
    if (!(found instanceof Uint8Array)) return { ok: false, reason: found };
    if (found.length < length) return { ok: false, reason: "unmapped" };
    return { ok: true, bytes: found.subarray(0, length) };
  }

  #find(address: bigint): Uint8Array | MissingReason {
    const failure = this.#failures.get(address);
    if (failure !== undefined) return failure;
    for (const { start, bytes } of this.#ranges) {
      const offset = address - start;
      if (offset >= 0n && offset < BigInt(bytes.length)) return bytes.subarray(Number(offset));
    }
    return "unmapped";
  }
}
