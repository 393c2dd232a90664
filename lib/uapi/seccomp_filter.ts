import { viewOf } from "./bytes.ts";

/**
 * Seccomp filters as the kernel keeps them: classic BPF over a `struct seccomp_data`
 * (`include/uapi/linux/seccomp.h`, `include/uapi/linux/bpf_common.h`).
 */

/** What a filter does with a system call, whatever its arguments are. */
export type Verdict = "allow" | "deny" | "depends";

/** `SECCOMP_RET_ACTION_FULL`: the actions, signed, from the strictest (lowest) up. */
const RET_ACTION = 0xffff0000;
const RET_ERRNO = 0x00050000;
/** `AUDIT_ARCH_X86_64` */
const ARCH_X86_64 = 0xc000003e;

const NR_OFFSET = 0;
const ARCH_OFFSET = 4;
const DATA_SIZE = 64;
/** `BPF_MAXINSNS` and `BPF_MEMWORDS` */
const MAX_INSTRUCTIONS = 4096;
const MEMORY_WORDS = 16;
/** Ways through a filter that are followed for one system call. */
const MAX_STEPS = 65_536;

/** A 32-bit word, or undefined where it depends on arguments. */
type Word = number | undefined;

interface Machine {
  readonly pc: number;
  readonly a: Word;
  readonly x: Word;
  readonly memory: readonly Word[];
}

/**
 * Every action that a filter can take for a system call of x86-64, as signed numbers: where a jump
 * depends on arguments, both ways are followed. Undefined for a program that the kernel would not
 * have accepted, and for one with too many ways.
 *
 * @param code `struct sock_filter`, 8 bytes an instruction, as many as there are.
 */
export function possibleActions(code: Uint8Array, syscall: number): Set<number> | undefined {
  const count = code.byteLength / 8;
  if (!Number.isInteger(count) || count < 1 || count > MAX_INSTRUCTIONS) return undefined;
  const view = viewOf(code);
  const actions = new Set<number>();
  const seen = new Set<string>();
  const open: Machine[] = [{
    pc: 0,
    a: 0,
    x: 0,
    memory: new Array<Word>(MEMORY_WORDS).fill(0),
  }];
  let steps = 0;
  ways:
  for (let machine = open.pop(); machine !== undefined; machine = open.pop()) {
    let { pc, a, x, memory } = machine;
    for (;;) {
      if (++steps > MAX_STEPS || pc < 0 || pc >= count) return undefined;
      const operation = view.getUint16(pc * 8, true);
      const jt = view.getUint8(pc * 8 + 2);
      const jf = view.getUint8(pc * 8 + 3);
      const k = view.getUint32(pc * 8 + 4, true);
      pc++;
      const kind = operation & 7;
      if (kind === CLASS.RET) {
        const value = operation === CLASS.RET ? k : operation === (CLASS.RET | RET_A) ? a : NaN;
        // An action that is computed from arguments may be any.
        if (value === undefined || Number.isNaN(value)) return undefined;
        actions.add((value & RET_ACTION) | 0);
        break;
      }
      if (kind === CLASS.JMP) {
        const target = jump(operation, { a, x, k });
        if (target === "always") pc += k;
        else if (target === "invalid") return undefined;
        else if (target !== undefined) pc += target ? jt : jf;
        else {
          const state = `${pc} ${a} ${x} ${memory.join()}`;
          // Another way has come here with the same values.
          if (seen.has(state)) break;
          seen.add(state);
          if (jt !== jf) open.push({ pc: pc + jf, a, x, memory });
          pc += jt;
        }
        continue;
      }
      switch (operation) {
        case CLASS.LD | MODE_ABS:
          if (k % 4 !== 0 || k >= DATA_SIZE) return undefined;
          a = k === NR_OFFSET ? syscall : k === ARCH_OFFSET ? ARCH_X86_64 : undefined;
          break;
        case CLASS.LD | MODE_LEN:
          a = DATA_SIZE;
          break;
        case CLASS.LDX | MODE_LEN:
          x = DATA_SIZE;
          break;
        case CLASS.LD:
          a = k;
          break;
        case CLASS.LDX:
          x = k;
          break;
        case CLASS.LD | MODE_MEM:
          a = memory[k % MEMORY_WORDS];
          break;
        case CLASS.LDX | MODE_MEM:
          x = memory[k % MEMORY_WORDS];
          break;
        case CLASS.ST:
          memory = memory.with(k % MEMORY_WORDS, a);
          break;
        case CLASS.STX:
          memory = memory.with(k % MEMORY_WORDS, x);
          break;
        case CLASS.MISC:
          x = a;
          break;
        case CLASS.MISC | MISC_TXA:
          a = x;
          break;
        default:
          if (kind !== CLASS.ALU) return undefined;
          if (DIVISIONS.has(operation) && x === 0) {
            // A division by zero ends the filter with 0, which kills.
            actions.add(0);
            continue ways;
          }
          a = compute(operation, a, (operation & SOURCE_X) === 0 ? k : x);
          if (Number.isNaN(a)) return undefined;
      }
    }
  }
  return actions;
}

/**
 * What a chain of filters does with a system call: each gives an action, and the strictest counts.
 * Undefined where one cannot be interpreted, and none that can denies it.
 *
 * @param results What {@linkcode possibleActions} gave for each.
 */
export function verdictOf(results: readonly (Set<number> | undefined)[]): Verdict | undefined {
  const each = results.map((actions) => {
    if (actions === undefined) return undefined;
    const denied = [...actions].filter((action) => action <= RET_ERRNO).length;
    return denied === 0 ? "allow" : denied === actions.size ? "deny" : "depends";
  });
  if (each.includes("deny")) return "deny";
  if (each.includes(undefined)) return undefined;
  return each.includes("depends") ? "depends" : "allow";
}

const CLASS = { LD: 0, LDX: 1, ST: 2, STX: 3, ALU: 4, JMP: 5, RET: 6, MISC: 7 } as const;
const MODE_ABS = 0x20;
const MODE_MEM = 0x60;
const MODE_LEN = 0x80;
const SOURCE_X = 0x08;
const RET_A = 0x10;
const MISC_TXA = 0x80;
/** DIV and MOD by the index register. */
const DIVISIONS: ReadonlySet<number> = new Set([0x3c, 0x9c]);

/** Whether a jump is taken; undefined where that depends on arguments. */
function jump(
  operation: number,
  { a, x, k }: { a: Word; x: Word; k: number },
): boolean | "always" | "invalid" | undefined {
  const test = operation & 0xf0;
  if (test === 0) return "always";
  if (test > 0x40) return "invalid";
  const value = (operation & SOURCE_X) === 0 ? k : x;
  if (a === undefined || value === undefined) return undefined;
  switch (test) {
    case 0x10:
      return a >>> 0 === value >>> 0;
    case 0x20:
      return a >>> 0 > value >>> 0;
    case 0x30:
      return a >>> 0 >= value >>> 0;
    default:
      return (a & value) !== 0;
  }
}

/** The result of an ALU operation; undefined where it depends on arguments, NaN for none. */
function compute(operation: number, a: Word, value: Word): Word {
  const code = operation & 0xf0;
  if (code > 0xa0) return NaN;
  if (code === 0x80) return a === undefined ? undefined : -a >>> 0;
  // Whatever an argument is, nothing of it is left.
  if (code === 0x50 && (a === 0 || value === 0)) return 0;
  if (a === undefined || value === undefined) return undefined;
  switch (code) {
    case 0x00:
      return (a + value) >>> 0;
    case 0x10:
      return (a - value) >>> 0;
    case 0x20:
      return Math.imul(a, value) >>> 0;
    case 0x30:
      return Math.floor((a >>> 0) / (value >>> 0));
    case 0x40:
      return (a | value) >>> 0;
    case 0x50:
      return (a & value) >>> 0;
    case 0x60:
      return value > 31 ? 0 : (a << value) >>> 0;
    case 0x70:
      return value > 31 ? 0 : a >>> value;
    case 0x90:
      return (a >>> 0) % (value >>> 0);
    default:
      return (a ^ value) >>> 0;
  }
}
