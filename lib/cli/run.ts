import { UnsupportedHostError } from "../capture/capture_device.ts";
import { BadLineError } from "../chain/record_reader.ts";
import { CutStreamError } from "../chain/stream_ends.ts";
import { ConfigError } from "../config/config_error.ts";
import { ImageError } from "../memory/image_error.ts";
import { capture } from "./capture.ts";
import { filter } from "./filter.ts";
import type { CommandName } from "./flags.ts";
import { help } from "./help.ts";
import { BrokenPipe, FileError, type Host } from "./host.ts";
import { type CommandArgs, parse } from "./parse.ts";
import { say } from "./say.ts";
import { scan } from "./scan.ts";
import { UsageError } from "./usage_error.ts";

type Command = (args: CommandArgs, host: Host, argv: readonly string[]) => number | Promise<number>;

const RUN: { readonly [name in CommandName]: Command } = { capture, scan, filter };

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
    const text = request.kind === "version"
      ? versionLine(host)
      : help({ ...request, columns: host.stdout.columns });
    host.stdout.write(new TextEncoder().encode(text));
    return 0;
  } catch (error) {
    return report(error, host);
  }
}

function versionLine({ build }: Host): string {
  return `iouring ${build.version} (${build.form}, deno ${build.deno}, build ${build.build})\n`;
}

/** The one place where an error becomes a message and an exit code. */
function report(error: unknown, host: Host): number {
  if (error instanceof BrokenPipe) return 0;
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof UsageError || error instanceof ConfigError) {
    say(host, text);
    return 2;
  }
  if (error instanceof UnsupportedHostError) {
    say(host, text);
    return 4;
  }
  const expected = error instanceof FileError || error instanceof ImageError ||
    error instanceof CutStreamError || error instanceof BadLineError;
  say(host, expected ? text : `Internal error: ${text}`);
  return 1;
}
