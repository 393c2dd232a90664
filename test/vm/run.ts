/** What `run()` can be told beside the command and its arguments. */
export interface RunOptions {
  /** The directory to run in. */
  cwd?: string;
}

/** The lab cannot run on this machine; the message is one line saying why. */
export class LabUnavailableError extends Error {
  override name = "LabUnavailableError";
}

/** A command of the lab failed; the message holds what it said. */
export class CommandError extends Error {
  override name = "CommandError";
}

/** Runs a command to its end and returns what it wrote to stdout. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  let output;
  try {
    output = await new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...options,
    }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new LabUnavailableError(`Cannot run the lab: "${command}" is not installed`);
  }
  const decoder = new TextDecoder();
  if (!output.success) {
    const said = decoder.decode(output.stderr).trim().split("\n").slice(-3);
    throw new CommandError(
      `Cannot run "${command}": exit ${output.code}: ${said.join("; ")}`,
    );
  }
  return decoder.decode(output.stdout);
}
