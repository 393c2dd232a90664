import assert from "node:assert/strict";
import { KernelFileError } from "../../lib/kernel/kernel_file_error.ts";
import { SlidSymbols } from "../../lib/kernel/symbols.ts";
import { readSystemMap } from "../../lib/kernel/system_map.ts";

const read = (text: string) => readSystemMap("x.map", new TextEncoder().encode(text));

function assertRefused(text: string, why: string): void {
  assert.throws(() => read(text), new KernelFileError("x.map", why));
}

Deno.test("readSystemMap() reads a System.map", () => {
  const map = read(
    "0000000000000000 D __per_cpu_start\nffffffff81000000 T _stext\n" +
      "ffffffff81000010 t same\nffffffff81000020 t same\nffffffff82000000 R linux_banner",
  );
  assert.equal(map.count, 5);
  assert.deepEqual(map.addressesOf("_stext"), [0xffffffff81000000n]);
  assert.deepEqual(map.addressesOf("same"), [0xffffffff81000010n, 0xffffffff81000020n]);
  assert.deepEqual(map.addressesOf("none"), []);
  assert.deepEqual(map.addressesOf("constructor"), []);
});

Deno.test("readSystemMap() reads /proc/kallsyms, and leaves out modules", () => {
  const map = read(
    "ffffffff81000000 T _stext\r\nffffffffc0000000 t same\t[ext4]\n" +
      "ffffffffc0100000 t bpf_prog_1 [bpf]\nffffffff81000020 t same\n",
  );
  assert.equal(map.count, 2);
  assert.deepEqual(map.addressesOf("same"), [0xffffffff81000020n]);
});

Deno.test("readSystemMap() says what it cannot read", () => {
  assertRefused("", "it has no symbols");
  assertRefused("ffffffffc0000000 t a [m]\n", "it has no symbols");
  assertRefused("\n", "line 1 is no symbol");
  assertRefused("{}", "line 1 is no symbol");
  assertRefused("ffffffff81000000 T _stext\nffffffff8100", "line 2 is no symbol");
  assertRefused("ffffffff81000000 T _stext\nfffffffff81000000 T a\n", "line 2 is no symbol");
  assertRefused("ffffffff81000000 T _stext\nxfffffff81000000 T a\n", "line 2 is no symbol");
  assertRefused(
    "0000000000000000 T _stext\n0000000000000000 D linux_banner\n",
    "all its addresses are 0: only root can read /proc/kallsyms",
  );
});

Deno.test("readSystemMap() ends on any bytes, in time that grows with them alone", () => {
  for (const text of ["f".repeat(1e6), "ffffffff81000000 T " + "x".repeat(1e6), " ".repeat(1e6)]) {
    try {
      read(text);
    } catch (error) {
      assert.ok(error instanceof KernelFileError);
    }
  }
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24);
  assert.throws(() => readSystemMap("x.map", bytes), KernelFileError);
});

Deno.test("SlidSymbols moves what lies in the kernel's image, and nothing else", () => {
  const map = read("0000000000001f30 D cpu_number\nffffffff81000000 T _stext\n");
  const symbols = new SlidSymbols(map, 0x1a00000n);
  assert.equal(symbols.lookup("_stext"), 0xffffffff82a00000n);
  assert.equal(symbols.lookup("cpu_number"), 0x1f30n);
  assert.equal(symbols.lookup("none"), undefined);
  assert.equal(new SlidSymbols(map, -0x200000n).lookup("_stext"), 0xffffffff80e00000n);
});
