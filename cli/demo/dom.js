/** Elements. Texts are only ever set as texts. */

/** @param {string} id */
export const byId = (id) => /** @type {any} */ (document.getElementById(id))

/**
 * @param {string} name
 * @param {string} kind Its class.
 * @param {...(string | Node)} content
 */
export function element(name, kind, ...content) {
  const it = document.createElement(name)
  if (kind) it.className = kind
  it.append(...content)
  return it
}

/** The time of day, to the second or finer. @param {number} digits */
export function clock(date = new Date(), digits = 0) {
  const time = date.toTimeString().slice(0, 8)
  return digits ? `${time}.${`${date.getMilliseconds()}`.padStart(3, '0').slice(0, digits)}` : time
}

/** Says what went wrong, or that it is over. @param {string} [text] */
export function alarm(text = '') {
  const it = byId('alert')
  it.textContent = text
  it.hidden = !text
}

/**
 * Does it, and says what went wrong.
 * @param {() => Promise<unknown> | unknown} work
 */
export async function attempt(work) {
  try {
    await work()
    alarm()
  } catch (error) {
    alarm(error instanceof Error ? error.message : `${error}`)
  }
}
