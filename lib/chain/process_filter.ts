import type { ProcessFilterConfig } from "../config/process_filter.ts";
import type { Fields } from "./fields.ts";

/** What a filter says of one record. `unreadable`: left out for want of a value that a condition needs. */
export type Verdict = "pass" | "drop" | "unreadable";

/** Judges the process of a record. */
export type ProcessFilter = (record: object) => Verdict;

/** True, false, or undefined when the value could not be read from the kernel. */
type Condition = (process: Fields, missing: readonly unknown[]) => boolean | undefined;

/**
 * Builds the filter that `process_filter` describes:
 * uid AND euid AND auid AND (name OR path OR prefix), values within a list being alternatives and
 * an empty list no condition; `deny_list` turns the whole round. A filter without conditions
 * passes everything, with `deny_list` too.
 *
 * A value that could not be read (its path is in the record's `missing`, or there is no `process`
 * at all, as for a ring whose owner is gone) fulfils no condition. So an allow list leaves the
 * record out, with the verdict `unreadable` so that it is counted, and a deny list lets it pass:
 * only what is known to match is denied. In particular an unreadable login uid is not the login
 * uid 4294967295 of a process that nobody logged in for, though both are written alike.
 */
export function processFilter(config: ProcessFilterConfig): ProcessFilter {
  const conditions: Condition[] = [];
  for (const key of ["uid", "euid", "auid"] as const) {
    const ids = new Set<unknown>(config[key]);
    if (ids.size === 0) continue;
    conditions.push((process, missing) => readable(process, key, missing) && ids.has(process[key]));
  }
  const binary = binaryCondition(config);
  if (binary !== undefined) conditions.push(binary);
  if (conditions.length === 0) return () => "pass";

  const deny = config.deny_list ?? false;
  return (record) => {
    const { process, missing } = record as Fields;
    const fields = isObject(process) ? process : {};
    const unread = Array.isArray(missing) ? missing : [];
    let matches: boolean | undefined = true;
    for (const condition of conditions) {
      const fulfilled = condition(fields, unread);
      if (fulfilled === false) {
        matches = false;
        break;
      }
      if (fulfilled === undefined) matches = undefined;
    }
    if (deny) return matches ? "drop" : "pass";
    return matches === undefined ? "unreadable" : matches ? "pass" : "drop";
  };
}

/** name OR path OR prefix, or undefined where all three are empty. */
function binaryCondition({ binary }: ProcessFilterConfig): Condition | undefined {
  const names = (binary?.name ?? []).map(matcher);
  const paths = (binary?.path ?? []).map(matcher);
  const prefixes = (binary?.prefix ?? []).map(matcher);
  const needsName = names.length > 0;
  const needsPath = paths.length + prefixes.length > 0;
  if (!needsName && !needsPath) return undefined;
  return (process, missing) => {
    if (
      names.some((name) => name.equals(process, "filename")) ||
      paths.some((path) => path.equals(process, "binary_path")) ||
      prefixes.some((prefix) => prefix.begins(process, "binary_path"))
    ) return true;
    const known = (!needsName || readable(process, "filename", missing)) &&
      (!needsPath || readable(process, "binary_path", missing));
    return known ? false : undefined;
  };
}

/** Compares by bytes: text that is not UTF-8 stands in `<key>_hex`, with U+FFFD in the key itself. */
function matcher(text: string) {
  const hex = new TextEncoder().encode(text).toHex();
  return {
    equals(process: Fields, key: string): boolean {
      const bytes = process[`${key}_hex`];
      return bytes === undefined ? process[key] === text : bytes === hex;
    },
    begins(process: Fields, key: string): boolean {
      const bytes = process[`${key}_hex`];
      const [value, prefix] = bytes === undefined ? [process[key], text] : [bytes, hex];
      return typeof value === "string" && value.startsWith(prefix);
    },
  };
}

/** True, or undefined for a value that could not be read. */
function readable(process: Fields, key: string, missing: readonly unknown[]): true | undefined {
  return process[key] === undefined || missing.includes(`process.${key}`) ? undefined : true;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}
