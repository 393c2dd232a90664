/** Counts work, where a test is about how much of it there may be: time says that of no machine. */

/** A list like `items` that throws once its elements were read more than `most` times. */
export function countedList<T>(items: T[], most: number): T[] {
  let reads = 0;
  return new Proxy(items, {
    get(target, key, receiver) {
      const isElement = typeof key === "string" && /^\d/.test(key);
      if (isElement && ++reads > most) throw new Error(`Elements were read ${reads} times`);
      return Reflect.get(target, key, receiver);
    },
  });
}

/**
 * Runs `work` and throws once the methods of `prototype` went over more than `most` elements, each
 * call counted as all of those it has before it.
 */
export async function countCalls(
  prototype: object,
  { methods, most }: { methods: readonly string[]; most: number },
  work: () => unknown,
): Promise<void> {
  // deno-lint-ignore no-explicit-any
  const patched = prototype as Record<string, any>;
  const originals = methods.map((name) => patched[name]);
  let elements = 0;
  for (const [i, name] of methods.entries()) {
    patched[name] = function (this: ArrayLike<unknown>, ...args: unknown[]) {
      const [first] = args;
      elements += name === "set" ? (first as ArrayLike<unknown>).length : this.length;
      if (elements > most) throw new Error(`${name}() and others went over ${elements} elements`);
      return originals[i].apply(this, args);
    };
  }
  try {
    await work();
  } finally {
    for (const [i, name] of methods.entries()) patched[name] = originals[i];
  }
}
