import assert from "node:assert/strict";
import { FileError } from "../../lib/cli/host.ts";
import { MappedImage, type MemoryLibrary, UnmappableError } from "../../ffi/memory.ts";
import { openImage, withFolder } from "./open_image.ts";
import { searchOne } from "../memory/search_one.ts";

const PAGE = 4096;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function makeFile(path: string, size: number, parts: Record<number, string> = {}): string {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  file.truncateSync(size);
  for (const [offset, text] of Object.entries(parts)) {
    file.seekSync(Number(offset), Deno.SeekMode.Start);
    file.writeSync(bytesOf(text));
  }
  return path;
}

/** A field of /proc/self/status, in bytes. */
function statusBytes(field: string): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m");
  return Number(line.exec(Deno.readTextFileSync("/proc/self/status"))![1]) * 1024;
}

/** How often a thread of this process has asked for a page, by proc_pid_stat(5). */
function pageFaults(): number {
  const stat = Deno.readTextFileSync("/proc/self/stat");
  const [, , , , , , , minor, , major] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(minor) + Number(major);
}

Deno.test("MappedImage shows the file's bytes", () => {
  withFolder((folder) => {
    using image = openImage(makeFile(`${folder}/a`, 3 * PAGE + 5, { 0: "first", 12290: "end" }));
    assert.equal(image.size, 3 * PAGE + 5);
    assert.equal(image.bytes.length, image.size);
    assert.equal(new TextDecoder().decode(image.bytes.slice(0, 5)), "first");
    assert.equal(new TextDecoder().decode(image.bytes.slice(12290)), "end");
    assert.equal(image.shrank, false);
  });
});

Deno.test("MappedImage.close() leaves views of length 0, and can be called again", () => {
  withFolder((folder) => {
    const image = openImage(makeFile(`${folder}/a`, PAGE));
    const { bytes } = image;
    image.close();
    image.close();
    assert.equal(bytes.length, 0);
    assert.equal(image.bytes.length, 0);
    assert.throws(() => searchOne(image, bytesOf("x")), TypeError);
  });
});

Deno.test("MappedImage can be opened more often than there are handles", () => {
  withFolder((folder) => {
    const path = makeFile(`${folder}/a`, PAGE);
    for (let i = 0; i < 100; i++) openImage(path).close();
  });
});

Deno.test("MappedImage says in one line why a file cannot be mapped", () => {
  withFolder((folder) => {
    const message = (path: string) => {
      try {
        openImage(path).close();
      } catch (error) {
        assert.ok(error instanceof FileError);
        return error.message.replaceAll(folder, "");
      }
      throw new assert.AssertionError({ message: `${path} was opened` });
    };
    makeFile(`${folder}/empty`, 0);
    new Deno.Command("mkfifo", { args: [`${folder}/fifo`] }).outputSync();
    assert.equal(message(`${folder}/empty`), 'Cannot read "/empty": file is empty');
    assert.equal(message(`${folder}/none`), 'Cannot open "/none": no such file');
    assert.equal(message(`${folder}/\0`), 'Cannot open "/\\u0000": no such file');
    assert.equal(message(folder), 'Cannot open "": is a directory');
    assert.equal(message(`${folder}/fifo`), 'Cannot open "/fifo": is a pipe');
    assert.equal(message("/dev/null"), 'Cannot open "/dev/null": is a character device');
    assert.equal(
      message(`${folder}/empty/x`),
      'Cannot open "/empty/x": not a directory on the way to it',
    );
  });
});

Deno.test("MappedImage knows how much of a sparse file there is", () => {
  withFolder((folder) => {
    using sparse = openImage(makeFile(`${folder}/b`, 64 * MIB, { [8 * MIB]: "abc" }));
    assert.equal(sparse.size, 64 * MIB);
    assert.ok(sparse.stored > 0 && sparse.stored <= MIB, `${sparse.stored}`);
  });
});

Deno.test("MappedImage says that a file is too large, where another is to be read in pieces", () => {
  const failing = (errno: number) => ({
    iouring_image_open: (_path: unknown, info: BigUint64Array) => {
      info[3] = 0o100644n;
      return -errno;
    },
  });
  const open = (errno: number) => () =>
    new MappedImage(failing(errno) as unknown as MemoryLibrary, "a.raw");
  const tooLarge = 'Cannot read "a.raw": it is larger than what can be mapped';
  assert.throws(open(12), (error) => {
    return error instanceof FileError && !(error instanceof UnmappableError) &&
      error.message === tooLarge;
  });
  assert.throws(open(5), UnmappableError);
});

Deno.test("MappedImage maps standard input where it is a file, and says so where it is not", () => {
  const script = `
    import { openImage } from ${JSON.stringify(import.meta.resolve("./open_image.ts"))};
    let text;
    try {
      using image = openImage("-");
      text = image.name + " " + image.size + " " + String.fromCharCode(...image.bytes);
    } catch (error) {
      text = error.message;
    }
    Deno.stdout.writeSync(new TextEncoder().encode(text));
  `;
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/s.ts`, script);
    Deno.writeTextFileSync(`${folder}/in`, "input");
    const read = (command: string) => {
      const { stdout } = new Deno.Command("sh", {
        args: ["-c", command, `${folder}/s.ts`, Deno.execPath(), "run", "-A", "--no-lock"],
        cwd: folder,
      }).outputSync();
      return new TextDecoder().decode(stdout);
    };
    assert.equal(read('"$@" "$0" < in'), "- 5 input");
    assert.equal(
      read('cat in | "$@" "$0"'),
      'Cannot read "-": standard input is a pipe, scan needs a file: iouring scan - < dump.raw',
    );
    assert.match(read('"$@" "$0" < /dev/null'), /^Cannot read "-": standard input is a character/);
  });
});

Deno.test("MappedImage.search() finds every place, at the borders of pages and of the file", () => {
  withFolder((folder) => {
    const places = [0, 15, 100, 116, PAGE - 3, 2 * PAGE - 1, 5 * PAGE - 6];
    const parts = Object.fromEntries(places.map((place) => [place, "needle"]));
    using image = openImage(makeFile(`${folder}/a`, 5 * PAGE, parts));
    assert.deepEqual(searchOne(image, bytesOf("needle")), places);
  });
});

Deno.test("MappedImage.search() keeps to start, end and limit", () => {
  withFolder((folder) => {
    const parts = { 10: "needle", 20: "needle", 30: "needle" };
    using image = openImage(makeFile(`${folder}/a`, PAGE, parts));
    const search = (options: object) => searchOne(image, bytesOf("needle"), options);
    assert.deepEqual(search({ start: 10 }), [10, 20, 30]);
    assert.deepEqual(search({ start: 11 }), [20, 30]);
    assert.deepEqual(search({ end: 36 }), [10, 20, 30]);
    assert.deepEqual(search({ end: 35 }), [10, 20]);
    assert.deepEqual(search({ limit: 2 }), [10, 20]);
    assert.deepEqual(search({ limit: 0 }), []);
    assert.deepEqual(search({ start: 2 * PAGE }), []);
    assert.deepEqual(search({ start: 10, end: 12 }), []);
  });
});

Deno.test("MappedImage.search() keeps to an alignment, small or of a page", () => {
  withFolder((folder) => {
    const parts = { 0: "needle", 9: "needle", 16: "needle", 4096: "needle", 9000: "needle" };
    using image = openImage(makeFile(`${folder}/a`, 4 * PAGE, parts));
    const search = (align: number, phase = 0, start = 0) =>
      searchOne(image, bytesOf("needle"), { align, phase, start });
    assert.deepEqual(search(8), [0, 16, 4096, 9000]);
    assert.deepEqual(search(8, 0, 1), [16, 4096, 9000]);
    assert.deepEqual(search(8, 1), [9]);
    assert.deepEqual(search(16), [0, 16, 4096]);
    assert.deepEqual(search(PAGE), [0, 4096]);
    assert.deepEqual(search(PAGE, 0, 1), [4096]);
    assert.deepEqual(search(PAGE, 808), [9000]);
    assert.deepEqual(search(PAGE, 808, 9001), []);
    assert.deepEqual(search(PAGE, 8), []);
  });
});

Deno.test("MappedImage.search() takes patterns of any bytes up to 64", () => {
  withFolder((folder) => {
    const path = `${folder}/a`;
    const bytes = new Uint8Array(3 * PAGE);
    // Not random, but without a short period.
    for (let i = 0; i < bytes.length; i++) bytes[i] = ((i * i * 31 + (i >> 3)) & 0xff) || 1;
    Deno.writeFileSync(path, bytes);
    using image = openImage(path);
    for (const length of [1, 2, 3, 15, 16, 17, 33, 64]) {
      for (const at of [0, 1, 77, PAGE - 1, bytes.length - length]) {
        const pattern = bytes.subarray(at, at + length);
        const expected = [];
        for (let i = 0; i + length <= bytes.length; i++) {
          if (pattern.every((byte, j) => bytes[i + j] === byte)) expected.push(i);
        }
        assert.deepEqual(searchOne(image, pattern, { limit: 10_000 }), expected);
      }
    }
    assert.throws(() => searchOne(image, new Uint8Array(65).fill(1)), RangeError);
    assert.throws(() => searchOne(image, new Uint8Array(4)), RangeError);
    assert.throws(() => searchOne(image, new Uint8Array()), RangeError);
    assert.throws(() => searchOne(image, bytesOf("x"), { align: 0 }), RangeError);
  });
});

Deno.test("MappedImage.search() finds several patterns at once, each up to the limit", () => {
  withFolder((folder) => {
    const path = `${folder}/a`;
    const bytes = new Uint8Array(200 * 1024).fill(0x2e);
    // Across the parts in which all are looked for, and at the end of the file.
    const needles = [5, 32 * 1024 - 3, 64 * 1024, bytes.length - 6];
    const pins = [0, 32 * 1024 - 1, 100_000, bytes.length - 3];
    for (const at of needles) bytes.set(bytesOf("needle"), at);
    for (const at of pins) if (at !== bytes.length - 3) bytes.set(bytesOf("pin"), at);
    bytes.set([0x11, 0x22], 40_960);
    Deno.writeFileSync(path, bytes);
    using image = openImage(path);
    const patterns = [
      { bytes: bytesOf("needle") },
      { bytes: bytesOf("pin") },
      { bytes: new Uint8Array([0x11, 0x22]), align: PAGE },
      { bytes: bytesOf("none") },
    ];
    const [, ...first] = needles;
    assert.deepEqual(image.search(patterns), [
      needles.filter((at) => at !== 32 * 1024 - 3),
      pins.slice(0, -1),
      [40_960],
      [],
    ]);
    assert.deepEqual(image.search(patterns, { start: 6, limit: 1 }), [
      [first[1]],
      [pins[1]],
      [40_960],
      [],
    ]);
    assert.deepEqual(image.search([]), []);
    assert.throws(() => image.search(Array.from({ length: 65 }, () => patterns[0]!)), RangeError);
  });
});

Deno.test("MappedImage.search() finds what starts or ends in a hole", () => {
  withFolder((folder) => {
    // One page of data amid holes; the pattern's zeros lie in the holes.
    const parts = { [100 * MIB]: "head", [100 * MIB + PAGE - 4]: "tail" };
    using image = openImage(makeFile(`${folder}/a`, 200 * MIB, parts));
    assert.deepEqual(searchOne(image, bytesOf("\0\0\0head")), [100 * MIB - 3]);
    assert.deepEqual(searchOne(image, bytesOf("tail\0\0\0")), [100 * MIB + PAGE - 4]);
    assert.deepEqual(searchOne(image, bytesOf("\0head\0"), { align: PAGE }), []);
  });
});

Deno.test("MappedImage.search() finds a pattern across the border of two search windows", () => {
  withFolder((folder) => {
    const path = `${folder}/a`;
    const bytes = new Uint8Array(65 * MIB).fill(0x2e);
    for (const at of [32 * MIB - 3, 64 * MIB - 6, 64 * MIB]) bytes.set(bytesOf("needle"), at);
    Deno.writeFileSync(path, bytes);
    using image = openImage(path);
    assert.deepEqual(searchOne(image, bytesOf("needle")), [32 * MIB - 3, 64 * MIB - 6, 64 * MIB]);
  });
});

Deno.test("MappedImage.search() reads nothing of the holes of a 64 GiB file", () => {
  withFolder((folder) => {
    const parts = { [9 * GIB + 5]: "needle", [63 * GIB]: "needle" };
    const path = makeFile(`${folder}/a`, 64 * GIB, parts);
    using image = openImage(path);
    const before = { rss: statusBytes("RssFile"), faults: pageFaults() };
    assert.deepEqual(searchOne(image, bytesOf("needle")), [9 * GIB + 5, 63 * GIB]);
    assert.deepEqual(searchOne(image, bytesOf("needle"), { align: PAGE }), [63 * GIB]);
    // A fault maps 16 pages of what is in the page cache.
    const faults = pageFaults() - before.faults;
    assert.ok(faults < 64 * GIB / (64 * PAGE), `${faults} page faults`);
    assert.ok(statusBytes("RssFile") - before.rss < 64 * MIB);
    assert.equal(image.bytes[63 * GIB], "n".charCodeAt(0));
  });
});

Deno.test("MappedImage reads zeros where the file has shrunk since, and says so", () => {
  withFolder((folder) => {
    const path = `${folder}/a`;
    Deno.writeFileSync(path, new Uint8Array(64 * MIB).fill(0x41));
    using image = openImage(path);
    const { bytes } = image;
    assert.equal(bytes[50 * MIB], 0x41);
    Deno.truncateSync(path, 10 * MIB + 100);
    assert.equal(image.shrank, false);
    assert.equal(bytes[10 * MIB + 99], 0x41);
    assert.equal(bytes[50 * MIB], 0);
    assert.equal(image.shrank, true);
    let sum = 0;
    for (let i = 0; i < bytes.length; i++) sum += bytes[i]! & 1;
    assert.equal(sum, 10 * MIB + 100);
    assert.deepEqual(searchOne(image, bytesOf("A"), { start: 10 * MIB + 90 }).length, 10);
    Deno.truncateSync(path, 0);
    assert.equal(bytes[0], 0);
    assert.deepEqual(searchOne(image, bytesOf("A")), []);
    assert.equal(bytes.at(-1), 0);
    image.close();
    assert.equal(image.shrank, true);
  });
});

Deno.test("MappedImage survives a shrinking file in a hot loop of a worker", async () => {
  const folder = await Deno.makeTempDir({ prefix: "iouring_test_" });
  const path = `${folder}/a`;
  await Deno.writeFile(path, new Uint8Array(256 * MIB).fill(1));
  const worker = new Worker(new URL("./sum_worker.ts", import.meta.url), { type: "module" });
  try {
    const next = () =>
      new Promise<number>((resolve) => worker.onmessage = ({ data }) => resolve(data));
    worker.postMessage(path);
    assert.equal(await next(), 256 * MIB);
    // The second pass goes on until it meets what is cut off now.
    const summed = next();
    await Deno.truncate(path, PAGE);
    assert.ok(await summed < 256 * MIB);
  } finally {
    worker.terminate();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("MappedImage leaves a SIGBUS that is not its own deadly", () => {
  const script = `
    import { openImage } from ${JSON.stringify(import.meta.resolve("./open_image.ts"))};
    const [path] = Deno.args;
    Deno.writeFileSync(path, new Uint8Array(4096));
    using image = openImage(path);
    const { symbols } = Deno.dlopen("libc.so.6", {
      mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
      open: { parameters: ["buffer", "i32"], result: "i32" },
    });
    const fd = symbols.open(new TextEncoder().encode(path + "\\0"), 0);
    const view = new Deno.UnsafePointerView(symbols.mmap(null, 4096, 1, 1, fd, 0));
    Deno.truncateSync(path, 0);
    view.getUint8();
  `;
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/s.ts`, script);
    const { signal } = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", `${folder}/s.ts`, `${folder}/a`],
      stderr: "null",
    }).outputSync();
    assert.equal(signal, "SIGBUS");
  });
});
