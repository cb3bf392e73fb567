/** For what may fail without harm, and whose failure nobody could do anything about. */

/**
 * What it gives; undefined where it fails.
 * @template T
 * @param {() => T} run
 * @returns {T | undefined}
 */
export function quietly(run) {
  try {
    return run()
  } catch {
    return undefined
  }
}
