/** What `run()` can be told beside the command and its arguments. */
export interface RunOptions {
  /** The directory to run in. */
  cwd?: string;
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
  const output = await new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    ...options,
  }).output();
  const decoder = new TextDecoder();
  if (!output.success) {
    const said = decoder.decode(output.stderr).trim().split("\n").slice(-3);
    throw new CommandError(
      `Cannot run "${command}": exit ${output.code}: ${said.join("; ")}`,
    );
  }
  return decoder.decode(output.stdout);
}
