import { type Missing, testWith } from "../command.ts";
import { LabUnavailableError } from "./run.ts";

/**
 * A test of something that the lab makes first, before any test runs. Where this machine cannot
 * make it the test is skipped, and its name says why.
 *
 * @param missing What else the test needs.
 */
export async function labTest<Made>(
  name: string,
  make: () => Promise<Made>,
  check: (made: Made, t: Deno.TestContext) => void | Promise<void>,
  missing: readonly Missing[] = [],
): Promise<void> {
  try {
    const made = await make();
    testWith(missing, name, (t) => check(made, t));
  } catch (error) {
    if (error instanceof LabUnavailableError) {
      testWith([error.message], name, () => {});
    } else {
      Deno.test(name, () => {
        throw error;
      });
    }
  }
}
