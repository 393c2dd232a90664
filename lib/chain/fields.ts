/** An object of a record, which anyone may have written: nothing is known of its values. */
export type Fields = Readonly<Record<string, unknown>>;

const NO_FIELDS: Fields = Object.freeze({});
const NOTHING: readonly unknown[] = Object.freeze([]);

/** The object at a key, or an empty one. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? value as Fields : NO_FIELDS;
}

/** The array at a key, or an empty one. */
export function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : NOTHING;
}

/** Longest address of a ring, and `PATH_MAX`: what is longer in a stream is neither. */
export const MAX_ADDRESS = 18;
export const MAX_PATH = 4096;
