/** What programs that people start print. */
const ENCODER = new TextEncoder();

/** Writes a line to standard output. */
export function print(line: string): void {
  Deno.stdout.writeSync(ENCODER.encode(`${line}\n`));
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

export function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
