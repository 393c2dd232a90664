import { nearest } from "../config/nearest.ts";
import { OPCODE_WORDS, opcodeNumbers } from "../config/event_filter.ts";
import { OPCODE_CATEGORIES, OPCODES } from "../uapi/opcodes.ts";
import type { Host } from "./host.ts";
import { readText } from "./running_host.ts";
import { UsageError } from "./usage_error.ts";

const DEFAULT_RING_BYTES = 16 * 1024 * 1024;
const MIN_RING_BYTES = 64 * 1024;
const MAX_RING_BYTES = 1024 * 1024 * 1024;
const MAX_PID = 4_194_304;
const MAX_SECONDS = 10 * 365 * 86_400;

/** @throws {UsageError} One is no process id, or nobody has it. */
export function pidsOf(value: string | undefined, host: Host): number[] {
  if (value === undefined) return [];
  return value.split(",").map((text) => {
    const pid = Number(text);
    if (!/^[0-9]+$/.test(text) || pid < 1 || pid > MAX_PID) {
      throw new UsageError(
        `Flag "--pid" cannot be ${JSON.stringify(text)}: it takes a process id, 1 to ${MAX_PID}`,
      );
    }
    if (readText(`/proc/${pid}/stat`, host) === undefined) {
      throw new UsageError(`Cannot capture process ${pid}: there is none`);
    }
    return pid;
  });
}

/**
 * Opcodes by the words of a config, in any case, and a name also without its prefix.
 *
 * @throws {UsageError} One is none of them.
 */
export function opcodesOf(value: string | undefined): number[] {
  if (value === undefined) return [];
  const opcodes = new Set<number>();
  for (const text of value.split(",")) {
    const wanted = text.toUpperCase();
    const words = [wanted, `IORING_OP_${wanted}`, text.toLowerCase()];
    const numbers = opcodeNumbers(words.filter((word) => OPCODE_WORDS.includes(word)));
    for (const number of numbers) opcodes.add(number);
    if (numbers.size === 0) {
      const near = nearest(wanted, [
        ...OPCODE_WORDS,
        ...OPCODES.map(({ name }) => name.slice("IORING_OP_".length)),
      ]) ?? nearest(text.toLowerCase(), OPCODE_CATEGORIES);
      throw new UsageError(
        `Unknown opcode ${JSON.stringify(text)}` +
          (near === undefined ? "" : `, did you mean ${JSON.stringify(near)}?`),
      );
    }
  }
  return [...opcodes];
}

/**
 * The opcodes that pass both the command line and the config; a list that is empty is "any".
 *
 * @throws {UsageError} None does.
 */
export function opcodesInKernel(wanted: readonly number[], config: readonly string[]): number[] {
  if (config.length === 0) return [...wanted];
  const numbers = [...opcodeNumbers(config)];
  if (wanted.length === 0) return numbers;
  const both = numbers.filter((number) => wanted.includes(number));
  if (both.length > 0) return both;
  throw new UsageError("No opcode passes both --opcode and the config's event_filter");
}

/** @throws {UsageError} It is no time, or too long. */
export function secondsOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^[0-9]*\.?[0-9]+$/.test(value) || number <= 0 || number > MAX_SECONDS) {
    throw new UsageError(
      `Flag "--duration" cannot be ${
        JSON.stringify(value)
      }: it takes seconds, above 0 and at most ${MAX_SECONDS}`,
    );
  }
  return number;
}

/** @throws {UsageError} It is no whole number above 0. */
export function wholeNumber(value: string | undefined, flag: string): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^[0-9]+$/.test(value) || number < 1 || !Number.isSafeInteger(number)) {
    throw new UsageError(
      `Flag "--${flag}" cannot be ${JSON.stringify(value)}: it takes a whole number above 0`,
    );
  }
  return number;
}

/** @throws {UsageError} It is no power of two, or too small or large. */
export function ringBytesOf(value: string | undefined): number {
  if (value === undefined) return DEFAULT_RING_BYTES;
  const match = /^([0-9]+)([KMG]?)i?B?$/i.exec(value);
  const unit = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[match?.[2]?.toUpperCase() ?? ""] ?? 1;
  const bytes = match === null ? NaN : Number(match[1]) * unit;
  const fits = bytes >= MIN_RING_BYTES && bytes <= MAX_RING_BYTES;
  if (!fits || !Number.isInteger(Math.log2(bytes))) {
    throw new UsageError(
      `Flag "--ring-buffer" cannot be ${JSON.stringify(value)}: ` +
        "it takes a power of two from 64K to 1G",
    );
  }
  return bytes;
}
