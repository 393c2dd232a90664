/**
 * `deno task setup`: what the build, and the tests with their lab, need from the system. As root
 * on Debian it installs what is missing; elsewhere it says in one line what to install.
 *
 * @module
 */

import { existsSync } from "node:fs";

/** What is being prepared for. */
export type Purpose = "build" | "workload" | "lab";

/** One thing that must be there, and the Debian package that brings it. */
interface Need {
  readonly purpose: Purpose;
  readonly what: string;
  readonly debianPackage: string;
  isThere(): boolean;
}

const NEEDS: readonly Need[] = [
  command("build", "cc", "gcc"),
  {
    purpose: "build",
    what: "the C library's headers",
    debianPackage: "libc6-dev",
    isThere: () => isLinkable("libc.a"),
  },
  command("build", "clang", "clang"),
  command("build", "llvm-strip", "llvm"),
  {
    purpose: "build",
    what: "libbpf",
    debianPackage: "libbpf-dev",
    isThere: () => isLinkable("libbpf.so"),
  },
  {
    purpose: "workload",
    what: "liburing",
    debianPackage: "liburing-dev",
    isThere: () => isLinkable("liburing.a"),
  },
  command("lab", "qemu-system-x86_64", "qemu-system-x86"),
  {
    purpose: "lab",
    what: "a static busybox",
    debianPackage: "busybox-static",
    isThere: () => output("busybox", ["--list"])?.includes("cpio") === true,
  },
  command("lab", "cpio", "cpio"),
  command("lab", "make", "make"),
  command("lab", "jq", "jq"),
  command("lab", "xz", "xz-utils"),
  command("lab", "strace", "strace"),
  command("lab", "setcap", "libcap2-bin"),
  command("lab", "zsh", "zsh"),
  command("lab", "fish", "fish"),
  command("lab", "man", "man-db"),
  command("lab", "debootstrap", "debootstrap"),
  command("lab", "makedumpfile", "makedumpfile"),
  {
    purpose: "lab",
    what: "drgn",
    debianPackage: "python3-drgn",
    isThere: () => output("/usr/bin/python3", ["-c", "import drgn.helpers.linux"]) !== undefined,
  },
];

/** What setup could not provide, in one line. */
export class SetupError extends Error {
  override readonly name = "SetupError";
}

/**
 * Provides what `purpose` needs.
 *
 * @throws {SetupError} Where something is missing and cannot be installed from here.
 */
export function setup(purpose: Purpose, log: (line: string) => void): void {
  const missing = NEEDS.filter((need) => need.purpose === purpose && !need.isThere());
  if (missing.length === 0) return;
  const what = missing.map((need) => need.what).join(", ");
  const packages = missing.map((need) => need.debianPackage);
  const advice = `Cannot prepare the ${purpose}: ${what} missing, as root: apt-get install ${
    packages.join(" ")
  }`;
  if (Deno.uid() !== 0 || !isExecutable("apt-get")) throw new SetupError(advice);

  log(`setup: installing ${packages.join(" ")}`);
  if (install(packages) !== undefined) {
    log("setup: updating the package lists");
    // Lists that cannot be had in part may do; where they do not, the packages are what is missing.
    aptGet(["update"]);
    const why = install(packages);
    if (why !== undefined) throw new SetupError(`${advice} (apt-get could not: ${why})`);
  }
  const still = missing.filter((need) => !need.isThere());
  if (still.length > 0) {
    throw new SetupError(
      `Cannot prepare the ${purpose}: ${still.map((need) => need.what).join(", ")} still missing`,
    );
  }
}

function command(purpose: Purpose, name: string, debianPackage: string): Need {
  return { purpose, what: name, debianPackage, isThere: () => isExecutable(name) };
}

function isExecutable(name: string): boolean {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return folders.some((folder) => folder !== "" && existsSync(`${folder}/${name}`));
}

/** Whether the compiler finds this file among its libraries; it answers with a path if so. */
function isLinkable(name: string): boolean {
  return output("cc", [`-print-file-name=${name}`])?.startsWith("/") === true;
}

/** What a command wrote; undefined where it failed or is not there. */
function output(name: string, args: string[]): string | undefined {
  if (!isExecutable(name) && !existsSync(name)) return undefined;
  const result = new Deno.Command(name, { args, stdout: "piped", stderr: "null" }).outputSync();
  return result.success ? new TextDecoder().decode(result.stdout).trim() : undefined;
}

/** Installs packages; why it could not, or undefined. */
function install(packages: readonly string[]): string | undefined {
  return aptGet(["install", "-y", "--no-install-recommends", ...packages]);
}

function aptGet(args: string[]): string | undefined {
  const { success, stderr } = new Deno.Command("apt-get", {
    args: ["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3", ...args],
    env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).outputSync();
  if (success) return undefined;
  const lines = new TextDecoder().decode(stderr).trim().split("\n");
  return lines.find((line) => line.startsWith("E: ")) ?? lines.at(-1)!;
}

if (import.meta.main) {
  // The lab is for the tests; all else works without it.
  const log = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
  let code = 0;
  for (const purpose of ["build", "workload", "lab"] as const) {
    try {
      setup(purpose, log);
      log(`setup: the ${purpose} has what it needs`);
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      log(error.message);
      if (purpose === "build") code = 1;
    }
  }
  Deno.exit(code);
}
