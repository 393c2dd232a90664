/**
 * A job in a guest: boots a kernel of the lab under QEMU with an empty userland of its Debian, the
 * built program and the live workload, runs a shell script there, and hands back what that sends.
 *
 *     deno run -A test/vm/guest_job.ts 6.12 SCRIPT
 *
 * @module
 */

import { gunzipSync } from "node:zlib";
import { buildWorkload } from "../live/workload.ts";
import { PROGRAM, ROOT } from "../paths.ts";
import { fetchKernel, LAB_KERNELS } from "./kernels.ts";
import { Guest } from "./qemu.ts";
import { LabUnavailableError, run } from "./run.ts";
import { fetchUserland } from "./userlands.ts";

const CACHE = `${ROOT}.cache`;
const LAB = `${CACHE}/lab`;

/** What a guest is to do. */
export interface GuestJob {
  /** Shell, with the functions of `guest_job_init.sh`. */
  readonly script: string;
  /** More words for the kernel's command line. */
  readonly append?: string;
  /** Files to put into its root directory, by their names there. */
  readonly files?: Readonly<Record<string, string>>;
}

/** What the job has sent: the text of files by their names. */
export type GuestReport = ReadonlyMap<string, string>;

/** What a guest is made of. */
interface GuestParts {
  readonly vmlinuz: string;
  readonly userland: string;
  readonly busybox: string;
}

/**
 * Gets what a guest of the lab's kernel of a name is made of.
 *
 * @throws {LabUnavailableError} This machine cannot run one.
 */
export async function guestParts(name: string): Promise<GuestParts> {
  const kernel = LAB_KERNELS.find((kernel) => kernel.name === name);
  if (kernel === undefined) throw new LabUnavailableError(`No kernel ${name} in the lab`);
  for (const command of ["qemu-system-x86_64", "busybox", "cpio"]) {
    if (await commandPath(command) === "") {
      throw new LabUnavailableError(`Cannot run a guest: ${command} is not installed`);
    }
  }
  await Deno.mkdir(LAB, { recursive: true });
  const cache = await Deno.realPath(LAB);
  // One at a time, also where two programs ask for one.
  using lock = await Deno.open(`${cache}/lock`, { write: true, create: true });
  await lock.lock(true);
  const { vmlinuz } = await fetchKernel(kernel, cache);
  const userland = await fetchUserland(kernel.suite.replace("-backports", ""), cache);
  return { vmlinuz, userland, busybox: await commandPath("busybox") };
}

/** The path of a command, or "". */
async function commandPath(name: string): Promise<string> {
  return (await run("sh", ["-c", 'command -v "$0" || true', name])).trim();
}

/**
 * Runs a job on the lab's kernel of a name.
 *
 * @throws {LabUnavailableError} This machine cannot run it.
 */
export async function runInGuest(name: string, job: GuestJob): Promise<GuestReport> {
  const made = await guestParts(name);
  const dir = `${await Deno.realPath(CACHE)}/live/vm-${name}`;
  await Deno.mkdir(dir, { recursive: true });
  // One guest at a time, also where two programs ask for one.
  using lock = await Deno.open(`${LAB}/lock`, { write: true, create: true });
  await lock.lock(true);
  const initrd = await makeInitrd(dir, made, job);
  const guest = await Guest.start({
    dir,
    vmlinuz: made.vmlinuz,
    initrd,
    paging: 4,
    memory: 1024,
    vmcoreinfo: false,
    append: job.append ?? "",
  });
  try {
    const text = await guest.waitFor("READY");
    const parts = new Map<string, string>();
    for (const [, part, content] of text.matchAll(/BEGIN (\S+)\r?\n([^]*?)--- END/g)) {
      const bytes = Uint8Array.fromBase64(content!.replace(/\s/g, ""));
      parts.set(part!, new TextDecoder().decode(gunzipSync(bytes)));
    }
    return parts;
  } finally {
    await guest.quit();
  }
}

/** An initramfs of a userland, and what the guest is to run. */
async function makeInitrd(
  dir: string,
  { userland, busybox }: GuestParts,
  job: GuestJob,
): Promise<string> {
  const tree = `${dir}/initrd`;
  await Deno.remove(tree, { recursive: true }).catch(() => {});
  await run("cp", ["-a", userland, tree]);
  const files = {
    "bin/busybox": busybox,
    "bin/iouring": PROGRAM,
    "bin/workload": await buildWorkload({ static: true }),
    "init": `${import.meta.dirname}/guest_job_init.sh`,
    ...job.files,
  };
  for (const [to, from] of Object.entries(files)) await Deno.copyFile(from, `${tree}/${to}`);
  for (const file of ["init", "bin/iouring"]) await Deno.chmod(`${tree}/${file}`, 0o755);
  await Deno.writeTextFile(`${tree}/job.sh`, job.script);
  const initrd = `${dir}/initrd.cpio`;
  const pack = `cd "$1" && find . | cpio -o -H newc --quiet -R 0:0 > "$2"`;
  await run("sh", ["-c", pack, "sh", tree, initrd]);
  await Deno.remove(tree, { recursive: true });
  return initrd;
}

if (import.meta.main) {
  const [name = "", path = ""] = Deno.args;
  const report = await runInGuest(name, { script: await Deno.readTextFile(path) });
  for (const [part, text] of report) {
    Deno.stdout.writeSync(new TextEncoder().encode(`== ${part}\n${text}`));
  }
}
