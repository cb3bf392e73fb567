/** The client as applications see it. */
import { createCore } from './core.js'
import { readOptions } from './options.js'

/**
 * A user's notifications: each once, in order, over every kind of broken connection.
 * @template {object} [Events=Record<string, unknown>] type → type of `data`
 * @typedef {import('./types.js').Client<Events>} NotificationClient
 */

/**
 * `new NotificationClient(token)` at the page's own host, `(url, token, options)`, or all options as one object.
 * What it makes is an object with functions of its own, which may be taken off it and passed around.
 * @type {new <Events extends object = Record<string, unknown>>(first: string | import('./types.js').Options,
 *   second?: string, third?: import('./types.js').Options) => NotificationClient<Events>}
 */
export const NotificationClient = /** @type {any} */ (function (
  /** @type {string | import('./types.js').Options} */ first,
  /** @type {string | undefined} */ second,
  /** @type {import('./types.js').Options | undefined} */ third,
) {
  return createCore(readOptions(first, second, third))
})
