/** Where the token comes from, and when another one is needed. */
import { CarillonError } from './errors.js'

/** A token that ends so soon is not shown any more. */
const MARGIN = 10_000

/**
 * @param {import('./types.js').Options} options
 * @param {() => number} now
 */
export function createTokens({ token, getToken }, now) {
  let end = Infinity
  /** @type {Promise<string> | undefined} */
  let asking

  /** @param {string} [other] */
  const set = (other) => {
    if (!other || typeof other !== 'string') {
      throw new CarillonError('token_missing', 'token: give one by options.token, getToken or setToken()')
    }
    end = Infinity
    return token = other
  }
  if (token !== undefined) set(token)

  /** A source that does not answer is asked anew the next time. */
  const giveUp = () => { asking = undefined }

  return {
    set,
    giveUp,

    /** Whoever connects next may be somebody else, whose token is asked for. */
    forget: () => getToken && (token = undefined),

    /**
     * The server said when it ends.
     * @param {string} time
     */
    endsAt(time) {
      end = Date.parse(time)
    },

    /**
     * The one that is there, or another; whoever asks meanwhile gets the same.
     * @param {import('./types.js').TokenReason} reason Other than `connect`: another, if one can be had.
     * @returns {Promise<string>}
     */
    async get(reason) {
      const isGood = !getToken || (reason === 'connect' && end - now() > MARGIN)
      if (token && isGood) return token
      asking ??= Promise.resolve(getToken?.({ reason })).then(set).finally(giveUp)
      return asking
    },
  }
}
