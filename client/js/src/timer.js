/** One timer at a time. */

/**
 * @param {import('./types.js').Scope} scope
 * @returns {(ms?: number, run?: () => void) => void} Runs something in a while, in the place of what was to be
 *   run before; with nothing to run, nothing is.
 */
export function createTimer(scope) {
  /** @type {any} */
  let timer
  return (ms = 0, run) => {
    scope.clearTimeout(timer)
    timer = run && scope.setTimeout(run, ms)
  }
}
