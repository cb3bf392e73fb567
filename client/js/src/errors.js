/** What goes wrong, as applications see it: always an event or a rejected promise, never a stray throw. */

/** An error with a code to branch on. The server's are listed in docs/protocol.md. */
export class CarillonError extends Error {
  /**
   * @param {string} code
   * @param {string} message What is wrong, and the remedy.
   * @param {{ channel?: string, retryable?: boolean, cause?: unknown }} [more]
   */
  constructor(code, message, more = {}) {
    super(message, more)
    this.name = 'CarillonError'
    /** Stable, snake_case. */
    this.code = code
    /** The channel that it is about. */
    this.channel = more.channel
    /** The same request may succeed later. */
    this.retryable = !!more.retryable
  }
}

/** To be thrown by `getToken` when nobody is signed in: the client stops instead of trying again. */
export class UnauthorizedError extends Error {}
