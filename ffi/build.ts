/**
 * `deno task build`: makes `dist/iouring`, one executable.
 *
 * Two forms. The launcher form is a small static program (launcher.c) with the `deno` runtime,
 * the bundle and the shims appended. The compile form is `deno compile`, whose base runtime comes
 * from the Deno project's own download host; looking for a host that a build machine may not
 * reach costs seconds a build, so it is tried only when asked for, with `--compile`, and the
 * launcher form is what is made, run and tested by default.
 *
 * Two builds of one commit are identical: nothing of the time, the folder or the user goes in.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { existsSync, globSync } from "node:fs";
import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };
import { DebianError, PrivateApt } from "./debian.ts";
import { LIBRARIES, SHIMS } from "./libraries.ts";
import { setup, SetupError } from "./setup.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const WORK = `${ROOT}/.cache/build`;
const OUTPUT = `${ROOT}/dist/iouring`;

const CFLAGS = [
  "-std=gnu11",
  "-O2",
  "-g0",
  `-ffile-prefix-map=${ROOT}=.`,
  "-Wl,--build-id=none",
  "-s",
];

/** What goes into a build, and so decides whether one is needed. */
const SOURCES = [
  "deno.json",
  "deno.lock",
  "main.ts",
  "lib/**/*.ts",
  "ffi/*.ts",
  "ffi/*.[ch]",
  "bpf/*",
];

/** A build that failed, in one line. */
class BuildError extends Error {
  override readonly name = "BuildError";
}

function log(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** Runs a command in the root; its output, or an error with what it said. */
function runCommand(name: string, args: string[], env: Record<string, string> = {}): string {
  const result = new Deno.Command(name, {
    args,
    cwd: ROOT,
    env: { LC_ALL: "C", NO_COLOR: "1", ...env },
    stdin: "null",
  })
    .outputSync();
  const decoder = new TextDecoder();
  if (!result.success) {
    throw new BuildError(
      `Cannot build: ${name} ${args[0]} failed\n${decoder.decode(result.stderr).trim()}`,
    );
  }
  return decoder.decode(result.stdout).trim();
}

/** The commit, with `-dirty` where what is built differs from it; "unknown" outside of git. */
function buildId(): string {
  try {
    const commit = runCommand("git", ["rev-parse", "--short=12", "HEAD"]);
    const changes = runCommand("git", ["status", "--porcelain", "--", ...SOURCES.map(topLevel)]);
    return changes === "" ? commit : `${commit}-dirty`;
  } catch {
    return "unknown";
  }
}

/** The part of a pattern before its first wildcard, for git. */
function topLevel(pattern: string): string {
  return pattern.split("/")[0]!;
}

/** A digest of everything that the result depends on. */
function buildKey(form: string, build: string, libraries: SystemLibraries): string {
  const hash = createHash("sha256");
  const runtime = Deno.statSync(Deno.execPath());
  hash.update(JSON.stringify([form, build, Deno.version, runtime.size, runtime.mtime]));
  for (const path of globSync(SOURCES, { cwd: ROOT }).sort()) {
    const bytes = Deno.readFileSync(`${ROOT}/${path}`);
    hash.update(`${path}\0${bytes.length}\0`).update(bytes);
  }
  for (const path of Object.values(libraries)) hash.update(Deno.readFileSync(path));
  return hash.digest("hex");
}

/** Writes a whole file under its name at once, so that nobody sees half of it. */
function replaceFile(path: string, bytes: Uint8Array, mode: number): void {
  const temporary = `${path}.${Deno.pid}`;
  Deno.writeFileSync(temporary, bytes, { mode });
  Deno.chmodSync(temporary, mode);
  Deno.renameSync(temporary, path);
}

/** Runs a command that writes the file it is given, and puts that in place. */
function makeFile(path: string, command: (temporary: string) => void): void {
  const temporary = `${path}.${Deno.pid}`;
  command(temporary);
  Deno.renameSync(temporary, path);
}

/** The libraries of the system that a shim needs. */
const NEEDED: { readonly [shim: string]: readonly string[] } = { capture: ["-lbpf"] };

function compileShims(): void {
  for (const name of SHIMS) {
    const options = ["-fPIC", "-shared"];
    makeFile(`${WORK}/${LIBRARIES[name]}`, (file) => {
      runCommand("cc", [...CFLAGS, ...options, `ffi/${name}.c`, "-o", file, ...NEEDED[name] ?? []]);
    });
  }
}

/**
 * Compiles the BPF object. Its debug information goes, apart from BTF, which loading needs; paths
 * of the build are in neither.
 */
function compileBpf(): void {
  makeFile(`${WORK}/${LIBRARIES.object}`, (file) => {
    // The third version of the instruction set, which 5.10 knows, keeps the verifier's work small.
    const target = ["-target", "bpf", "-mcpu=v3"];
    const options = ["-g", "-O2", "-Wall", "-Werror", `-ffile-prefix-map=${ROOT}=.`];
    runCommand("clang", [...target, ...options, "-c", "bpf/iouring.bpf.c", "-o", file]);
    runCommand("llvm-strip", ["-g", file]);
  });
}

/** The libraries that the capture shim needs, by the path of the file to embed. */
type SystemLibraries = Readonly<Record<"z" | "elf" | "bpf", string>>;

/** Programs that were linked on Debian 11 need this version of the C library, or an older one. */
const NEWEST_GLIBC = 31;
/** Debian 11's libelf has the interface that libbpf needs, and runs on every later Debian. */
const OLD_ELF = { suite: "bullseye", name: "libelf1", path: "usr/lib/x86_64-linux-gnu" };

/**
 * Finds the libraries that the capture shim needs: Debian's static ones cannot go into a shared
 * object, and the host that the program is carried to may not have them.
 */
async function findLibraries(): Promise<SystemLibraries> {
  const find = (name: "z" | "elf" | "bpf") =>
    Deno.realPathSync(runCommand("cc", [`-print-file-name=${LIBRARIES[name]}`]));
  const libraries = { z: find("z"), elf: find("elf"), bpf: find("bpf") };
  if (newestGlibc(libraries.elf) > NEWEST_GLIBC) {
    try {
      libraries.elf = await fetchElf();
    } catch (error) {
      if (!(error instanceof DebianError)) throw error;
      log(`capture will need this machine's C library or a newer one: ${error.message}`);
    }
  }
  return libraries;
}

/** The n of the newest GLIBC_2.n that a library needs. Nothing else in it looks like one. */
function newestGlibc(path: string): number {
  const text = new TextDecoder("latin1").decode(Deno.readFileSync(path));
  return Math.max(0, ...Array.from(text.matchAll(/GLIBC_2\.(\d+)/g), ([, n]) => Number(n)));
}

/** The older libelf, downloaded once. */
async function fetchElf(): Promise<string> {
  const { suite, name, path } = OLD_ELF;
  const dir = `${ROOT}/.cache/packages/${suite}`;
  const file = `${dir}/root/${path}/${LIBRARIES.elf}`;
  if (!existsSync(file)) {
    log(`Getting ${name} of Debian 11, which needs an older C library than the one here`);
    await Deno.mkdir(dir, { recursive: true });
    const apt = new PrivateApt(await Deno.realPath(dir), suite);
    await apt.update();
    const { version } = await apt.show(name);
    await apt.extract(name, version, `${dir}/root`);
  }
  return await Deno.realPath(file);
}

function copyLibraries(libraries: SystemLibraries): void {
  for (const name of ["z", "elf", "bpf"] as const) {
    makeFile(`${WORK}/${LIBRARIES[name]}`, (file) => Deno.copyFileSync(libraries[name], file));
  }
}

/** The version of libbpf, which Debian puts in the file's name; "unknown" where it is not there. */
function libbpfVersion({ bpf }: SystemLibraries): string {
  return /\.so\.(\d+\.\d+\.\d+)$/.exec(bpf)?.[1] ?? "unknown";
}

/** Bundles main.ts and everything it imports into one script that says how it was made. */
function bundle(info: { form: string; build: string; libbpf: string }): void {
  makeFile(`${WORK}/main.js`, (file) => {
    // "browser" picks the ES modules of npm packages; what they have for Node is CommonJS, whose
    // require() of Node's own modules does not survive bundling.
    const options = ["--quiet", "--no-check", "--platform", "browser", "--minify"];
    runCommand(Deno.execPath(), ["bundle", ...options, "-o", file, "main.ts"]);
    // Comments say where a package lay on this machine; say only which package it is.
    const text = Deno.readTextFileSync(file).replaceAll(/^\/\/ \S*\/npm\/[^/]+\//gm, "// npm:");
    const first = `globalThis.IOURING_BUILD = ${JSON.stringify(info)};\n`;
    Deno.writeTextFileSync(file, first + text);
  });
}

const CRC32C = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = CRC32C[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

const PAGE_BYTES = 4096;
const NAME_BYTES = 24;
const ENTRY_BYTES = 80;
const TRAILER_BYTES = 32;

/** Puts the launcher and what it carries together; launcher.c describes the form. */
function assemble(): Uint8Array {
  makeFile(`${WORK}/launcher`, (file) => {
    runCommand("cc", [...CFLAGS, "-static", "ffi/launcher.c", "-o", file]);
  });
  const launcher = Deno.readFileSync(`${WORK}/launcher`);
  // The runtime is mapped out of the file, so it starts on a page.
  const padded = new Uint8Array(Math.ceil(launcher.length / PAGE_BYTES) * PAGE_BYTES);
  padded.set(launcher);
  const parts: [name: string, bytes: Uint8Array][] = [
    ["launcher", padded],
    ["runtime", Deno.readFileSync(Deno.execPath())],
    ["program", Deno.readFileSync(`${WORK}/main.js`)],
  ];
  for (const [name, file] of Object.entries(LIBRARIES)) {
    parts.push([name, Deno.readFileSync(`${WORK}/${file}`)]);
  }

  const index = new Uint8Array(parts.length * ENTRY_BYTES);
  const indexOffset = parts.reduce((sum, [, bytes]) => sum + bytes.length, 0);
  const file = new Uint8Array(indexOffset + index.length + TRAILER_BYTES);
  let offset = 0;
  for (const [i, [name, bytes]] of parts.entries()) {
    const entry = index.subarray(i * ENTRY_BYTES, (i + 1) * ENTRY_BYTES);
    const view = new DataView(entry.buffer, entry.byteOffset);
    new TextEncoder().encodeInto(name, entry.subarray(0, NAME_BYTES - 1));
    view.setBigUint64(24, BigInt(offset), true);
    view.setBigUint64(32, BigInt(bytes.length), true);
    view.setUint32(40, crc32c(bytes), true);
    entry.set(createHash("sha256").update(bytes).digest(), 48);
    file.set(bytes, offset);
    offset += bytes.length;
  }
  file.set(index, indexOffset);
  const trailer = new DataView(file.buffer, indexOffset + index.length);
  new TextEncoder().encodeInto("IOURING1", new Uint8Array(file.buffer, trailer.byteOffset));
  trailer.setBigUint64(8, BigInt(file.length), true);
  trailer.setBigUint64(16, BigInt(indexOffset), true);
  trailer.setUint32(24, parts.length, true);
  trailer.setUint32(28, crc32c(index), true);
  return file;
}

/** `deno compile`; false where its base runtime cannot be had. */
function compile(): boolean {
  const includes = Object.values(LIBRARIES).flatMap((file) => ["--include", `${WORK}/${file}`]);
  try {
    makeFile(OUTPUT, (file) => {
      runCommand(Deno.execPath(), [
        "compile",
        "--quiet",
        "--allow-all",
        "--no-prompt",
        "--no-check",
        "--no-config",
        "--no-code-cache",
        ...includes,
        "-o",
        file,
        `${WORK}/main.js`,
      ]);
    });
    return true;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    log(`deno compile failed, so the launcher form is made: ${error.message.split("\n").at(-1)}`);
    return false;
  }
}

/** Makes `dist/iouring` unless it is up to date. */
function build(wanted: "launcher" | "compile", libraries: SystemLibraries): void {
  const libbpf = libbpfVersion(libraries);
  const id = buildId();
  const key = buildKey(wanted, id, libraries);
  const keyFile = `${WORK}/key`;
  if (existsSync(OUTPUT) && existsSync(keyFile) && Deno.readTextFileSync(keyFile) === key) {
    log(`dist/iouring is up to date (${wanted} form, build ${id})`);
    return;
  }
  Deno.mkdirSync(WORK, { recursive: true });
  Deno.mkdirSync(`${ROOT}/dist`, { recursive: true });
  compileShims();
  compileBpf();
  copyLibraries(libraries);
  let form = wanted;
  if (form === "compile") {
    bundle({ form, build: id, libbpf });
    if (!compile()) form = "launcher";
  }
  if (form === "launcher") {
    bundle({ form, build: id, libbpf });
    replaceFile(OUTPUT, assemble(), 0o755);
  }
  replaceFile(keyFile, new TextEncoder().encode(key), 0o644);
  const size = (Deno.statSync(OUTPUT).size / 1e6).toFixed(1);
  log(`dist/iouring made: version ${config.version}, ${form} form, build ${id}, ${size} MB`);
}

if (import.meta.main) {
  try {
    setup("build", log);
    build(Deno.args.includes("--compile") ? "compile" : "launcher", await findLibraries());
  } catch (error) {
    if (!(error instanceof BuildError || error instanceof SetupError)) throw error;
    log(error.message);
    Deno.exit(1);
  }
}
