import { UnsupportedHostError } from "../capture/capture_device.ts";
import { BadLineError } from "../chain/record_reader.ts";
import { CutStreamError } from "../chain/stream_ends.ts";
import { ConfigError } from "../config/config_error.ts";
import { KernelFileError, WrongKernelError } from "../kernel/kernel_file_error.ts";
import { ImageError } from "../memory/image_error.ts";
import { capture } from "./capture.ts";
import { completions } from "./completions.ts";
import { filter } from "./filter.ts";
import type { CommandName } from "./flags.ts";
import { help } from "./help.ts";
import { BrokenPipe, FileError, type Host } from "./host.ts";
import { manPage } from "./man_page.ts";
import { type CommandArgs, parse } from "./parse.ts";
import { say } from "./say.ts";
import { scan } from "./scan.ts";
import { schemaText } from "./schema.ts";
import { UsageError } from "./usage_error.ts";

type Command = (args: CommandArgs, host: Host, argv: readonly string[]) => number | Promise<number>;

const RUN: { readonly [name in CommandName]: Command } = {
  capture,
  scan,
  filter,
  schema: ({ operand }, host) => print(schemaText(operand), host),
  completions: ({ operand }, host) => print(completions(operand!), host),
  man: (_args, host) => print(manPage(host.build.version), host),
};

/**
 * Runs one command line.
 *
 * @param argv The arguments after the program's own name.
 * @param host Everything outside the program.
 * @returns The exit code. Errors have become a message on standard error and a code.
 */
export async function run(argv: readonly string[], host: Host): Promise<number> {
  try {
    const request = parse(argv);
    if (request.kind === "command") return await RUN[request.command](request.args, host, argv);
    if (request.kind === "licenses") {
      host.stdout.write(host.notices());
      return 0;
    }
    const text = request.kind === "version"
      ? versionLine(host) + (request.verify ? await verification(host) : "")
      : help({ ...request, columns: host.stdout.columns });
    return print(text, host);
  } catch (error) {
    return report(error, host);
  }
}

function print(text: string, { stdout }: Host): number {
  stdout.write(new TextEncoder().encode(text));
  return 0;
}

function versionLine({ build }: Host): string {
  const inside = `deno ${build.deno}, libbpf ${build.libbpf}`;
  return `iouring ${build.version} (${build.form}, ${inside}, build ${build.build})\n`;
}

/**
 * A line for each part of the executable, in the form of sha256sum.
 *
 * @throws {FileError} A part is not what was built.
 */
async function verification(host: Host): Promise<string> {
  const digests = await host.verify();
  const wrong = digests.find(({ sha256, built }) => built !== undefined && built !== sha256);
  if (wrong !== undefined) {
    throw new FileError("verify", wrong.part, "its SHA-256 is not the one it was built with");
  }
  return digests.map(({ part, sha256 }) => `${sha256}  ${part}\n`).join("");
}

/** The one place where an error becomes a message and an exit code. */
function report(error: unknown, host: Host): number {
  if (error instanceof BrokenPipe) return 0;
  const text = error instanceof Error ? error.message : String(error);
  if (
    error instanceof UsageError || error instanceof ConfigError || error instanceof WrongKernelError
  ) {
    say(host, text);
    return 2;
  }
  if (error instanceof UnsupportedHostError) {
    say(host, text);
    return 4;
  }
  const expected = error instanceof FileError || error instanceof ImageError ||
    error instanceof KernelFileError || error instanceof CutStreamError ||
    error instanceof BadLineError;
  say(host, expected ? text : `Internal error: ${text}`);
  return 1;
}
