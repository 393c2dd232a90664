import assert from "node:assert/strict";
import { BrokenPipe, FileError } from "../../lib/cli/host.ts";
import { parse } from "../../lib/cli/parse.ts";
import { progressLine } from "../../lib/cli/progress.ts";
import { run } from "../../lib/cli/run.ts";
import { scanWith } from "../../lib/cli/scan.ts";
import { ImageError } from "../../lib/memory/image_error.ts";
import type { StreamRecord } from "../../lib/record/records.ts";
import { event, ring, status } from "../chain/records.ts";
import { FakeHost, type FakeHostOptions } from "./fake_host.ts";

const STREAM = [
  status(),
  event(),
  event({ opcode: "IORING_OP_OPENAT", op_info: { path: "/x" } }),
  status({ phase: "end" }),
].map((record) => JSON.stringify(record) + "\n").join("");

async function go(argv: string[], options: FakeHostOptions = {}) {
  const host = new FakeHost(options);
  const code = await run(argv, host);
  return { host, code, out: host.out, err: host.err };
}

async function scan(argv: string[], batches: StreamRecord[][], options: FakeHostOptions = {}) {
  const host = new FakeHost({ ...options, files: { "dump.raw": "", ...options.files } });
  const request = parse(argv);
  if (request.kind !== "command") throw new Error();
  const code = await scanWith(
    function* (_image, { progress }) {
      for (const batch of batches) {
        progress?.(1, 4, "Searching");
        yield batch;
      }
    },
    request.args,
    host,
    argv,
  );
  return { host, code, out: host.out, err: host.err };
}

Deno.test("run() shows the version", async () => {
  const { out, code } = await go(["--version"]);
  assert.equal(out, "iouring 1.2.3 (source, deno 2.9.6, libbpf 1.1.2, build abc)\n");
  assert.equal(code, 0);
});

Deno.test("run() turns errors into a line and a code", async () => {
  const image = (error: Error) =>
    class extends FakeHost {
      override openImage(): never {
        throw error;
      }
    };
  const cases: [Error, string, number][] = [
    [new FileError("open", "a\x9b", "no such file"), 'Cannot open "a\\x9b": no such file\n', 1],
    [new ImageError("Found no kernel"), "Found no kernel\n", 1],
    [new TypeError("x is undefined"), "Internal error: x is undefined\n", 1],
    [new BrokenPipe(), "", 0],
  ];
  for (const [error, message, expected] of cases) {
    const host = new (image(error))();
    assert.equal(await run(["scan", "dump.raw"], host), expected);
    assert.equal(host.err, message);
    assert.equal(host.out, "");
  }
});

Deno.test("run() refuses flags that do not go together", async () => {
  const files = { c: "" };
  for (
    const [argv, message] of [
      ["filter --check", 'Flag "--check" needs --config FILE'],
      ["filter -c c --append", 'Flag "--append" needs -o FILE'],
      [
        "filter -c c --append -o x --format json",
        "Cannot append to a JSON array, use --format ndjson",
      ],
    ] as const
  ) {
    const { code, err } = await go(argv.split(" "), { files });
    assert.equal(err, message + "\n");
    assert.equal(code, 2);
  }
});

Deno.test("run() ends quietly when the reader of the output is gone", async () => {
  const { code, err } = await go(["filter", "-c", "c"], {
    files: { c: "" },
    stdin: STREAM,
    writes: 0,
  });
  assert.equal(code, 0);
  assert.equal(err, "");
});

Deno.test("filter passes what the config selects byte for byte", async () => {
  const spaced = '{ "type":"IOUringEvent","process":{"uid":7},"later":"ü" }';
  const files = { c: "process_filter: {uid: [7]}" };
  const { out, err, code } = await go(["filter", "-c", "c"], { files, stdin: STREAM + spaced });
  const [start, , , end] = STREAM.split("\n");
  assert.equal(out, `${start}\n${end}\n${spaced}\n`);
  assert.equal(err, "1 event in 0 processes, 0 suspicious, 2 filtered out\n");
  assert.equal(code, 0);
});

Deno.test("filter reads a file, and writes a new one", async () => {
  const files = { c: "", "in.ndjson": STREAM, old: "before\n" };
  const { host, out } = await go(["filter", "-c", "c", "-o", "new", "in.ndjson"], { files });
  assert.equal(out, "");
  assert.equal(host.files.get("new"), STREAM);

  const refused = await go(["filter", "-c", "c", "-o", "old", "in.ndjson"], { files });
  assert.equal(refused.code, 1);
  assert.equal(refused.err, 'Cannot create "old": file exists\n');
  assert.equal(refused.host.files.get("old"), "before\n");

  const added = await go(["filter", "-c", "c", "-o", "old", "--append", "in.ndjson"], { files });
  assert.equal(added.host.files.get("old"), "before\n" + STREAM);
});

Deno.test("filter says that a stream was cut, after writing what came", async () => {
  const cut = STREAM.split("\n").slice(0, 3).join("\n").slice(0, -5);
  const { out, err, code } = await go(["filter", "-c", "c"], { files: { c: "" }, stdin: cut });
  assert.equal(out, STREAM.split("\n").slice(0, 2).join("\n") + "\n");
  assert.equal(
    err,
    "warning: Line 3 is not JSON, left out\n" +
      "1 event in 1 process, 0 suspicious, 1 bad line left out\n" +
      "Stream ended without its end record: capture was killed or cut\n",
  );
  assert.equal(code, 1);
});

Deno.test("filter reports ten bad lines and counts the rest", async () => {
  const { err, code } = await go(["filter", "-c", "c"], {
    files: { c: "" },
    stdin: "x\n".repeat(50),
  });
  const lines = err.trimEnd().split("\n");
  assert.equal(lines.length, 11);
  assert.equal(lines[9], "warning: Line 10 is not JSON, left out");
  assert.equal(lines[10], "0 records in 0 processes, 0 suspicious, 50 bad lines left out");
  assert.equal(code, 0);
});

Deno.test("filter --check reads no records", async () => {
  const good = await go(["filter", "--check", "-c", "c"], { files: { c: "" }, stdin: STREAM });
  assert.deepEqual([good.out, good.err, good.code], ["", 'Config "c" is valid\n', 0]);
  const bad = await go(["filter", "--check", "-c", "c"], { files: { c: "x: 1" }, stdin: STREAM });
  assert.equal(bad.code, 2);
  assert.equal((await go(["filter", "--check", "-c", "none"])).code, 2);
});

Deno.test("scan writes NDJSON to a pipe and a table to a terminal", async () => {
  const batches = [[status()], [ring()], [status({ phase: "end" })]];
  const piped = await scan(["scan", "dump.raw"], batches);
  assert.equal(piped.out, batches.flat().map((record) => JSON.stringify(record) + "\n").join(""));
  assert.equal(piped.err, "1 ring in 1 process, 0 suspicious\n");
  assert.equal(piped.code, 0);
  const shown = await scan(["scan", "dump.raw"], batches, { terminal: true });
  assert.match(shown.out, / PID {2}COMM .*\n.*1234 {2}curing/);
  assert.equal(shown.out.includes("\x1b[1m"), true);
  const plain = await scan(["scan", "dump.raw"], batches, { terminal: true, env: { NO_COLOR: "1" } });
  assert.equal(plain.out.includes("\x1b"), false);
  const forced = await scan(["scan", "--format=table", "--color=always", "dump.raw"], batches);
  assert.equal(forced.out.includes("\x1b[1m"), true);
});

Deno.test("scan shows progress on a terminal after a second, and takes it away", async () => {
  const batches = Array.from({ length: 6 }, () => [ring()]);
  const { err } = await scan(["scan", "dump.raw"], batches, { terminal: true });
  assert.ok(err.startsWith("\r\x1b[K[#####...............]  25% Searching\r\x1b[K"));
  assert.ok(err.endsWith("\r\x1b[K6 rings in 1 process, 0 suspicious\n"));
  assert.equal((await scan(["scan", "dump.raw"], batches)).err, "6 rings in 1 process, 0 suspicious\n");
});

Deno.test("scan filters by a config and leaves no file behind when it fails at once", async () => {
  const { out, err } = await scan(["scan", "-c", "c", "dump.raw"], [[ring(), status()]], {
    files: { c: "process_filter: {uid: [0]}" },
  });
  assert.equal(out.split("\n").length, 2);
  assert.equal(
    err,
    "warning: 1 record filtered out because what the config asks for could not be read\n" +
      "0 rings in 0 processes, 0 suspicious, 1 filtered out\n",
  );
  const host = new FakeHost({ files: { "dump.raw": "" } });
  const request = parse(["scan", "-o", "x", "dump.raw"]);
  if (request.kind !== "command") throw new Error();
  const { args } = request;
  await assert.rejects(
    scanWith(
      () => {
        throw new ImageError("Found no kernel");
      },
      args,
      host,
      [],
    ),
    ImageError,
  );
  assert.equal(host.files.has("x"), false);
});

Deno.test("progressLine() fits its columns", () => {
  assert.equal(progressLine(0, 4, "a", 80), "[....................]   0% a");
  assert.equal(progressLine(9, 4, "a", 80), "[####################] 100% a");
  assert.equal(progressLine(1, 0, "Searching", 80), "Searching");
  assert.equal(progressLine(2, 4, "x".repeat(99), 20).length, 20);
});

Deno.test("scan opens its outputs, gives up root, and then reads", async () => {
  const seen: (string[] | undefined)[] = [];
  const host = new FakeHost({ files: { "dump.raw": "" }, drop: { user: 7 } });
  const request = parse(["scan", "-o", "x", "--slice", "y", "dump.raw"]);
  assert.ok(request.kind === "command");
  await scanWith(
    function* () {
      seen.push(host.dropped);
      yield [ring()];
    },
    request.args,
    host,
    [],
  );
  assert.deepEqual(seen, [["dump.raw", "x", "y"]]);
  assert.equal(host.err, "1 ring in 1 process, 0 suspicious\n");
});

Deno.test("scan says when root cannot be given up, and what stays empty", async () => {
  const failed = "not permitted";
  const { err } = await scan(["scan", "dump.raw"], [], { drop: { failed } });
  assert.match(err, /^warning: cannot give up root: not permitted\n/);
  const files = { "dump.raw": "not an image" };
  const came = await go(["scan", "-o", "x", "dump.raw"], { files, drop: { user: 7 } });
  assert.match(came.err, /^note: "x" was created before root was given up, and stays empty\n/);
  assert.equal(came.code, 1);
});

Deno.test("scan opens files of symbols and types before it gives up root, and reads them after", async () => {
  const files = { "dump.raw": "", "x.btf": "no BTF", "System.map": "no map", "x.json": "[" };
  for (
    const [flag, file, why] of [
      ["--btf", "x.btf", "not a BTF header"],
      ["--symbols", "System.map", "line 1 is no symbol"],
      ["--isf", "x.json", "it is not ISF: byte 0 is not an object"],
    ] as const
  ) {
    const came = await go(["scan", "-o", "x", flag, file, "dump.raw"], { files, drop: { user: 7 } });
    assert.deepEqual(came.err.split("\n"), [
      'note: "x" was created before root was given up, and stays empty',
      `Cannot read "${file}": ${why}`,
      "",
    ]);
    assert.equal(came.code, 1);
    const gone = await go(["scan", "-o", "x", flag, "none", "dump.raw"], { files, drop: { user: 7 } });
    assert.equal(gone.err, 'Cannot open "none": no such file\n');
    assert.equal(gone.host.dropped, undefined);
  }
});

Deno.test("run() verifies the executable", async () => {
  const digests = [{ part: "runtime", sha256: "ab", built: "ab" }, { part: "/x", sha256: "cd" }];
  const { out, code } = await go(["--version", "--verify"], { digests });
  assert.match(out, /^iouring 1\.2\.3 \(.*\)\nab {2}runtime\ncd {2}\/x\n$/);
  assert.equal(code, 0);
  const wrong = await go(["--verify", "-V"], { digests: [{ ...digests[0]!, built: "ac" }] });
  assert.equal(
    wrong.err,
    'Cannot verify "runtime": its SHA-256 is not the one it was built with\n',
  );
  assert.equal(wrong.code, 1);
});
