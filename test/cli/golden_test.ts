/**
 * Runs every case in a folder beside this file against `dist/iouring`, as a user would.
 *
 * A case is a folder with `cmd` (a shell command; `iouring` is the executable, and the folder is a
 * copy that it may write to), optionally `stdin`, and what is expected: `stdout`, `stderr` (empty
 * where the file is missing) and `code` (0 where it is missing). `[any]` in an expected file
 * stands for any text within a line. Other files are the case's own; `$IMAGE` is a memory image.
 *
 * IOURING_UPDATE_GOLDEN=1 writes what came as what is expected; look at the difference.
 */
import assert from "node:assert/strict";
import { imageFixtures, unpackFixture } from "../fixtures.ts";
import { ROOT } from "../paths.ts";

const HERE = new URL("./", import.meta.url);
const DIST = `${ROOT}dist/`;
const UPDATE = Deno.env.get("IOURING_UPDATE_GOLDEN") === "1";
/** A case that hangs is ended after so long. */
const MAX_SECONDS = 300;
const IMAGE = unpackFixture(imageFixtures()[0]!);

const cases = [...Deno.readDirSync(HERE)].filter(({ isDirectory }) => isDirectory)
  .map(({ name }) => name).sort();

for (const name of cases) {
  Deno.test(`golden: ${name}`, async () => {
    const folder = new URL(`${name}/`, HERE);
    const expected = (file: string) => readText(new URL(file, folder)) ?? "";
    const came = await runCase(folder, expected("cmd"), expected("stdin"));
    if (UPDATE) {
      for (const [file, text] of Object.entries(came)) {
        if (!matches(text, expected(file))) writeExpected(new URL(file, folder), text);
      }
      return;
    }
    for (const [file, text] of Object.entries(came)) {
      if (!matches(text, expected(file))) assert.equal(text, expected(file), file);
    }
  });
}

Deno.test("golden: there is an executable to test", () => {
  assert.doesNotThrow(() => Deno.statSync(`${DIST}iouring`), "Run deno task build first");
});

async function runCase(folder: URL, cmd: string, stdin: string) {
  const copy = await Deno.makeTempDir();
  try {
    for await (const { name, isFile } of Deno.readDir(folder)) {
      if (isFile) await Deno.copyFile(new URL(name, folder), `${copy}/${name}`);
    }
    // It ends what the shell started, too, which would hold the pipes open.
    const child = new Deno.Command("timeout", {
      args: ["-k", "1", `${MAX_SECONDS}`, "sh", "-c", cmd],
      cwd: copy,
      env: { PATH: `${DIST}:${Deno.env.get("PATH")}`, LC_ALL: "C", IMAGE },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    // A program that does not read its input closes it early.
    const written = writer.write(new TextEncoder().encode(stdin)).then(() => writer.close())
      .catch(() => {});
    const { code, stdout, stderr } = await child.output();
    await written;
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { stdout: text(stdout), stderr: text(stderr), code: code === 0 ? "" : `${code}\n` };
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

function matches(text: string, expected: string): boolean {
  const parts = expected.split("[any]").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(text);
}

function readText(url: URL): string | undefined {
  try {
    return Deno.readTextFileSync(url);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function writeExpected(url: URL, text: string): void {
  if (text === "") Deno.removeSync(url);
  else Deno.writeTextFileSync(url, text);
}
