/**
 * `deno task demo`: scans memory of a real kernel, as a slice and as a raw image, and captures a
 * workload where this host allows it. What it skips it says.
 *
 * @module
 */

import { setup, SetupError } from "../ffi/setup.ts";
import { readElfCore } from "../lib/memory/elf_core.ts";
import { imageFixtures, unpackFixture } from "./fixtures.ts";
import { cannotCapture } from "./live/capture.ts";
import { buildWorkload } from "./live/workload.ts";
import { BufferImage } from "./memory/buffer_image.ts";
import { CommandError, LabUnavailableError } from "./vm/run.ts";
import { PROGRAM, ROOT } from "./paths.ts";
import { print } from "./report.ts";

/** Lines of a table that are shown. */
const MAX_LINES = 14;
const CAPTURE_SECONDS = "4";

/**
 * Runs the program; shows the command, the start of its output, and what it said at the end.
 *
 * @param meanwhile Run again and again until the program ends.
 */
async function show(args: string[], meanwhile?: () => Promise<unknown>): Promise<boolean> {
  print(`\n$ dist/iouring ${args.join(" ")}`);
  const child = new Deno.Command(PROGRAM, {
    args,
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let running = true;
  const ended = child.output().finally(() => running = false);
  while (running && meanwhile !== undefined) await meanwhile();
  const { success, stdout, stderr } = await ended;
  const decoder = new TextDecoder();
  const lines = decoder.decode(stdout).trimEnd().split("\n");
  for (const line of lines.slice(0, MAX_LINES)) print(line);
  if (lines.length > MAX_LINES) print(`… and ${lines.length - MAX_LINES} lines more`);
  print(decoder.decode(stderr).trimEnd());
  return success;
}

/** Writes the memory of a slice as a raw image, where an offset is a physical address. */
async function writeRaw(slice: string, raw: string): Promise<void> {
  const bytes = await Deno.readFile(slice);
  using file = await Deno.open(raw, { write: true, create: true, truncate: true });
  for (const { start, end, offset } of readElfCore(new BufferImage(bytes, slice)).ranges) {
    await file.seek(start, Deno.SeekMode.Start);
    for (let at = offset; at < offset + end - start;) {
      at += await file.write(bytes.subarray(at, offset + end - start));
    }
  }
}

/** Shows a capture of the tests' workload, or says why not. */
async function showCapture(): Promise<boolean> {
  const reason = await cannotCapture();
  if (reason !== undefined) {
    print(`\nSkipped: a capture on this host (${reason})`);
    return true;
  }
  let workload: string;
  try {
    setup("workload", print);
    workload = await buildWorkload();
  } catch (error) {
    const isExpected = error instanceof SetupError || error instanceof LabUnavailableError ||
      error instanceof CommandError;
    if (!isExpected) throw error;
    print(`\nSkipped: a capture on this host (${error.message})`);
    return true;
  }
  return await show(["capture", "--format", "table", "-d", CAPTURE_SECONDS], async () => {
    await new Deno.Command(workload, { args: ["samples"], stdout: "null" }).output();
    await new Promise((resolve) => setTimeout(resolve, 1000));
  });
}

async function main(): Promise<boolean> {
  const name = imageFixtures().find((name) => name.includes("bare"));
  if (name === undefined) {
    print("Cannot show the demo: there is no image in fixtures/");
    return false;
  }
  const slice = unpackFixture(name);
  const raw = slice.replace(/elf$/, "raw");
  await writeRaw(slice, raw);
  const scan = (path: string) => ["scan", "--format", "table", path.replace(ROOT, "")];
  print(`A slice of a Linux ${name.split("-")[0]} machine's memory: the pages that matter, as ELF`);
  const sliced = await show(scan(slice));
  print("\nThe same pages as a raw image; all else in it is zero, and the scan says so");
  const whole = await show(scan(raw));
  return await showCapture() && sliced && whole;
}

if (!await main()) Deno.exit(1);
