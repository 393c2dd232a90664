import assert from "node:assert/strict";
import { DenoHost } from "../../ffi/host.ts";
import { locateLibraries } from "../../ffi/libraries.ts";
import { FileError } from "../../lib/cli/host.ts";
import { NEEDS_MOUNTS, run, succeeds, testWith } from "../command.ts";
import { withFolder } from "./open_image.ts";

function makeHost(): DenoHost {
  return new DenoHost({
    build: {
      version: "0.0.0",
      form: "source",
      build: "unknown",
      deno: Deno.version.deno,
      libbpf: "unknown",
    },
    libraries: locateLibraries("source", []).libraries,
  });
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

/**
 * Runs a script that has `host`, its standard output piped to `reader`; what the reader says. Both
 * have a FIFO beside the script, named as it is with `.go` behind.
 */
function runScript(body: string, reader: string): string {
  const imports = ["../../ffi/host.ts", "../../lib/cli/host.ts"].map((path) =>
    JSON.stringify(import.meta.resolve(path))
  );
  const script = `
    import { DenoHost } from ${imports[0]};
    import { BrokenPipe } from ${imports[1]};
    const host = new DenoHost({ build: {}, libraries: {} });
    ${body}
  `;
  let output = "";
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/s.js`, script);
    const command = `mkfifo "$1.go" && "$0" run --allow-all --no-lock "$1" | { ${reader}; }`;
    const { stdout, stderr } = run("sh", ["-c", command, Deno.execPath(), `${folder}/s.js`]);
    output = stdout + stderr;
  });
  return output;
}

Deno.test("DenoHost.createFile() refuses an existing file unless it appends", () => {
  withFolder((folder) => {
    const host = makeHost();
    const path = `${folder}/out`;
    for (const text of ["a\n", "b", "c\n"]) {
      const file = host.createFile(path, { append: true });
      file.write(bytesOf(text));
      file.close();
    }
    // "b" was cut.
    assert.equal(Deno.readTextFileSync(path), "a\nb\nc\n");
    assert.throws(
      () => host.createFile(path, { append: false }),
      new FileError("create", path, "file exists"),
    );
    assert.throws(
      () => host.createFile(folder, { append: true }),
      new FileError("create", folder, "is a directory"),
    );
    assert.throws(
      () => host.createFile(`${folder}/none/x`, { append: false }),
      new FileError("create", `${folder}/none/x`, "no such file"),
    );
  });
});

Deno.test("DenoHost.createFile() says when the device is full", () => {
  const file = makeHost().createFile("/dev/full", { append: true });
  assert.throws(
    () => file.write(bytesOf("x")),
    new FileError("write", "/dev/full", "no space left on device"),
  );
});

Deno.test("DenoHost.openInput() and readFile() say what is wrong with a path", () => {
  withFolder((folder) => {
    const host = makeHost();
    for (
      const open of [
        (path: string) => host.openInput(path),
        (path: string) => host.readFile(path, 9),
      ]
    ) {
      assert.throws(
        () => open(`${folder}/none`),
        new FileError("open", `${folder}/none`, "no such file"),
      );
      assert.throws(() => open(folder), new FileError("open", folder, "is a directory"));
    }
  });
});

Deno.test("DenoHost.readFile() reads up to its limit and refuses more", () => {
  withFolder((folder) => {
    const host = makeHost();
    const path = `${folder}/a`;
    Deno.writeFileSync(path, new Uint8Array(200_000).fill(7));
    assert.deepEqual(host.readFile(path, 200_000), new Uint8Array(200_000).fill(7));
    assert.throws(
      () => host.readFile(path, 199_999),
      new FileError("read", path, "larger than 199999 bytes"),
    );
    Deno.writeFileSync(path, new Uint8Array());
    assert.equal(host.readFile(path, 10).length, 0);
  });
});

Deno.test("DenoHost.stdout.write() writes all of it to a pipe that does not block", () => {
  const body = `
    const { symbols } = Deno.dlopen("libc.so.6", {
      fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
    });
    symbols.fcntl(1, 4 /* F_SETFL */, 0o4000 /* O_NONBLOCK */);
    const writeSync = Deno.stdout.writeSync.bind(Deno.stdout);
    Deno.stdout.writeSync = (bytes) => {
      try {
        return writeSync(bytes);
      } catch (error) {
        // Nobody has read yet, and the pipe is full.
        Deno.stdout.writeSync = writeSync;
        Deno.writeTextFileSync(import.meta.filename + ".go", "\\n");
        throw error;
      }
    };
    host.stdout.write(new Uint8Array(3_000_000));
  `;
  assert.equal(runScript(body, 'read _ < "$1.go"; wc -c').trim(), "3000000");
});

Deno.test("DenoHost.stdout.write() throws BrokenPipe once the reader has gone", () => {
  const body = `
    try {
      for (;;) host.stdout.write(new Uint8Array(100_000));
    } catch (error) {
      host.stderr.write(new TextEncoder().encode(String(error instanceof BrokenPipe)));
    }
  `;
  assert.equal(runScript(body, "head -c 1 >/dev/null"), "true");
});

testWith(
  [NEEDS_MOUNTS],
  "DenoHost.createFile() leaves whole lines on a disk that is full",
  () =>
    withFolder((folder) => {
      assert.ok(succeeds("mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", folder));
      try {
        const host = makeHost();
        const path = `${folder}/out`;
        const line = "x".repeat(999) + "\n";
        const file = host.createFile(path, { append: false });
        file.write(bytesOf(line.repeat(10)));
        assert.throws(
          () => file.write(bytesOf(line.repeat(60))),
          new FileError("write", path, "no space left on device"),
        );
        file.close();
        assert.equal(Deno.readTextFileSync(path), line.repeat(40));
      } finally {
        assert.ok(succeeds("umount", folder));
      }
    }),
);

Deno.test("stopSignal keeps a signal from ending the process, whatever the runtime does with it", () => {
  const script = `
    import { DenoHost } from ${JSON.stringify(import.meta.resolve("../../ffi/host.ts"))};
    import { locateLibraries } from ${
    JSON.stringify(import.meta.resolve("../../ffi/libraries.ts"))
  };
    // The runtime looks at signals from here on, and nobody listens.
    const nobody = () => {};
    Deno.addSignalListener("SIGINT", nobody);
    Deno.removeSignalListener("SIGINT", nobody);
    const host = new DenoHost({ build: {}, libraries: locateLibraries("source", []).libraries });
    const stopSignal = host.stopSignal;
    Deno.kill(Deno.pid, "SIGINT");
    // Its thread has had its turn when a listener is told.
    await new Promise((resolve) => {
      Deno.addSignalListener("SIGUSR1", resolve);
      Deno.kill(Deno.pid, "SIGUSR1");
    });
    Deno.exit(stopSignal());
  `;
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/s.ts`, script);
    const { code, signal } = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-lock", `${folder}/s.ts`],
      stderr: "null",
    }).outputSync();
    assert.equal(signal, null);
    assert.equal(code, 2);
  });
});
