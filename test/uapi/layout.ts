/** Bytes from numbers and texts, one after the other. */
export function bytesOf(...parts: (number | string | readonly number[])[]): Uint8Array {
  const encoder = new TextEncoder();
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === "number"
        ? [part]
        : typeof part === "string"
        ? [...encoder.encode(part)]
        : part
    ),
  );
}

/** Little-endian 64-bit words, one after the other. */
export function words64(...values: bigint[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 8));
  values.forEach((value, index) => view.setBigUint64(index * 8, BigInt.asUintN(64, value), true));
  return new Uint8Array(view.buffer);
}

/** Little-endian 32-bit words, one after the other. */
export function words32(...values: number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, index) => view.setUint32(index * 4, value, true));
  return new Uint8Array(view.buffer);
}

/** A `struct sockaddr_in`. */
export function sockaddrIn(address: readonly number[], port: number): Uint8Array {
  return bytesOf(2, 0, port >> 8, port & 0xff, address, [0, 0, 0, 0, 0, 0, 0, 0]);
}

/** A `struct sockaddr_in6`. */
export function sockaddrIn6(groups: readonly number[], port: number, scope = 0): Uint8Array {
  const address = groups.flatMap((group) => [group >> 8, group & 0xff]);
  return bytesOf(10, 0, port >> 8, port & 0xff, [0, 0, 0, 0], address, [...words32(scope)]);
}

/** A `struct sockaddr_un` with this name, which a NUL in front makes abstract. */
export function sockaddrUn(...name: (string | number)[]): Uint8Array {
  return bytesOf(1, 0, ...name);
}

/** Bytes that look random and are the same every time (xorshift32). */
export function pseudoRandom(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** `length` bytes from `next`. */
export function randomBytes(next: () => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => next() & 0xff);
}
