/** Programs that tests run, and tests that need something of the machine. */

/** How a program ended, and what it wrote. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function run(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Outcome {
  const { code, stdout, stderr } = new Deno.Command(command, {
    args: [...args],
    stdin: "null",
    ...options,
  }).outputSync();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Whether a program is there and ends well. */
export function succeeds(command: string, ...args: string[]): boolean {
  try {
    return run(command, args).code === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** What a test needs of the machine; undefined where it is there, else why the test is skipped. */
export type Missing = string | undefined;

/** A need that is met or not. */
export function need(isMet: boolean, why: string): Missing {
  return isMet ? undefined : why;
}

export const NEEDS_ROOT: Missing = need(Deno.uid() === 0, "needs root");
export const NEEDS_STRACE: Missing = need(succeeds("strace", "-V"), "needs strace");

export const NEEDS_MOUNTS: Missing = need(
  succeeds("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"),
  "needs to mount",
);
export const NEEDS_USER_NAMESPACE: Missing = need(
  succeeds("unshare", "--user", "--map-root-user", "true"),
  "needs to make a user namespace",
);

/** A test that is skipped where something is missing; its name then says what. */
export function testWith(
  missing: readonly Missing[],
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  const why = missing.filter((reason) => reason !== undefined);
  const ignore = why.length > 0;
  Deno.test({ name: ignore ? `${name} (${why.join(", ")})` : name, ignore, fn });
}
