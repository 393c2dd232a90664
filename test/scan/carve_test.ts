import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { findKernel } from "../../lib/kernel/find_kernel.ts";
import { openMemory } from "../../lib/memory/open_memory.ts";
import type { PhysicalMemory } from "../../lib/memory/physical_memory.ts";
import { Carver } from "../../lib/scan/carve.ts";
import { readClock } from "../../lib/scan/clock.ts";
import { Diagnostics } from "../../lib/scan/diagnostics.ts";
import { unpackFixture } from "../fixtures.ts";
import { BufferImage } from "../memory/buffer_image.ts";
import { someFixture } from "./patched_image.ts";

Deno.test("Carver searches the memory that there is, not all addresses up to its end", () => {
  const name = someFixture();
  const image = new BufferImage(new Uint8Array(readFileSync(unpackFixture(name))), name);
  const { memory: inner, cpus, vmcoreinfo } = openMemory(image);
  let searches = 0;
  const memory: PhysicalMemory = {
    format: inner.format,
    ranges: [...inner.ranges, { start: 2 ** 52 - 8192, end: 2 ** 52 }],
    read: (address, length) => inner.read(address, length),
    search: (patterns, options) => {
      assert.ok(++searches < 50, "searched again and again");
      return inner.search(patterns, options);
    },
  };
  const { program } = findKernel(memory, { name, cpus, vmcoreinfo });
  // What is found is not the matter here, and takes its time.
  inner.search = (patterns) => patterns.map(() => []);
  const done: number[] = [];
  const context = { program, clock: readClock(program), diagnostics: new Diagnostics() };
  new Carver(context, (part, total) => done.push(part / total));
  assert.equal(done.at(-1), 1);
  assert.ok(done.every((part, i) => i === 0 || part > done[i - 1]!), String(done));
});
