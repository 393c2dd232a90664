import assert from "node:assert/strict";
import { KernelFileError } from "../../lib/kernel/kernel_file_error.ts";
import { SlidSymbols } from "../../lib/kernel/symbols.ts";
import { readSystemMap } from "../../lib/kernel/system_map.ts";

/** A file that gives at most `most` bytes at a time. */
function fileOf(bytes: Uint8Array, most: number) {
  let taken = 0;
  return {
    name: "x.map",
    get taken() {
      return taken;
    },
    read(buffer: Uint8Array): Promise<number | null> {
      const piece = bytes.subarray(taken, taken + Math.min(most, buffer.length));
      buffer.set(piece);
      taken += piece.length;
      return Promise.resolve(piece.length || null);
    },
  };
}

const encode = (text: string) => new TextEncoder().encode(text);
const read = (text: string, most = Infinity) => readSystemMap(fileOf(encode(text), most));

async function assertRefused(text: string, why: string): Promise<void> {
  await assert.rejects(read(text), new KernelFileError("x.map", why));
}

Deno.test("readSystemMap() reads a System.map", async () => {
  const map = await read(
    "0000000000000000 D __per_cpu_start\nffffffff81000000 T _stext\n" +
      "ffffffff81000010 t same\nffffffff81000020 t same\nffffffff82000000 R linux_banner",
  );
  assert.equal(map.count, 5);
  assert.deepEqual(map.addressesOf("_stext"), [0xffffffff81000000n]);
  assert.deepEqual(map.addressesOf("same"), [0xffffffff81000010n, 0xffffffff81000020n]);
  assert.deepEqual(map.addressesOf("none"), []);
  assert.deepEqual(map.addressesOf("constructor"), []);
});

Deno.test("readSystemMap() reads /proc/kallsyms, and leaves out modules", async () => {
  const map = await read(
    "ffffffff81000000 T _stext\r\nffffffffc0000000 t same\t[ext4]\n" +
      "ffffffffc0100000 t bpf_prog_1 [bpf]\nffffffff81000020 t same\n",
  );
  assert.equal(map.count, 2);
  assert.deepEqual(map.addressesOf("same"), [0xffffffff81000020n]);
});

Deno.test("readSystemMap() says what it cannot read", async () => {
  await assertRefused("", "it has no symbols");
  await assertRefused("ffffffffc0000000 t a [m]\n", "it has no symbols");
  await assertRefused("\n", "line 1 is no symbol");
  await assertRefused("{}", "line 1 is no symbol");
  await assertRefused("ffffffff81000000 T _stext\nffffffff8100", "line 2 is no symbol");
  await assertRefused("ffffffff81000000 T _stext\nfffffffff81000000 T a\n", "line 2 is no symbol");
  await assertRefused("ffffffff81000000 T _stext\nxfffffff81000000 T a\n", "line 2 is no symbol");
  await assertRefused(
    "0000000000000000 T _stext\n0000000000000000 D linux_banner\n",
    "all its addresses are 0: only root can read /proc/kallsyms",
  );
});

Deno.test("readSystemMap() ends on any bytes, in time that grows with them alone", async () => {
  for (const text of ["f".repeat(1e6), "ffffffff81000000 T " + "x".repeat(1e6), " ".repeat(1e6)]) {
    await read(text).catch((error) => assert.ok(error instanceof KernelFileError));
  }
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24);
  await assert.rejects(readSystemMap(fileOf(bytes, Infinity)), KernelFileError);
});

Deno.test("readSystemMap() reads lines that come in pieces, and more than it holds", async () => {
  const line = (i: number) => `ffffffff8${i.toString(16).padStart(7, "0")} T symbol_${i}\n`;
  const text = Array.from({ length: 5000 }, (_, i) => line(i)).join("");
  for (const most of [1, 31, Infinity]) {
    const map = await read(text, most);
    assert.equal(map.count, 5000);
    assert.deepEqual(map.addressesOf("symbol_4999"), [0xffffffff80001387n]);
  }
});

Deno.test("readSystemMap() reads no further than to a line that is no symbol", async () => {
  const bytes = new Uint8Array(16 * 1024 * 1024);
  const file = fileOf(bytes, Infinity);
  await assert.rejects(readSystemMap(file), new KernelFileError("x.map", "line 1 is no symbol"));
  assert.ok(file.taken <= 64 * 1024, `${file.taken} bytes were read`);
});

Deno.test("readSystemMap() ends where a file has more lines than any kernel, also of modules", async () => {
  const lines = encode("ffffffffc0000000 t a [m]\n".repeat(2000));
  const endless = {
    name: "x.map",
    read(buffer: Uint8Array) {
      buffer.set(lines.subarray(0, buffer.length));
      return Promise.resolve(Math.min(lines.length, buffer.length));
    },
  };
  const why = "it has more than 4000000 symbols";
  await assert.rejects(readSystemMap(endless), new KernelFileError("x.map", why));
});

Deno.test("SlidSymbols moves what lies in the kernel's image, and nothing else", async () => {
  const map = await read("0000000000001f30 D cpu_number\nffffffff81000000 T _stext\n");
  const symbols = new SlidSymbols(map, 0x1a00000n);
  assert.equal(symbols.lookup("_stext"), 0xffffffff82a00000n);
  assert.equal(symbols.lookup("cpu_number"), 0x1f30n);
  assert.equal(symbols.lookup("none"), undefined);
  assert.equal(new SlidSymbols(map, -0x200000n).lookup("_stext"), 0xffffffff80e00000n);
});
