/** Reads a text/event-stream (HTML standard, section 9.2.6), in whatever pieces it comes. Pure. */

/**
 * @typedef {object} StreamEvent
 * @property {string} data
 * @property {string} [id] Of this event alone: one without an id does not move its reader.
 */

/**
 * Events' names are not read: every frame has its type.
 * @param {(event: StreamEvent) => void} onEvent
 * @returns {(text: string) => void}
 */
export function createParser(onEvent) {
  let tail = ''
  /** @type {{ data?: string, id?: string }} */
  let event = {}
  return (text) => {
    // A line may end with both, of which only one has come.
    const lines = (tail + text).split(/\r\n|\n|\r(?!$)/)
    tail = /** @type {string} */ (lines.pop())
    for (const line of lines) {
      if (!line) {
        if (event.data !== undefined) onEvent(/** @type {StreamEvent} */ (event))
        event = {}
        continue
      }
      const [, field, value] = /** @type {RegExpExecArray} */ (/^([^:]*):? ?(.*)$/.exec(line))
      if (field === 'id') event.id = value
      if (field === 'data') event.data = event.data === undefined ? value : `${event.data}\n${value}`
    }
  }
}
