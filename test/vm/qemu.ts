/**
 * A guest under QEMU, steered over QMP.
 *
 * @module
 */

import { CommandError, LabUnavailableError } from "./run.ts";

/** What to boot and how. */
export interface GuestOptions {
  /** The directory for sockets and serial logs. */
  dir: string;
  vmlinuz: string;
  initrd: string;
  /** Levels of the page tables. */
  paging: 4 | 5;
  /** RAM in MiB. */
  memory: number;
  /** Processors; 1 unless told. */
  cpus?: number;
  /** Give the guest a vmcoreinfo device. */
  vmcoreinfo: boolean;
  /** More words for the kernel's command line. */
  append: string;
  /** A file that is to be the guest's RAM; it stays sparse. */
  ramFile?: string;
  /** A raw image of a disk, `/dev/nvme0n1`: every kernel of the lab has its driver built in. */
  disk?: string;
}

/** A guest has no KVM, and the machine may have much else to do. */
const PATIENCE_S = 1200;

/** A running guest. Its second serial line is the file `truth.log`. */
export class Guest {
  #process: Deno.ChildProcess;
  #qmp: Deno.Conn;
  #pending = "";
  #options: GuestOptions;

  private constructor(process: Deno.ChildProcess, qmp: Deno.Conn, options: GuestOptions) {
    this.#process = process;
    this.#qmp = qmp;
    this.#options = options;
  }

  /** Starts a guest; the caller stops it with `quit()`. */
  static async start(options: GuestOptions): Promise<Guest> {
    const { dir } = options;
    const socket = `${dir}/qmp`;
    const truth = `${dir}/truth.log`;
    for (const file of [socket, truth]) {
      await Deno.remove(file).catch(() => {});
    }
    let process;
    try {
      process = new Deno.Command("qemu-system-x86_64", {
        args: [
          "-accel",
          "tcg",
          "-smp",
          `${options.cpus ?? 1}`,
          "-m",
          `${options.memory}`,
          "-cpu",
          options.paging === 5 ? "max" : "max,la57=off",
          "-nodefaults",
          "-display",
          "none",
          "-no-reboot",
          "-serial",
          `file:${dir}/console.log`,
          "-serial",
          `file:${truth}`,
          "-qmp",
          `unix:${socket},server=on,wait=off`,
          ...(options.vmcoreinfo ? ["-device", "vmcoreinfo"] : []),
          ...(options.ramFile === undefined ? [] : [
            "-object",
            `memory-backend-file,id=ram,size=${options.memory}M,share=on,mem-path=${options.ramFile}`,
            "-machine",
            "memory-backend=ram",
          ]),
          ...(options.disk === undefined ? [] : [
            "-drive",
            `file=${options.disk},format=raw,if=none,id=disk`,
            "-device",
            "nvme,serial=lab,drive=disk",
          ]),
          "-kernel",
          options.vmlinuz,
          "-initrd",
          options.initrd,
          "-append",
          `console=ttyS0 panic=-1 ${options.append}`.trim(),
        ],
        stdin: "null",
        stdout: "null",
        stderr: "inherit",
      }).spawn();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new LabUnavailableError("Cannot run a guest: qemu-system-x86_64 is not installed");
    }
    let qmp: Deno.Conn | undefined;
    let hasEnded = false;
    process.status.then(() => hasEnded = true);
    for (let i = 0; !qmp && !hasEnded && i < 1200; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      qmp = await Deno.connect({ transport: "unix", path: socket }).catch(() => undefined);
    }
    if (!qmp) {
      if (!hasEnded) process.kill("SIGKILL");
      await process.status;
      throw new CommandError("Cannot run a guest: QEMU opened no QMP socket");
    }
    const guest = new Guest(process, qmp, options);
    await guest.#line(); // the greeting
    await guest.command("qmp_capabilities");
    return guest;
  }

  /**
   * Waits until a line of the guest's second serial line is `marker`.
   *
   * @throws {CommandError} The guest ended before, or took too long; with the end of its console.
   */
  async waitFor(marker: string): Promise<string> {
    const { dir, vmlinuz } = this.#options;
    let exited = false;
    this.#process.status.then(() => exited = true);
    const end = Date.now() + PATIENCE_S * 1000;
    while (Date.now() < end && !exited) {
      const text = await Deno.readTextFile(`${dir}/truth.log`).catch(() => "");
      if (text.includes(`\n${marker}\n`)) return text;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const said = await Deno.readTextFile(`${dir}/console.log`).catch(() => "");
    const last = said.trim().split(/\r?\n/).slice(-5).join("\n");
    throw new CommandError(
      `Guest of "${vmlinuz}" ` +
        (exited
          ? `ended before it said "${marker}"`
          : `did not say "${marker}" in ${PATIENCE_S} s`) +
        `; the last lines of ${dir}/console.log:\n${last}`,
    );
  }

  /** Runs one QMP command to its end. */
  async command(execute: string, args: Record<string, unknown> = {}): Promise<void> {
    const text = JSON.stringify({ execute, arguments: args }) + "\n";
    await this.#qmp.write(new TextEncoder().encode(text));
    while (true) {
      const answer = JSON.parse(await this.#line());
      if ("return" in answer) return;
      if ("error" in answer) throw new CommandError(`QMP ${execute}: ${answer.error.desc}`);
    }
  }

  /** Writes an ELF core of the guest's memory. */
  async dump(file: string, paging: boolean): Promise<void> {
    await this.command("dump-guest-memory", { paging, protocol: `file:${file}` });
    await Deno.chmod(file, 0o644);
  }

  /** Writes a flattened kdump of the guest's memory, if QEMU was built with its compression. */
  async kdump(file: string, compression: string): Promise<void> {
    const format = `kdump-${compression}`;
    const args = { paging: false, protocol: `file:${file}`, format };
    try {
      await this.command("dump-guest-memory", args);
    } catch (error) {
      if (error instanceof CommandError && error.message.endsWith("not available now")) return;
      throw error;
    }
    await Deno.chmod(file, 0o644);
  }

  /** Writes physical memory from 0 to `size`. */
  async save(file: string, size: number): Promise<void> {
    await this.command("pmemsave", { val: 0, size, filename: file });
  }

  /** Ends the guest. */
  async quit(): Promise<void> {
    await this.command("quit").catch(() => {});
    this.#qmp.close();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 60_000);
    await this.#process.status;
    clearTimeout(timer);
  }

  async #line(): Promise<string> {
    const buffer = new Uint8Array(65536);
    while (!this.#pending.includes("\n")) {
      const n = await this.#qmp.read(buffer);
      if (n === null) throw new CommandError("QMP connection was closed");
      this.#pending += new TextDecoder().decode(buffer.subarray(0, n));
    }
    const at = this.#pending.indexOf("\n");
    const line = this.#pending.slice(0, at);
    this.#pending = this.#pending.slice(at + 1);
    return line;
  }
}
