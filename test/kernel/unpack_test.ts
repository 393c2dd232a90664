import assert from "node:assert/strict";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { KernelFileError } from "../../lib/kernel/kernel_file_error.ts";
import { unpack } from "../../lib/kernel/unpack.ts";
import { need, succeeds, testWith } from "../command.ts";
import { BufferImage } from "../memory/buffer_image.ts";

const TEXT = new TextEncoder().encode('{"a": 1}\n'.repeat(30_000));

const NEEDS_XZ = need(succeeds("xz", "--version"), "needs xz");

const open = (bytes: Uint8Array) => new BufferImage(new Uint8Array(bytes), "x.json");

/** What a command of the system makes of bytes. */
async function piped(bytes: Uint8Array, command: string, ...args: string[]): Promise<Uint8Array> {
  const child = new Deno.Command(command, { args, stdin: "piped", stdout: "piped" }).spawn();
  const output = child.output();
  const writer = child.stdin.getWriter();
  await writer.write(new Uint8Array(bytes));
  await writer.close();
  return (await output).stdout;
}

async function assertRefused(bytes: Uint8Array, why: RegExp, limit?: number): Promise<void> {
  await assert.rejects(unpack(open(bytes), limit), (error) => {
    assert.ok(error instanceof KernelFileError, String(error));
    assert.match(error.message, why);
    return true;
  });
}

Deno.test("unpack() gives what is not packed as it is", async () => {
  for (const bytes of [TEXT, new Uint8Array(1), new Uint8Array(0)]) {
    assert.deepEqual(await unpack(open(bytes)), bytes);
  }
});

testWith([NEEDS_XZ], "unpack() unpacks gzip and xz", async () => {
  assert.deepEqual(await unpack(open(gzipSync(TEXT))), TEXT);
  for (
    const options of [["-0"], ["-6", "-C", "crc32"], ["-1", "--block-size=65536", "-C", "none"]]
  ) {
    assert.deepEqual(await unpack(open(await piped(TEXT, "xz", ...options))), TEXT);
  }
});

testWith([NEEDS_XZ], "unpack() names what it does not unpack, and what does", async () => {
  await assertRefused(
    await piped(TEXT, "bzip2"),
    /is packed by bzip2, unpack it first with bunzip2$/,
  );
  await assertRefused(zstdCompressSync(TEXT), /is packed by zstd, unpack it first with unzstd$/);
  const sums = await piped(TEXT, "xz", "-C", "sha256");
  await assertRefused(sums, /is packed by xz with SHA-256 sums, unpack it first with unxz$/);
});

testWith([NEEDS_XZ], "unpack() refuses what is cut or damaged", async () => {
  const damaged = /what is packed in it is damaged or cut short$/;
  for (const packed of [await piped(TEXT, "xz", "-1"), gzipSync(TEXT)]) {
    for (let length = 12; length < packed.length - 1; length += 29) {
      await assertRefused(packed.subarray(0, length), damaged);
    }
    const middle = packed.slice();
    middle[middle.length >> 1]! ^= 0x10;
    await assertRefused(middle, damaged);
  }
});

testWith([NEEDS_XZ], "unpack() does not unpack bombs", async () => {
  const zeros = new Uint8Array(32 << 20);
  const bombs = [await piped(zeros, "xz", "-0"), gzipSync(zeros)];
  for (const bomb of bombs) {
    assert.ok(bomb.length < 50_000);
    await assertRefused(bomb, /it holds more than 1000000 bytes$/, 1_000_000);
  }
  // And it still works afterwards.
  for (const bomb of bombs) {
    assert.equal((await unpack(open(bomb), zeros.length)).length, zeros.length);
  }
  await assertRefused(zeros, /it holds more than 33554431 bytes$/, zeros.length - 1);
});
