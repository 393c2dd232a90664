import type { KernelObject } from "../kernel/program.ts";
import { readable } from "./diagnostics.ts";
import { userDataOf } from "./prepared_request.ts";
import type { Completion } from "./ring_state.ts";

/**
 * Contexts by the cookies of their requests, to find the one that completions speak of. Each is
 * found once.
 */
export class RequestOwners {
  readonly #contexts: bigint[] = [];
  /** Indexes of contexts with a request that has a cookie, the first last. */
  readonly #byUserData = new Map<bigint, number[]>();
  readonly #taken = new Set<number>();

  constructor(requests: Iterable<readonly [ctx: bigint, requests: readonly KernelObject[]]>) {
    for (const [ctx, objects] of requests) {
      const index = this.#contexts.push(ctx) - 1;
      for (const userData of new Set(userDataOfAll(objects))) {
        const indexes = this.#byUserData.get(userData);
        if (indexes === undefined) this.#byUserData.set(userData, [index]);
        else indexes.push(index);
      }
    }
    for (const indexes of this.#byUserData.values()) indexes.reverse();
  }

  /** Whether there is no request to be found. */
  get isEmpty(): boolean {
    return this.#byUserData.size === 0;
  }

  /** The first context that has one of the completed requests and was not taken before. */
  take(completions: readonly Completion[]): bigint | undefined {
    let first = Infinity;
    for (const { userData } of completions) {
      const indexes = this.#byUserData.get(userData);
      if (indexes === undefined) continue;
      while (indexes.length > 0 && this.#taken.has(indexes.at(-1)!)) indexes.pop();
      first = Math.min(first, indexes.at(-1) ?? Infinity);
    }
    if (first === Infinity) return undefined;
    this.#taken.add(first);
    return this.#contexts[first];
  }
}

/** The cookies of requests, without 0. */
export function userDataOfAll(requests: readonly KernelObject[]): bigint[] {
  return requests.flatMap((kiocb) => readable(() => userDataOf(kiocb)) ?? [])
    .filter((userData) => userData !== 0n);
}
