import type { PageTableRoot } from "../../lib/kernel/address_space.ts";
import type { AddressEncoding, KallsymsTables } from "../../lib/kernel/kallsyms.ts";
import { type KallsymsLayout, manySymbols, writeKallsyms } from "./fake_kallsyms.ts";
import { buildBtf, FakePageTables, FakePhysicalMemory, u64 } from "./fake_machine.ts";

/** What to leave out of a kernel, or to make differently. */
export interface SmallKernelOptions {
  readonly levels?: 4 | 5;
  readonly layout?: KallsymsLayout;
  readonly encoding?: AddressEncoding;
  readonly release?: string;
  /** Without the symbols of data, as with CONFIG_KALLSYMS_ALL=n. */
  readonly noDataSymbols?: boolean;
  readonly noBtf?: boolean;
  /** With BTF, but without the symbols that say where it is. */
  readonly noBtfSymbols?: boolean;
  /** With its VMCOREINFO in memory. */
  readonly keepsVmcoreinfo?: boolean;
  /** Offset of the image from where it is linked, physically and virtually. */
  readonly slide?: number;
}

const LINKED = 0xffffffff81000000n;
const LOADED = 0x100_0000;
const KERNEL_MAP = 0xffffffff80000000n;
/** Offsets in the image. */
const INIT_TASK = 0x20_0000;
const BANNER = 0x30_0000;
const PAGE_OFFSET_BASE = 0x31_0000;
const BTF = 0x32_0000;
const VMCOREINFO_DATA = 0x3e_0000;
const VMCOREINFO = 0x3f_0000;
const TABLES = 0x40_0000;
const PAGE_TABLES = 0x60_0000;

/** Where the second task lies, outside of the image. */
const DIRECT_MAP = { 4: 0xffff888000000000n, 5: 0xff11000000000000n } as const;
const SECOND_TASK = 0x800_0000;

/**
 * As much of a kernel as is needed to find it: an image with its page tables, symbols, types, banner
 * and first task, and a second task in memory of its own.
 */
export class SmallKernel {
  readonly memory: FakePhysicalMemory;
  readonly root: PageTableRoot;
  readonly text: bigint;
  readonly tables: KallsymsTables;
  readonly release: string;
  readonly btf: Uint8Array;
  readonly #physBase: number;

  constructor(memory: FakePhysicalMemory, options: SmallKernelOptions = {}) {
    const { levels = 4, layout = "6.4", encoding = "absolute_percpu", slide = 0 } = options;
    this.memory = memory;
    this.release = options.release ?? "6.1.0-small";
    const loaded = LOADED + slide * 2;
    const text = LINKED + BigInt(slide);
    this.text = text;
    this.#physBase = loaded - Number(text - KERNEL_MAP);
    let next = loaded + PAGE_TABLES - 4096;
    const pages = new FakePageTables(memory, levels, () => next += 4096);
    const put = (offset: number, bytes: Uint8Array) => {
      for (let at = 0; at < bytes.length; at += 4096) {
        pages.map(text + BigInt(offset + at), { physical: loaded + offset + at });
      }
      memory.write(loaded + offset, bytes);
    };
    this.root = { root: pages.root, levels, smeMask: 0n };
    pages.map(text + BigInt(pages.root - loaded), { physical: pages.root });

    const structs = {
      list_head: { next: "*list_head", prev: "*list_head" },
      task_struct: {
        state: "u64[3]",
        tasks: "list_head",
        pid: "s32",
        real_parent: "*task_struct",
        comm: "s8[16]",
      },
    };
    const btf = buildBtf(structs);
    const task = text + BigInt(INIT_TASK);
    const second = DIRECT_MAP[levels] + BigInt(SECOND_TASK);
    pages.map(second, { physical: SECOND_TASK });
    put(INIT_TASK, taskBytes(task, second));
    put(BANNER, new TextEncoder().encode(`Linux version ${this.release} (someone@host)\n\0`));
    put(PAGE_OFFSET_BASE, u64(DIRECT_MAP[levels]));
    if (options.noBtf !== true) put(BTF, btf);
    this.btf = btf;
    put(0, new Uint8Array(4096).fill(0x90));

    const symbols = manySymbols(text);
    if (options.noDataSymbols !== true) {
      symbols.set("linux_banner", text + BigInt(BANNER)).set("init_task", task)
        .set("page_offset_base", text + BigInt(PAGE_OFFSET_BASE));
    }
    if (options.noBtf !== true && options.noBtfSymbols !== true) {
      symbols.set("__start_BTF", text + BigInt(BTF))
        .set("__stop_BTF", text + BigInt(BTF + btf.length));
    }
    if (options.keepsVmcoreinfo === true) {
      symbols.set("vmcoreinfo_data", text + BigInt(VMCOREINFO_DATA));
      put(VMCOREINFO_DATA, u64(text + BigInt(VMCOREINFO)));
    }
    this.tables = writeKallsyms(memory, pages, {
      symbols,
      layout,
      encoding,
      at: text + BigInt(TABLES),
      physical: loaded + TABLES,
      relativeBase: text,
    });
    if (options.keepsVmcoreinfo === true) {
      put(VMCOREINFO, new TextEncoder().encode(this.vmcoreinfo()));
    }
  }

  /** Physical address of `linux_banner`. */
  get bannerAt(): number {
    return Number(this.text - KERNEL_MAP) + this.#physBase + BANNER;
  }

  get pageOffsetBaseAt(): number {
    return this.bannerAt - BANNER + PAGE_OFFSET_BASE;
  }

  get btfAt(): number {
    return this.bannerAt - BANNER + BTF;
  }

  /** What the kernel would write down about itself. */
  vmcoreinfo({ kallsyms = true, depth = true } = {}): string {
    const rootAddress = KERNEL_MAP + BigInt(this.root.root - this.#physBase);
    const lines = [
      `OSRELEASE=${this.release}`,
      `SYMBOL(_stext)=${this.text.toString(16)}`,
      `SYMBOL(swapper_pg_dir)=${rootAddress.toString(16)}`,
      `NUMBER(phys_base)=${this.#physBase}`,
      "NUMBER(sme_mask)=0",
    ];
    if (depth) lines.push(`NUMBER(pgtable_l5_enabled)=${this.root.levels - 4}`);
    if (kallsyms) {
      const { numSyms, names, tokenTable, tokenIndex, offsets, relativeBase } = this.tables;
      const tables = { numSyms, names, tokenTable, tokenIndex, offsets, relativeBase };
      for (const [key, value] of Object.entries(tables)) {
        const name = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        if (value !== undefined) lines.push(`SYMBOL(kallsyms_${name})=${value.toString(16)}`);
      }
    }
    return lines.join("\n") + "\n";
  }
}

/** The first task: its own parent. */
function taskBytes(task: bigint, second: bigint): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(24, second + 24n, true);
  view.setBigUint64(32, second + 24n, true);
  view.setBigUint64(48, task, true);
  bytes.set(new TextEncoder().encode("swapper/0"), 56);
  return bytes;
}

/** A small kernel in a memory of its own. */
export function smallKernel(options?: SmallKernelOptions): SmallKernel {
  return new SmallKernel(new FakePhysicalMemory(), options);
}
