import type { KernelObject } from "../kernel/program.ts";
import { readable } from "./diagnostics.ts";
import { isQueueSize, MAX_CQ_ENTRIES } from "./ring_state.ts";

/**
 * Heads of rings (`struct io_rings`) by their size and counters, which a freed context has too. Each
 * is read once, however many there are of both: anyone can fill memory with what looks like them.
 */
export class HeaderIndex {
  readonly #byKey = new Map<string, Set<number>>();
  readonly #keys = new Map<number, readonly string[]>();

  constructor(headers: ReadonlyMap<number, KernelObject>) {
    for (const [at, rings] of headers) {
      const keys = readable(() => {
        const taken = `${rings.number("sq_ring_entries")} ${rings.number("sq.head")}`;
        return [taken, `${taken} ${rings.number("cq.tail")}`];
      });
      if (keys === undefined) continue;
      this.#keys.set(at, keys);
      for (const key of keys) {
        const places = this.#byKey.get(key);
        if (places === undefined) this.#byKey.set(key, new Set([at]));
        else places.add(at);
      }
    }
  }

  /**
   * The one head whose size and counters are those of a freed context; undefined where several are.
   * Only `own` counts where it is given.
   */
  headerOf(ctx: KernelObject, own: number | undefined): number | undefined {
    const places = readable(() => {
      const taken = `${ctx.number("sq_entries")} ${ctx.number("cached_sq_head")}`;
      const isWhole = isQueueSize(ctx.number("cq_entries"), MAX_CQ_ENTRIES);
      return this.#byKey.get(isWhole ? `${taken} ${ctx.number("cached_cq_tail")}` : taken);
    });
    if (places === undefined) return undefined;
    if (own !== undefined) return places.has(own) ? own : undefined;
    const [first] = places;
    return places.size === 1 ? first : undefined;
  }

  remove(at: number): void {
    for (const key of this.#keys.get(at) ?? []) this.#byKey.get(key)?.delete(at);
  }
}
