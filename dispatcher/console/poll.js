/** Looks again and again, while somebody looks. */

/**
 * @param {() => Promise<unknown>} look
 * @param {number} every In milliseconds, from the end of one look to the next.
 * @returns {() => void} What ends it.
 */
export function poll(look, every) {
  let over = false
  /** @type {ReturnType<typeof setTimeout>} */
  let timer
  const turn = async () => {
    if (document.visibilityState === 'visible') await look()
    if (!over) timer = setTimeout(turn, every)
  }
  void turn()
  return () => {
    over = true
    clearTimeout(timer)
  }
}
